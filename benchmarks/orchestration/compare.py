"""Orchestration, measured next to ROSE 0.3.0 in the same run: `make bench`.

    python benchmarks/orchestration/compare.py [--quick] [--json FILE]

Ours and ROSE's runs take turns, each in a fresh process, because machines are noisy: compare ratios, not seconds of
different days. What each row means stands in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import OURS, ROSE, Bench, peers_python, versions
from rich import box
from rich.console import Console
from rich.table import Table
from rows import ROWS, WORKERS, Row


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, save. The exit code says whether our side ran, not how fast."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and one run of each: a minute or two")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the table and every record")
    options = parser.parse_args(argv)

    bench = Bench({OURS: Path(sys.executable), ROSE: peers_python()}, options.quick)
    facts = machine_facts(bench)
    console = Console(width=max(Console().width, 200), highlight=False)
    for name, fact in facts.items():
        console.print(f"{name}: {fact}", soft_wrap=True)
    rows: list[Row] = []
    for measure in ROWS:
        measured = measure(bench)
        rows += measured
        for row in measured:
            console.print(f"[dim]{row.what}: ours {row.ours}; ROSE {row.rose}", soft_wrap=True)
    console.print(table(rows, options.quick))
    console.print(notes(rows), soft_wrap=True)
    console.print(summary(rows))
    if os.getloadavg()[0] > 2 * WORKERS:
        console.print(
            f"the load average is {os.getloadavg()[0]:.1f}: others use this machine. Rows that compare with a clock "
            "instead of with ROSE (simulations, members, commands) show that, too."
        )
    if options.json is not None:
        saved = {"facts": facts, "rows": [asdict(row) for row in rows], "measurements": bench.log}
        options.json.write_text(json.dumps(saved, indent=1))
    return int(any(entry["why_not"] for entry in bench.log if entry["system"] == OURS))


def machine_facts(bench: Bench) -> dict[str, Any]:
    """What the figures depend on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rose = versions(bench.interpreters[ROSE], "rose-surrogate-explorer", "radical.asyncflow", "rhapsody-py")
    return {
        "machine": f"{platform.machine()}, {cores} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "ours": versions(bench.interpreters[OURS], "rose-uq", "numpy"),
        "ROSE": rose,
        "load average at start": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def table(rows: Sequence[Row], quick: bool) -> Table:
    """All rows; their notes are printed below it."""
    form = "short form: fewer rounds, one run each" if quick else "best of several runs"
    made = Table(title=f"Orchestration on {WORKERS} workers, {form}", box=box.SIMPLE_HEAD)
    for heading in ("", "what", "ours", "ROSE 0.3.0", "ours / ROSE", "must reach", "reached", "met"):
        made.add_column(heading, overflow="fold")
    for number, row in enumerate(rows, 1):
        ratio = "-" if row.ratio is None else f"{row.ratio:.3f}"
        met = {True: "[green]yes", False: "[bold red]NO", None: "not judged"}[row.met]
        made.add_row(str(number), row.what, row.ours, row.rose, ratio, row.bar, row.reached, met)
    return made


def notes(rows: Sequence[Row]) -> str:
    """What is to be known about the figures of each row."""
    return "\n".join(f"{number}: {note}" for number, row in enumerate(rows, 1) for note in row.notes)


def summary(rows: Sequence[Row]) -> str:
    """How many bars are met."""
    judged = [row for row in rows if row.met is not None]
    text = f"{sum(row.met is True for row in judged)} of {len(judged)} bars met"
    missing = len(rows) - len(judged)
    return text + (f"; {missing} not judged, because ROSE was not measured" if missing else "")


if __name__ == "__main__":
    sys.exit(main())
