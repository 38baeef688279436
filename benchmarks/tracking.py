"""What trackers cost: no-op iterations of 8 workflows x 8 models x 8 predictions with two trackers, and without.

    python benchmarks/tracking.py [--rounds 40] [--pairs 7] [--second tensorboard | mlflow]

The pairs take turns, each run in a process of its own; trackers are a JSON log and the second. An iteration is measured
from the first state to the last, in seconds and in seconds of the driver's processor time, which says more where the
machine is busy. The end of the run is measured apart: it waits until trackers have taken in all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "orchestration"))


def make_tracker(name: str, folder: Path) -> Any:
    """A tracker that writes into a folder."""
    if name == "mlflow":
        from rose.integrations.mlflow_tracker import MLflowTracker

        return MLflowTracker("benchmark", tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    from rose.integrations.tensorboard_tracker import TensorBoardTracker

    return TensorBoardTracker(folder)


async def measured(rounds: int, second: str, folder: Path) -> dict[str, float]:
    """Seconds of an iteration, and from the last state to the end."""
    from workload import noop, register

    from rose import LocalEngine, ParallelUQLearner
    from rose.tracking import JSONTracker

    engine = LocalEngine(2)
    learner = ParallelUQLearner(engine)
    register(learner, noop, noop)
    if second:
        learner.add_tracker(JSONTracker(folder / "tracking.jsonl"))
        learner.add_tracker(make_tracker(second, folder))
    names, models = [f"learner-{i}" for i in range(8)], [f"model-{i}" for i in range(8)]
    first = last = began = used = 0.0
    async for _ in learner.start(learner_names=names, model_names=models, num_predictions=8, max_iter=rounds):
        last, used = time.perf_counter(), time.process_time()
        first, began = first or last, began or used
    ended = time.perf_counter()
    await engine.close()
    return {"iteration": (last - first) / (rounds - 1), "driver": (used - began) / (rounds - 1), "end": ended - last}


def run(rounds: int, second: str) -> dict[str, float]:
    """Measure in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--measure", second, "--rounds", str(rounds), "--folder", folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--second", choices=["tensorboard", "mlflow"], default="tensorboard")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure is not None:
        print(json.dumps(asyncio.run(measured(options.rounds, options.measure, options.folder))))
        return 0
    ratios: dict[str, list[float]] = {"iteration": [], "driver": []}
    for _ in range(options.pairs):
        without, with_both = run(options.rounds, ""), run(options.rounds, options.second)
        for what, of in ratios.items():
            of.append(with_both[what] / without[what])
            print(
                f"{what}: {without[what] * 1e3:.1f} ms without, {with_both[what] * 1e3:.1f} ms with: {of[-1]:.2f}x; ",
                end="",
            )
        print(f"end: {without['end']:.2f} s and {with_both['end']:.2f} s", flush=True)
    medians = ", ".join(f"{what} {statistics.median(of):.2f}x" for what, of in ratios.items())
    print(
        f"JSON and {options.second}, medians: {medians} of without (bar: 1.1x); load average {os.getloadavg()[0]:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
