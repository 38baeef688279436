"""Share what several commands take: how their parsers are made, and what is typed for them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rose.errors import ConfigurationError
from rose.paths import expanded

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], help: str, description: str
) -> argparse.ArgumentParser:
    """Add a command, which `run` carries out, to the parser; returns the command's own parser."""
    parser = commands.add_parser(name, help=help, description=description)
    parser.set_defaults(run=run)
    return parser


def as_text(text: str) -> str:
    """Return what was typed, of which a locale without its letters has given bytes."""
    return os.fsencode(text).decode(errors="surrogateescape")


def as_path(text: str) -> Path:
    """Return the path that was typed.

    Raises:
        argparse.ArgumentTypeError: if it names a variable that is not set.
    """
    try:
        return expanded(text, "path")
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
