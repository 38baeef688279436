"""Run `rose ui`: the live page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rose.cli._arguments import INTERRUPTED, add_command, as_path
from rose.errors import MissingPackageError

if TYPE_CHECKING:
    from rose.cli._arguments import Commands


def add_page_command(commands: Commands) -> None:
    """Add the command to the parser."""
    ui = add_command(
        commands,
        "ui",
        _ui,
        "show runs in a browser, as they go on",
        "Serve a page that shows the runs below a directory, as they go on, and takes orders for their drivers. It "
        "listens at 127.0.0.1 alone; the address that it prints holds a token, and whoever knows it can look and give "
        "orders. Ctrl-C ends it; no run waits for it.",
        ("", "runs/digits --port 8080"),
        {0: "it was ended by Ctrl-C", INTERRUPTED: ""},
    )
    ui.add_argument(
        "directory", type=as_path, metavar="DIR", nargs="?", default=Path("."), help="where to look (default: here)"
    )
    ui.add_argument("--port", type=_port, metavar="N", default=0, help="the port (default: one that is free)")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} must be a port, 0 to 65535")
    return int(text)


def _ui(arguments: argparse.Namespace) -> int:
    try:
        from rose.watch.page.server import serve
    except ImportError as error:
        raise MissingPackageError(f"rose ui needs {error.name}: pip install 'rose-uq[page]'") from error
    serve(arguments.directory, arguments.port)
    return 0
