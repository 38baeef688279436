"""Run `rose report`: one page that says all about a run, its data, or single pictures."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from rose.cli._arguments import add_command, as_path

if TYPE_CHECKING:
    from rose.cli._arguments import Commands
    from rose.watch.facts import Facts


def add_report_command(commands: Commands) -> None:
    """Add the command to the parser."""
    report = add_command(
        commands,
        "report",
        _report,
        "write all that is known of a run as one HTML page",
        "Write all that is known of a run, living or dead, as one HTML page that needs nothing beside it: what it "
        "saved, where the time went, why it stopped; learning curves, calibration, workers, failures, provenance.",
        ["runs/digits", "runs/digits --out digits.html", "runs/digits --json", "runs/digits --to png figures"],
        {1: "there is no run, it is damaged, or the file cannot be written"},
    )
    report.add_argument("directory", type=as_path, metavar="RUN", help="a run directory")
    report.add_argument("--out", type=as_path, metavar="FILE", help="where to (default: RUN/report.html)")
    report.add_argument("--json", action="store_true", help="print the data instead, for programs")
    report.add_argument(
        "--to", nargs=2, metavar=("png", "DIR"), help="write single pictures instead, into a directory (matplotlib)"
    )


def _report(arguments: argparse.Namespace) -> int:
    from rose.store import RunReader
    from rose.watch.facts import Facts
    from rose.watch.report import write_report
    from rose.watch.terminal import clean

    if arguments.json or arguments.to:
        with RunReader(arguments.directory) as reader:
            facts = Facts(reader)
            facts.update()
            if arguments.json:
                from rose.watch.facts.plain import to_plain

                print(json.dumps(to_plain(facts), indent=1, default=str))
            else:
                _pictures(facts, *arguments.to)
        return 0
    print(clean(str(write_report(arguments.directory, arguments.out))))
    return 0


def _pictures(facts: Facts, kind: str, folder: str) -> None:
    from rose.errors import ConfigurationError
    from rose.watch.pictures import write_pictures
    from rose.watch.terminal import clean

    if kind != "png":
        raise ConfigurationError(f"--to {kind} {folder}: pictures are written as png: --to png {folder}")
    for path in write_pictures(facts, as_path(folder)):
        print(clean(str(path)))
