"""What durability costs: `make bench-durability`.

    python benchmarks/durability.py [--quick] [--json FILE]

Four questions, each measured in fresh processes that take turns, on the disk of this directory:

1. no-op iterations of 8 workflows x 8 models x 8 predictions, with a run directory and without one;
2. how long the replay of 100,000 recorded tasks takes, and what it reads;
3. whether the driver's memory grows with the number of tasks;
4. how long a viewer needs for what is new in such a run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
WORKLOAD = HERE / "durability_workload.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer tasks and turns: half a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save all records")
    options = parser.parse_args(argv)
    turns, rounds, iterations = (2, 10, 20) if options.quick else (7, 20, 172)

    folder = Path(tempfile.mkdtemp(prefix="durability-", dir=HERE))
    try:
        costs = [
            (_measure("rounds", rounds), _measure("rounds", rounds, folder / f"cost-{turn}")) for turn in range(turns)
        ]
        big = folder / "big"
        grown = _measure("grow", iterations, big)
        finished = [_measure("grow", iterations, big) for _ in range(3)]
        looks = [_measure("read", iterations, big) for _ in range(3)]
        wide = folder / "wide"
        _measure("interrupted", iterations, wide)
        replays = [_measure("replayed", iterations, wide) for _ in range(3)]
    finally:
        shutil.rmtree(folder)

    ratio = statistics.median(without["seconds"] / with_it["seconds"] for without, with_it in costs)
    best = [min(pair[side]["seconds"] for pair in costs) for side in (0, 1)]
    whole, tasks = min(finished, key=lambda f: f["seconds"]), min(replays, key=lambda f: f["seconds"])
    table = Table(title="What durability costs", box=box.SIMPLE_HEAD)
    for heading in ("what", "measured", "bar"):
        table.add_column(heading, overflow="fold")
    table.add_row(
        "no-op iteration, 8 x 8 x 8: rate with a run directory over the rate without",
        f"{best[0] / best[1]:.0%} (best of {turns}: {best[1] * 1e3:.0f} and {best[0] * 1e3:.0f} ms); "
        f"median of the pairs {ratio:.0%}",
        "70 %",
    )
    table.add_row(
        f"replay of a run of {whole['recorded']:,} tasks, all rounds complete",
        f"{whole['seconds']:.2f} s; objects read: {whole['objects_read']}",
        "3 s; none",
    )
    table.add_row(
        f"replay of {tasks['recorded']:,} recorded tasks of one round that was interrupted, each looked up",
        f"{tasks['seconds']:.2f} s ({tasks['processor']:.2f} s of processor time); tasks run again: "
        f"{tasks['tasks_run'] - 1}",
        "3 s; none",
    )
    table.add_row(
        f"driver's memory after {grown['recorded'] // 10:,} and after {grown['recorded']:,} tasks",
        f"{grown['memory'][0]} and {grown['memory'][-1]} MB",
        "flat",
    )
    look = min(looks, key=lambda one: one["new"])
    table.add_row(
        f"a viewer's look at a run of {grown['recorded']:,} tasks, 100 of them new (all of them new)",
        f"{look['new'] * 1e3:.1f} ms ({look['all']:.2f} s, and {look['open']:.2f} s to open it)",
        "5 ms",
    )
    console = Console(width=max(Console().width, 150), highlight=False)
    console.print(table)
    console.print(f"load average: {os.getloadavg()[0]:.1f}; the directory is on {_file_system(HERE)}")
    if options.json is not None:
        options.json.write_text(
            json.dumps({"costs": costs, "grown": grown, "whole": finished, "tasks": replays, "looks": looks}, indent=1)
        )
    return 0


def _measure(what: str, iterations: int, run_dir: Path | None = None) -> dict[str, Any]:
    command = [sys.executable, str(WORKLOAD), what, str(iterations), *([] if run_dir is None else [str(run_dir)])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _file_system(path: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)], check=False, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() or "an unknown file system"


if __name__ == "__main__":
    sys.exit(main())
