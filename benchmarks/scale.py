"""How the driver's cost grows with workers and candidates: the real loop, journal and admission over simulated workers.

    python benchmarks/scale.py                       # the whole table
    python benchmarks/scale.py --quick               # its small rows
    python benchmarks/scale.py --profile WORKERS CANDIDATES SHORTER     # where the driver's time goes in one row

Two workflows (margin and entropy, "top_k") of five models share a pool; a round of each asks for as many simulations as
there are workers for it. Every row is a process of its own. Seeds are fixed; times are the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rose import ParallelUQLearner, Pool
from rose.metrics import MARGIN, PREDICTIVE_ENTROPY
from rose.pool.screening.part import Bars, Question, Screened
from scale_simulated import SimulatedEngine, SimulatedLoop, rss_peak, watch_journals

SEED = 7
MODELS = 5
ROUNDS = 2
MEMORY_DISK = Path("/dev/shm")  # for run directories: `make bench` measures what a disk costs
WORKFLOWS = {"entropy": PREDICTIVE_ENTROPY, "margin": MARGIN}
LATENCY = 0.005  # s
LOST = 0.01  # share of tasks that lose their worker
SECONDS = {"simulation": 600.0, "training": 120.0, "screening": 30.0}  # mean; lognormal, sigma 0.3

# workers, candidates, and how many times shorter all tasks are
ROWS = [
    (10, 10**4, 1), (10, 10**6, 1), (100, 10**6, 1), (100, 10**8, 1), (1_000, 10**6, 1),
    (1_000, 10**8, 1), (1_000, 10**8, 10), (1_000, 10**8, 100),
    (1_000, 10**9, 1), (10_000, 10**8, 1), (10_000, 10**9, 1), (10_000, 10**9, 10),
    (10_000, 10**9, 100),
]  # fmt: skip
QUICK = 5
HEADS = (
    "workers", "candidates", "a part takes", "tasks", "driver's CPU", "per task", "a round takes", "workers used",
    "with a free driver", "memory",
)  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """What one row came to, per round of both workflows.

    Attributes:
        shorter: how many times shorter than in `SECONDS` tasks are.
        tasks: run in a round, those included that lost their worker.
        cpu: the driver's seconds of CPU, of all its threads, without what the simulation itself costs.
        ms: the same per task, in milliseconds.
        hours: simulated hours that a round lasted.
        used: share of the workers' time that they worked.
        free: the same with a driver that takes no time: what the rounds' own barriers leave.
        rss: the driver's peak memory beyond that of its imports, in MB.
    """

    workers: int
    candidates: int
    shorter: int
    tasks: int
    cpu: float
    ms: float
    hours: float
    used: float
    free: float
    rss: float


def duration(shorter: int, stage: str, rng: np.random.Generator) -> float:
    """How long a task runs, in seconds."""
    mean = SECONDS.get(stage.partition(".")[0], 1.0) / shorter
    return float(mean * rng.lognormal(-0.045, 0.3))


def screened(
    question: Question, start: int, stop: int, taken: np.ndarray, most: int, bars: Bars, X: Any, /, *models: Any
) -> bytes:
    """What a worker would send of a part: of as many candidates as may be wanted, at random places, those within the
    bars, and no more than it may."""
    rng = np.random.default_rng([start, stop, len(question.name)])
    count = min(question.kept, stop - start - len(taken))
    keys = rng.random(count) * count / (stop - start)  # about as the first so many of uniform scores
    step = (stop - start) // max(1, count)
    indices = start + step * np.arange(count) + int(rng.integers(step))
    lower = question.metric.direction == "lower"
    wanted = keys <= (bars.score if lower else 1.0 + bars.score)
    if len(taken):
        wanted &= taken[np.minimum(np.searchsorted(taken, indices), len(taken) - 1)] != indices
    indices, keys = indices[wanted], keys[wanted]
    held_back = Bars()
    if len(keys) > most:
        first = np.sort(np.argpartition(keys, most)[:most])
        indices, keys = indices[first], keys[first]
        held_back = Bars(score=float(keys.max()) - (0.0 if lower else 1.0))
    nothing, form = np.empty(0, np.int64), "[n, 2] without variances"
    scores = keys if lower else 1.0 - keys
    return Screened((start, stop), indices, scores, nothing, np.empty(0), 0.0, 1.0, form, held_back).packed()


def learner_of(engine: SimulatedEngine, workers: int, pool: Pool, run_dir: Path) -> ParallelUQLearner:
    learner = ParallelUQLearner(engine, pool=pool, run_dir=run_dir, acquisition="top_k")

    @learner.simulation_task(as_executable=False, retries=5)
    def simulate(index: int) -> float:
        return float(index)

    @learner.training_task(as_executable=False, retries=5)
    def train(y: np.ndarray) -> int:
        return len(y)

    @learner.prediction_task(as_executable=False, retries=5)
    def predict(model: int, X: np.ndarray) -> np.ndarray:  # for pools of one block; screening is made up
        rng = np.random.default_rng(model)
        p = rng.random(len(X))
        return np.stack([p, 1 - p], axis=1)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=max(1, workers // len(WORKFLOWS)))
    return learner


def play(workers: int, candidates: int, shorter: int, folder: Path, free: bool = False) -> dict[str, float]:
    """One run; what it cost."""
    path = folder / "pool.npy"
    if not path.exists():
        np.lib.format.open_memmap(path, "w+", np.uint8, (candidates, 1)).flush()  # sparse: no blocks on the disk
    loop = SimulatedLoop(free)
    asyncio.set_event_loop(loop)
    engine = SimulatedEngine(workers, {"screen": screened}, partial(duration, shorter), LATENCY, LOST, SEED)
    pool = Pool(path, initial=workers, seed=SEED)
    learner = learner_of(engine, workers, pool, folder / f"run-{free}")
    gc.collect()
    began, cpu = loop.time(), loop.worked()
    names = [f"model-{number}" for number in range(MODELS)]
    loop.run_until_complete(learner.teach(workflows=WORKFLOWS, model_names=names, max_iter=ROUNDS))
    cpu = loop.worked() - cpu
    lasted = loop.time() - began
    loop.run_until_complete(learner.shutdown())
    loop.close()
    return {"tasks": engine.tasks, "cpu": cpu, "lasted": lasted, "used": engine.busy / lasted / workers}


def disk() -> Path | None:
    return MEMORY_DISK if MEMORY_DISK.is_dir() else None


def measure(workers: int, candidates: int, shorter: int) -> Figures:
    """One row."""
    watch_journals()
    before = rss_peak()
    with tempfile.TemporaryDirectory(dir=disk()) as folder:
        found = play(workers, candidates, shorter, Path(folder))
        rss = rss_peak() - before
        free = play(workers, candidates, shorter, Path(folder), free=True)
    return Figures(
        workers=workers,
        candidates=candidates,
        shorter=shorter,
        tasks=round(found["tasks"] / ROUNDS),
        cpu=found["cpu"] / ROUNDS,
        ms=found["cpu"] / found["tasks"] * 1e3,
        hours=found["lasted"] / ROUNDS / 3600,
        used=found["used"],
        free=free["used"],
        rss=rss / 1e6,
    )


def in_process(*row: int) -> Figures:
    """One row in a process of its own."""
    arguments = [sys.executable, __file__, "--row", *map(str, row)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return Figures(**json.loads(done.stdout))


def show(row: Figures) -> str:
    cells = [
        f"{row.workers:,}",
        f"{row.candidates:.0e}",
        f"{SECONDS['screening'] / row.shorter:g} s",
        f"{row.tasks:,}",
        f"{row.cpu:.1f} s",
        f"{row.ms:.2f} ms",
        f"{row.hours * 60:.1f} min",
        f"{row.used:.1%}",
        f"{row.free:.1%}",
        f"{row.rss:.0f} MB",
    ]
    return "| " + " | ".join(cells) + " |"


def profile(workers: int, candidates: int, shorter: int) -> None:
    """Where the driver's time goes."""
    watch_journals()
    profiler = cProfile.Profile()
    with tempfile.TemporaryDirectory(dir=disk()) as folder:
        profiler.enable()
        play(workers, candidates, shorter, Path(folder))
        profiler.disable()
    stats = pstats.Stats(profiler)
    stats.sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--row", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--profile", type=int, nargs=3, metavar=("WORKERS", "CANDIDATES", "SHORTER"))
    options = parser.parse_args()
    if options.row:
        print(json.dumps(asdict(measure(*options.row))))
        return
    if options.profile:
        profile(*options.profile)
        return
    print(f"load {os.getloadavg()[0]:.1f}, {len(os.sched_getaffinity(0))} cpus; per round of both workflows:")
    print("| " + " | ".join(HEADS) + " |")
    print("|" + "---|" * len(HEADS))
    for row in ROWS[: QUICK if options.quick else None]:
        print(show(in_process(*row)), flush=True)


if __name__ == "__main__":
    main()
