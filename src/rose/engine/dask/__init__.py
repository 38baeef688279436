"""A Dask cluster as an engine: `DaskEngine`."""

from __future__ import annotations

import asyncio
import pickle
import threading
import weakref
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rose.engine._remote.loops import LoopThread, across
from rose.engine.dask.cluster import Fleet
from rose.engine.dask.connecting import Scheduler, given
from rose.engine.dask.membership import capacities, total
from rose.engine.local import LocalEngine
from rose.engine.local.initializer import checked_initializer
from rose.engine.local.interpreter import current
from rose.engine.processes.scratch import Scratch
from rose.engine.protocol import Capacity, OnStart, Ref, Task
from rose.engine.shipping.program import submitted
from rose.engine.shipping.shared_store import SharedStore
from rose.errors import ConfigurationError, EngineClosedError, WorkerTakenError
from rose.paths import expanded


class DaskEngine:
    """Runs tasks on the workers of a Dask cluster.

    The engine connects as a client of its own when it is made (which blocks for a moment, as making a Client does), and
    closes only that one: what it was given stays the user's. So it may be used in one event loop after the other, and
    does not mind the end of the loop, or of the Client, that it was made from.

    Each task runs in a child process of a Dask worker: cancelling it, its timeout or its crash ends that process, not
    the worker. A worker is given no more than it has: its threads count as cpus, `--resources GPU=n` as gpus, its
    memory limit as memory. Nothing is ever run a second time unasked: what a worker was running when it died, or left,
    fails with WorkerTakenError; what it had not got yet goes to another one. ROSE must be installed where the scheduler
    and the workers run, with the same Python.

    Without workers (a job is still queued, an adaptive cluster is at rest) tasks wait for the first to join. An
    adaptive cluster is shown what waits, so it grows; while the engine is open, Dask keeps at least one worker.

    Large values travel as files in `temp_dir` to the workers that see that directory, which each proves by reading a
    file there; to the others they are sent, a shared value once, and copied from worker to worker.

    Args:
        cluster: a `distributed.Client` (synchronous or not), a scheduler's address ("tcp://..."), or a cluster object
            (LocalCluster, dask-jobqueue's, dask-kubernetes', ...).
        workers: the names or addresses of the workers that may be used; None: all, also those that join later.
        patience: for how many seconds the scheduler may not answer before the connection counts as lost. What ran is
            then stopped and has failed (WorkerTakenError), and the next task connects anew.
        temp_dir: where to keep large values, best in a file system that the workers see too; made when it is needed.
            None: the system's directory for temporary files, see TMPDIR.
        initializer: called once in each process that runs tasks; if it raises, tasks end with WorkerLostError.

    Raises:
        ConfigurationError: `cluster` is none of these, or no scheduler answers.

    Example:
        from dask.distributed import LocalCluster
        engine = DaskEngine(LocalCluster(n_workers=4))
        learner = ParallelUQLearner(engine)          # or give it the cluster itself
    """

    capabilities = replace(LocalEngine.capabilities, tells_start=False)  # one is what runs the tasks, on each worker

    def __init__(
        self,
        cluster: Any,
        *,
        workers: Collection[str] | None = None,
        patience: float = 30.0,
        temp_dir: str | Path | None = None,
        initializer: Callable[[], object] | None = None,
    ) -> None:
        temp_dir = None if temp_dir is None else expanded(temp_dir, "temp_dir")
        if temp_dir is not None and temp_dir.exists() and not temp_dir.is_dir():
            raise ConfigurationError(f"temp_dir is no directory: {temp_dir}")
        if isinstance(workers, str):
            raise ConfigurationError(f"workers must be a list of the names of Dask workers, got {workers!r}")
        self._scheduler: Scheduler = given(cluster)
        if not patience > 0:
            raise ConfigurationError(f"patience must be positive seconds, got {patience!r}")
        self._patience = patience
        self._workers = None if workers is None else frozenset(workers)
        # Now, in the user's thread: the connection has one of its own, where other settings hold.
        self._initializer = checked_initializer(initializer)
        self._interpreter = pickle.dumps(current().elsewhere())
        self._scratch = Scratch(temp_dir)
        self._shared = SharedStore(self._scratch, remap=False)
        self._connection = _Connection()
        self._connecting: Future[Fleet] | None = None
        self._lock = threading.Lock()
        self._closing: Future[None] | None = None
        self._finalizer = weakref.finalize(self, _abandon, self._connection, self._scratch)
        if self._scheduler.identity is None:
            self._connect()

    def __repr__(self) -> str:
        return f"DaskEngine({self._scheduler.address!r})"

    def capacity(self) -> Capacity:
        """What the workers that are there now have together; one task gets no more than one worker has."""
        fleet = self._connection.fleet
        if fleet is not None:
            return fleet.capacity()
        assert self._scheduler.identity is not None
        return total(capacities(self._scheduler.identity(), self._workers))

    async def run(self, task: Task, on_start: OnStart | None = None) -> Any:
        """Wait for a worker that has the task's resources free, run it there, and return its result; see `Engine.run`.

        Raises:
            CapacityError: at once, if no worker has what it asks for.
            WorkerTakenError: its worker died or left, or the connection to the scheduler was lost.
        """
        fleet = await self._fleet(task)
        submitted()
        return await across(fleet.loop, lambda: fleet.run(task))

    async def share(self, value: Any) -> Ref:
        """Store a value once, for many tasks; they get it read-only and must not change it."""
        self._check_open("share: ")
        return await self._shared.store(value, lambda: self._check_open("share: "))

    async def release(self, ref: Ref) -> None:
        """Free what `share` stored, also on the workers; the Ref must not be used again."""
        self._check_open("release: ")
        stored = await self._shared.remove(ref)
        fleet = self._connection.fleet
        if fleet is not None and fleet.lost is None:
            await across(fleet.loop, lambda: fleet.forget(stored.path))

    async def close(self) -> None:
        """End all tasks (their callers get EngineClosedError), and our connection. May be called twice."""
        with self._lock:
            closing, first = self._closing, self._closing is None
            if closing is None:
                closing = self._closing = Future()
        if not first:
            await asyncio.wrap_future(closing)
            return
        try:
            if self._connecting is not None:
                await asyncio.gather(asyncio.wrap_future(self._connecting), return_exceptions=True)
            try:
                await asyncio.get_running_loop().run_in_executor(self._scratch.threads, self._connection.close)
            finally:
                await self._scratch.close()
                self._finalizer.detach()
        finally:
            closing.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- the connection --------------------------------------------------------------------------------------------

    async def _fleet(self, task: Task) -> Fleet:
        """The connection; a new one if there is none yet, or it was lost."""
        self._check_open(f"task {task.key}: ")
        fleet = self._connection.fleet
        if fleet is None or fleet.lost is not None:
            with self._lock:
                if self._connecting is None or self._connecting.done():
                    self._connecting = self._scratch.threads.submit(self._connect)
                connecting = self._connecting
            try:
                fleet = await _result(connecting)
            except ConfigurationError as error:
                raise WorkerTakenError(str(error), str(task.key)) from error
            self._check_open(f"task {task.key}: ")
        return fleet

    def _connect(self) -> Fleet:
        """Connect, or connect again. Blocks."""
        self._connection.close()
        thread = LoopThread("rose-dask")
        try:
            fleet = thread.call(self._open)
        except BaseException:
            thread.end()
            raise
        self._connection.thread, self._connection.fleet = thread, fleet
        return fleet

    async def _open(self) -> Fleet:
        client = await self._scheduler.connect(self._patience)
        settings = self._interpreter, self._initializer
        fleet = Fleet(client, self._scratch, self._shared, self._workers, self._patience, *settings)
        try:
            await fleet.open()
        except BaseException:
            await fleet.close()
            raise
        return fleet

    def _check_open(self, who: str) -> None:
        if self._closing is not None:
            raise EngineClosedError(f"{who}the engine has been closed")


class _Connection:
    """The last connection, and the thread that it lives in; no thread if it has been closed."""

    def __init__(self) -> None:
        self.thread: LoopThread | None = None
        self.fleet: Fleet | None = None

    def close(self) -> None:
        """Close it. Blocks."""
        thread, self.thread = self.thread, None
        if thread is not None:
            assert self.fleet is not None
            thread.call(self.fleet.close)
            thread.end()


async def _result(connecting: Future[Fleet]) -> Fleet:
    """The connection; who stops waiting for it does not end it."""
    waiting = asyncio.wrap_future(connecting)
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # it has been seen in any case
    return await asyncio.shield(waiting)


def _abandon(connection: _Connection, scratch: Scratch) -> None:
    """The engine was never closed. When its connection goes, the workers stop what runs for it."""
    if connection.thread is not None and connection.fleet is not None:
        connection.thread.end_after(connection.fleet.close)
    scratch.abandon()
