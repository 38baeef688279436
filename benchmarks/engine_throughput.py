"""What our engines do in a second, next to pebble's pool, the bare standard library and Dask's own client, in one run;
and how soon work has stopped that is cancelled, or that has run into its timeout.

    python benchmarks/engine_throughput.py [WORKERS]

The machine is shared and noisy: compare the lines with each other, not with figures from another day.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import cloudpickle

from rose.engine import Command, DaskEngine, Engine, LocalEngine, Task, TaskKey, ThreadEngine
from rose.testing.engine_contract import begun

TASKS = 20_000
COMMANDS = 500
DASK_TASKS = 1_000
ROUNDS = 3


def noop() -> None:
    """Defined here, in `__main__`: it travels by value, as a user's functions do."""


def call_pickled(payload: bytes) -> Any:
    return cloudpickle.loads(payload)()


def task(index: int, call: Callable[..., Any] | Command) -> Task:
    return Task(TaskKey("bench", 0, "noop", index=index), call)


async def rate(engine: Engine, call: Callable[..., Any] | Command, count: int, rounds: int = ROUNDS) -> float:
    best = 0.0
    for _ in range(rounds):
        began = perf_counter()
        await asyncio.gather(*[engine.run(task(index, call)) for index in range(count)])
        best = max(best, count / (perf_counter() - began))
    return best


async def median_ms(engine: Engine, count: int = 1_000) -> float:
    seconds = []
    for index in range(count):
        began = perf_counter()
        await engine.run(task(index, noop))
        seconds.append(perf_counter() - began)
    return sorted(seconds)[len(seconds) // 2] * 1e3


def live(pulse: str) -> None:
    """Write the time into a file every millisecond, for ever."""
    with open(pulse, "wb", buffering=0) as file:
        while True:
            file.seek(0)
            file.write(struct.pack("d", time.time()))
            time.sleep(0.001)


def last_sign(pulse: Path) -> float:
    (when,) = struct.unpack("d", pulse.read_bytes())
    return float(when)


async def stopping_ms(engine: Engine, limit: float | None, count: int = 10) -> float:
    """From cancelling (or the end of the timeout) to the last sign of the work: the worst of some, in milliseconds."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            pulse = Path(folder, str(index))
            began = time.time()
            call = Task(TaskKey("bench", 0, "live", index=index), live, (str(pulse),), timeout=limit)
            running = asyncio.ensure_future(engine.run(call))
            await begun(pulse)
            if limit is None:
                await asyncio.sleep(0.1)
                began = time.time()
                running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await asyncio.sleep(1.0)
            worst = max(worst, last_sign(pulse) - began - (limit or 0.0))
    return worst * 1e3


async def show_stopping(name: str, engine: Engine) -> None:
    for what, timeout in (("a cancelled task has ended", None), ("a task with a timeout has", 0.3)):
        took = await stopping_ms(engine, timeout)
        print(f"{name + ': ' + what:<42}{took:8.0f} ms   {verdict(took <= 1000)}: 1 s")


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
        figure = await rate(engine, noop, TASKS)
        print(f"LocalEngine: functions of __main__        {figure:8,.0f} /s")
        print(f"LocalEngine: overhead of a task           {1e3 / figure:8.2f} ms   {verdict(1e3 / figure <= 1)}: 1 ms")
        print(f"LocalEngine: importable functions         {await rate(engine, os.getpid, TASKS):8,.0f} /s")
        print(f"LocalEngine: one at a time, median        {await median_ms(engine):8.2f} ms")
        print(f"LocalEngine: commands (true)              {await rate(engine, Command('true'), COMMANDS):8,.0f} /s")
        await show_stopping("LocalEngine", engine)
    async with ThreadEngine(workers) as threads:
        print(f"ThreadEngine: functions                   {await rate(threads, noop, TASKS):8,.0f} /s")


async def on_dask(workers: int) -> None:
    """Both take turns, so that they meet the same noise; the best round of each counts."""
    from distributed import Client, LocalCluster

    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        async with DaskEngine(client) as engine:
            await rate(engine, noop, DASK_TASKS // 10)
            theirs = ours = 0.0
            for _ in range(ROUNDS):
                theirs = max(theirs, await asyncio.to_thread(of_client, client))
                ours = max(ours, await rate(engine, noop, DASK_TASKS, rounds=1))
            single = await asyncio.to_thread(of_client_singly, client, 100)
            print(f"Dask: its own client.submit, gather       {theirs:8,.0f} /s")
            bar = verdict(ours * 1.5 >= theirs)
            print(f"DaskEngine: functions of __main__         {ours:8,.0f} /s   {bar}: Dask's / 1.5")
            print(f"Dask: one at a time, median               {single:8.2f} ms")
            print(f"DaskEngine: one at a time, median         {await median_ms(engine, 100):8.2f} ms")
            await show_stopping("DaskEngine", engine)


def of_client(client: Any) -> float:
    began = perf_counter()
    client.gather([client.submit(noop, pure=False) for _ in range(DASK_TASKS)])
    return DASK_TASKS / (perf_counter() - began)


def of_client_singly(client: Any, count: int) -> float:
    seconds = []
    for _ in range(count):
        began = perf_counter()
        client.submit(noop, pure=False).result()
        seconds.append(perf_counter() - began)
    return sorted(seconds)[count // 2] * 1e3


def verdict(met: bool) -> str:
    return "meets its bar" if met else "MISSES its bar"


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
    asyncio.run(on_dask(count))
