"""What the embedded engine does in a second, next to pebble's pool and the bare standard library, in one run.

    python benchmarks/engine_throughput.py [WORKERS]

The machine is shared and noisy: compare the lines with each other, not with figures from another day.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter
from typing import Any

import cloudpickle

from rose.engine import Command, LocalEngine, Task, TaskKey, ThreadEngine

TASKS = 20_000
COMMANDS = 500
ROUNDS = 3


def noop() -> None:
    """Defined here, in `__main__`: it travels by value, as a user's functions do."""


def call_pickled(payload: bytes) -> Any:
    return cloudpickle.loads(payload)()


def task(index: int, call: Callable[..., Any] | Command) -> Task:
    return Task(TaskKey("bench", 0, "noop", index=index), call)


async def rate(engine: LocalEngine | ThreadEngine, call: Callable[..., Any] | Command, count: int) -> float:
    best = 0.0
    for _ in range(ROUNDS):
        began = perf_counter()
        await asyncio.gather(*[engine.run(task(index, call)) for index in range(count)])
        best = max(best, count / (perf_counter() - began))
    return best


async def median_ms(engine: LocalEngine) -> float:
    seconds = []
    for index in range(1_000):
        began = perf_counter()
        await engine.run(task(index, noop))
        seconds.append(perf_counter() - began)
    return sorted(seconds)[len(seconds) // 2] * 1e3


def of_executor(pool: Any, submit: Callable[[Any, bytes], Any], count: int = TASKS // 2) -> float:
    payload = cloudpickle.dumps(noop)
    best = 0.0
    for _ in range(ROUNDS):
        began = perf_counter()
        for future in [submit(pool, payload) for _ in range(count)]:
            future.result()
        best = max(best, count / (perf_counter() - began))
    return best


async def ours(workers: int) -> None:
    began = perf_counter()
    async with LocalEngine(workers) as engine:
        await engine.run(task(0, noop))
        print(f"LocalEngine: first result                 {(perf_counter() - began) * 1e3:8.0f} ms")
        print(f"LocalEngine: functions of __main__        {await rate(engine, noop, TASKS):8,.0f} /s")
        print(f"LocalEngine: importable functions         {await rate(engine, os.getpid, TASKS):8,.0f} /s")
        print(f"LocalEngine: one at a time, median        {await median_ms(engine):8.2f} ms")
        print(f"LocalEngine: commands (true)              {await rate(engine, Command('true'), COMMANDS):8,.0f} /s")
    async with ThreadEngine(workers) as threads:
        print(f"ThreadEngine: functions                   {await rate(threads, noop, TASKS):8,.0f} /s")


def peers(workers: int) -> None:
    with ProcessPoolExecutor(workers) as executor:
        figure = of_executor(executor, lambda pool, payload: pool.submit(call_pickled, payload))
        print(f"ProcessPoolExecutor (fork), cloudpickled  {figure:8,.0f} /s")
    try:
        import pebble
        from loky import wrap_non_picklable_objects
        from loky.backend import get_context
    except ImportError:
        print("pebble on loky's context: not installed")
        return
    wrapped = wrap_non_picklable_objects(noop)
    with pebble.ProcessPool(workers, context=get_context("loky")) as pool:
        figure = of_executor(pool, lambda pool, _: pool.schedule(wrapped))
        print(f"pebble on loky's context, cloudpickled    {figure:8,.0f} /s")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    asyncio.run(ours(count))
    peers(count)
