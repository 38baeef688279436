"""Share what several commands take: how their parsers are made, and what is typed for them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rose.errors import ConfigurationError
from rose.paths import expanded

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

FAILED, USAGE = 1, 2  # exit codes
INTERRUPTED = 130
USUAL = {
    0: "done",
    FAILED: "it could not be done; what was wrong is on stderr",
    USAGE: "wrong usage",
    INTERRUPTED: "Ctrl-C",
}


class _Help(argparse.HelpFormatter):
    """Wrap descriptions, and leave what has lines of its own (examples, exit codes) as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    help: str,
    description: str,
    examples: Sequence[str] = (),
    codes: Mapping[int, str] | None = None,
) -> argparse.ArgumentParser:
    """Add a command, which `run` carries out, to the parser; returns the command's own parser.

    Args:
        commands: where to.
        name, help, description: what it is called and does, in a line and in full.
        run: gives the exit code.
        examples: command lines, without `rose NAME`.
        codes: its exit codes that are not as `USUAL` says; one that it never has means nothing ("").
    """
    lines = [f"  {' '.join(filter(None, ('rose', name, example)))}" for example in examples]
    shown = ["examples:", *lines] if lines else []
    shown.append("exit codes:")
    shown += [f"  {code}  {meaning}" for code, meaning in sorted({**USUAL, **(codes or {})}.items()) if meaning]
    parser = commands.add_parser(
        name, help=help, description=description, epilog="\n".join(shown), formatter_class=_Help
    )
    parser.set_defaults(run=run)
    return parser


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add the option for programs that read what a command says."""
    parser.add_argument("--json", action="store_true", help="for programs")


def positive(text: str) -> int:
    """Return the number that was typed.

    Raises:
        argparse.ArgumentTypeError: if it is no whole number, 1 or more.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)


def index(text: str) -> int:
    """Return the index of a candidate that was typed.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    if not text.isdecimal() or len(text) > 15:
        raise argparse.ArgumentTypeError(f"{text!r} must be the index of a candidate: 0, 1, 2, ...")
    return int(text)


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
