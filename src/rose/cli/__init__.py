"""Run the `rose` command."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from rose import __version__
from rose.cli._arguments import INTERRUPTED
from rose.cli.compare import add_compare_command
from rose.cli.completion import add_completion_command
from rose.cli.lists import add_list_commands
from rose.cli.orders import add_order_commands
from rose.cli.page import add_page_command
from rose.cli.programs import add_program_commands
from rose.cli.report import add_report_command
from rose.cli.runs import add_run_commands
from rose.errors import RoseError

_CRITERIA = "Stop criteria, as_stop_criterion(NAME, threshold=...); any other name wants an operator"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a locale has no letters for is written out
            stream.reconfigure(errors="backslashreplace")
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 2
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        if arguments.command == "run":  # a script's own: it ends as Python ends it
            raise
        print("rose: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (RoseError, OSError) as error:
        from rose.watch.terminal import clean

        print(clean(f"rose: {error}"), file=sys.stderr)
        return 1
    return code or 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, with all commands."""
    parser = argparse.ArgumentParser(
        prog="rose",
        description="ROSE: uncertainty-driven active learning. This command runs programs, looks at runs and tidies "
        "up after them, and tells what they can be made of.",
    )
    parser.add_argument("--version", action="version", version=f"rose-uq {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    add_program_commands(commands)
    add_run_commands(commands)
    add_order_commands(commands)
    add_compare_command(commands)
    add_page_command(commands)
    add_report_command(commands)
    add_list_commands(commands)
    add_completion_command(commands, parser)
    return parser
