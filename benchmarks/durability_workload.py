"""One measurement of `benchmarks/durability.py`, in a process of its own; prints JSON.

python benchmarks/durability_workload.py rounds|grow|interrupted|replayed|read ITERATIONS [RUN_DIR]
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from rose import ParallelUQLearner
from rose.engine import LocalEngine, Task, ThreadEngine
from rose.engine.protocol import OnStart
from rose.store import Run, RunReader
from rose.store.database.schema import reading
from rose.store.database.sql import read_tasks
from rose.store.files.objects import ObjectStore
from rose.store.records import DONE

MEMBERS = PASSES = 8


class Counting(ThreadEngine):
    """Runs tasks in this process, and counts them."""

    count = 0

    async def run(self, task: Task, on_start: OnStart | None = None) -> Any:
        self.count += 1
        return await super().run(task, on_start)


def main(what: str, iterations: int, run_dir: str | None = None) -> None:
    """Measure, and print what was found."""
    opened = 0
    get = ObjectStore.get

    def counted(self: ObjectStore, name: str) -> Any:
        nonlocal opened
        opened += 1
        return get(self, name)

    ObjectStore.get = counted  # type: ignore[method-assign]
    measure = {"rounds": rounds, "grow": grow, "interrupted": interrupted, "replayed": replayed, "read": read}[what]
    found = asyncio.run(measure(iterations, run_dir))
    if run_dir is not None:
        with reading(Path(run_dir)) as connection:
            found["recorded"] = sum(task.state == DONE for task in read_tasks(connection))
    print(json.dumps(found | {"objects_read": opened}))


async def rounds(iterations: int, run_dir: str | None) -> dict[str, Any]:
    """Seconds of a no-op iteration of 8 workflows on two worker processes, the first left out."""
    names = [f"w{i}" for i in range(8)]
    async with LocalEngine(2) as engine:
        learner = no_op_learner(engine, run_dir)
        ends = [time.perf_counter() async for _ in learner.start(names, members(), PASSES, iterations)]
    return {"seconds": (ends[-1] - ends[len(names) - 1]) / (iterations - 1)}


async def grow(iterations: int, run_dir: str | None) -> dict[str, Any]:
    """Seconds of a whole run of 8 workflows, recorded before or not, and the memory (MB) as it goes."""
    memory, start = [], time.perf_counter()
    async with ThreadEngine(2) as engine:
        learner = no_op_learner(engine, run_dir)
        names = [f"w{i}" for i in range(8)]
        for number in itertools.count(1):
            if number == 1:
                states = learner.start(names, members(), PASSES, iterations)
            state = await anext(states, None)
            if state is None:
                break
            if number % max(1, iterations * len(names) // 10) == 0:
                memory.append(psutil.Process().memory_info().rss // 2**20)
    return {"seconds": time.perf_counter() - start, "memory": memory}


async def interrupted(iterations: int, run_dir: str | None) -> dict[str, Any]:
    """One round with as many tasks as `grow` has in all, which ends in an error after its predictions."""
    passes = iterations * 8 * 72 // MEMBERS
    async with ThreadEngine(2) as engine:
        learner = no_op_learner(engine, run_dir, fails=True)
        try:
            await learner.teach(["w"], members(), passes, 1)
        except Exception as error:
            return {"error": str(error)}
    raise AssertionError("it was to fail")


async def replayed(iterations: int, run_dir: str | None) -> dict[str, Any]:
    """That round again, up to the same error: everything before it is replayed."""
    passes = iterations * 8 * 72 // MEMBERS
    start, processor = time.perf_counter(), time.process_time()
    engine = Counting(2)
    async with engine:
        learner = no_op_learner(engine, run_dir, fails=True)
        try:
            await learner.teach(["w"], members(), passes, 1)
        except Exception as error:
            seconds, processor = time.perf_counter() - start, time.process_time() - processor
            return {"seconds": seconds, "processor": processor, "tasks_run": engine.count, "error": str(error)}
    raise AssertionError("it was to fail")


async def read(iterations: int, run_dir: str | None) -> dict[str, Any]:
    """Seconds for what is new in a recorded run: everything, then 100 tasks at a time."""
    assert run_dir is not None
    start = time.perf_counter()
    with RunReader(run_dir) as reader:
        opened, changes = time.perf_counter(), reader.since()
        first, some = time.perf_counter(), []
        run = await Run.open(Path(run_dir))
        for turn in range(20):
            for index in range(100):
                await run.done(run.started(f"w0/{iterations + turn}/prediction/m/{index}"), index, unflushed=True)
            await run.flushed()
            begun = time.perf_counter()
            changes = reader.since(changes.cursor)
            some.append(time.perf_counter() - begun)
            assert len(changes.tasks) == 100
        await run.close()
    return {"open": opened - start, "all": first - opened, "new": statistics.median(some), "slowest": max(some)}


def members() -> list[str]:
    """Names of the models."""
    return [f"m{i}" for i in range(MEMBERS)]


def no_op_learner(engine: Any, run_dir: str | None, fails: bool = False) -> ParallelUQLearner:
    """A learner whose stages do nothing; `fails`: but for the choice, which raises."""
    learner = ParallelUQLearner(engine, run_dir=run_dir)
    learner.reports = False  # written at the end: what it costs is measured by page.py

    @learner.simulation_task(as_executable=False)
    def simulate(*args: Any, **kwargs: Any) -> int:
        return 1

    @learner.training_task(as_executable=False)
    def train(*args: Any, **kwargs: Any) -> int:
        return 2

    @learner.prediction_task(as_executable=False)
    def predict(*args: Any, **kwargs: Any) -> int:
        return 3

    @learner.active_learn_task(as_executable=False)
    def choose(*args: Any, **kwargs: Any) -> int:
        if fails:
            raise RuntimeError("the end of the recorded part")
        return 4

    return learner


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
