"""Thousands of workers that are not there: an event loop whose idle time passes at once, and an engine of its own.

The loop's clock is the driver's CPU time (of all its threads: other processes of a busy machine do not count) plus the
time that was skipped because nothing was to be done: while the driver works, simulated workers that have ended wait for
it, as real ones would. What the simulation itself does (making up results) is taken out.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import pickle
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rose.engine import Ref, Task, TaskKey
from rose.engine.base import BaseEngine
from rose.engine.local.task_codec import pack_task
from rose.engine.protocol import OnStart
from rose.engine.shipping.serialization import FileRef
from rose.engine.threads import ThreadEngine
from rose.errors import WorkerLostError
from rose.loop.seeds import derive_seed
from rose.stages.reporting import Watched
from rose.store.journal import Journal


class _Selector(selectors.DefaultSelector):
    """Waits for threads and sockets; where only a timer would end the waiting, the clock is put forward instead."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or self.loop.waits_for_threads:
            return super().select(timeout)
        events = super().select(0)
        if not events:
            self.loop.skip(timeout)
        return events


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time.

    Args:
        free: whether the driver's own work takes no time either: what is left is the bound that the work itself sets.
    """

    def __init__(self, free: bool = False) -> None:
        self.waits_for_threads = 0
        self._free = free
        self._skipped = 0.0
        self._excluded = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._skipped + (0.0 if self._free else self.worked())

    def worked(self) -> float:
        """Seconds of CPU that the driver has taken."""
        return time.process_time() - self._excluded

    def skip(self, seconds: float) -> None:
        """Put the clock forward."""
        self._skipped += seconds

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done here is the simulation's own: no one's time."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._excluded += time.thread_time() - began

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self.waits_for_threads += 1
        future.add_done_callback(self._no_longer)
        return future

    def _no_longer(self, _: object) -> None:
        self.waits_for_threads -= 1


def watch_journals() -> None:
    """Have the loop wait for what journals write, and not skip the time until it is written."""
    commit, wrote, run = Journal._commit, Journal._wrote, Journal.run

    @functools.wraps(commit)
    def committing(self: Journal) -> None:
        asyncio.get_running_loop().waits_for_threads += self._group is not None
        commit(self)

    @functools.wraps(wrote)
    def written(self: Journal, group: Any) -> None:
        asyncio.get_running_loop().waits_for_threads -= 1
        wrote(self, group)

    @functools.wraps(run)
    async def running(self: Journal, job: Any) -> Any:
        asyncio.get_running_loop().waits_for_threads += 1
        try:
            return await run(self, job)
        finally:
            asyncio.get_running_loop().waits_for_threads -= 1

    Journal._commit, Journal._wrote, Journal.run = committing, written, running


class SimulatedEngine(BaseEngine):
    """So many workers of one cpu each. The driver admits, pickles and unpickles as for real ones; what they would send
    is made up by `results`, and how long that takes by `seconds`. What an engine's own messages cost is not in it.

    Args:
        workers: how many.
        results: by the name of the task's function, what gives the result of its arguments instead of it.
        seconds: how long a task runs, by its stage and a random generator of its own.
        latency: seconds from the driver to a worker and back.
        lost: the share of tasks whose worker is lost while they run.
        seed: of all that is random.
    """

    capabilities = ThreadEngine.capabilities

    def __init__(
        self,
        workers: int,
        results: dict[str, Callable[..., Any]],
        seconds: Callable[[str, np.random.Generator], float],
        latency: float,
        lost: float,
        seed: int,
    ) -> None:
        super().__init__(workers, 0, None, None)
        self._results = results
        self._seconds = seconds
        self._latency = latency
        self._lost = lost
        self._seed = seed
        self._numbers = itertools.count()
        self._shared: dict[str, Any] = {}
        self._attempts: dict[str, int] = {}
        self.busy = 0.0  # seconds that workers have worked
        self.tasks = 0
        self._running = 0

    async def _run_function(self, task: Task, on_start: OnStart | None) -> Any:
        request = await self._acquire(task)
        self._running += 1
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        if on_start is not None:
            loop.call_soon(on_start, "simulated:0")
        try:
            pack_task(task, None, self._shared)
            with loop.aside():
                rng = self._rng(task.key)
                seconds, lost = self._seconds(task.key.stage, rng), rng.random() < self._lost
                seconds *= rng.random() if lost else 1.0
            self.tasks += 1
            self.busy += seconds
            await asyncio.sleep(seconds + self._latency)
            if lost:
                raise WorkerLostError("the node went down", str(task.key))
            with loop.aside():
                reply = pickle.dumps(self._call(task), protocol=5)
            return pickle.loads(reply)
        finally:
            self._running -= 1
            self._slots.release(request)

    def _rng(self, key: TaskKey) -> np.random.Generator:
        """By the task; of a simulation, by the candidate: which of the workflows that want it asks first is chance."""
        name = str(key.index) if key.stage == "simulation" else str(key)
        attempt = self._attempts[name] = self._attempts.get(name, 0) + 1
        return np.random.default_rng(derive_seed(self._seed, f"{name} {attempt}"))

    def _call(self, task: Task) -> Any:
        call, args = task.call, [self._shared.get(getattr(arg, "path", None), arg) for arg in task.args]
        kwargs = {name: self._shared.get(getattr(arg, "path", None), arg) for name, arg in task.kwargs.items()}
        if isinstance(call, Watched):  # not with its prints kept
            call = Watched(self._results.get(call.func.__name__, call.func), call._observed, None, "")
        else:
            call = self._results.get(call.__name__, call)
        return call(*args, **kwargs)

    async def _store(self, value: Any) -> Ref:
        path = f"/simulated/{next(self._numbers)}"
        self._shared[path] = value
        return FileRef(path)

    async def _forget(self, ref: Ref) -> None:
        assert isinstance(ref, FileRef)
        del self._shared[ref.path]

    async def _close_functions(self) -> None:
        assert not self._running

    @property
    def _is_busy(self) -> bool:
        return bool(self._running)


def rss_peak() -> int:
    """The most memory that this process has occupied, in bytes."""
    with open(f"/proc/{os.getpid()}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
