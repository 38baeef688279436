"""A Dask cluster as an engine: `DaskEngine`."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Collection
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distributed import Client

from rose.engine.custody import Custody
from rose.engine.dask_fleet import Fleet
from rose.engine.dask_given import Scheduler, given
from rose.engine.dask_roster import capacities, total
from rose.engine.local import LocalEngine
from rose.engine.loops import across
from rose.engine.protocol import Capacity, Ref, Task
from rose.engine.shelf import Shelf
from rose.errors import ConfigurationError, EngineClosedError, WorkerLostError


class DaskEngine:
    """Runs tasks on the workers of a Dask cluster.

    `cluster` is a `distributed.Client` (synchronous or not), a scheduler's address ("tcp://..."), or a cluster object
    (LocalCluster, dask-jobqueue's, dask-kubernetes', ...). The engine connects as a client of its own when it is made
    (which blocks for a moment, as making a Client does), and closes that one only: what was given stays the user's.
    So it may be used in any event loop, one after the other, and does not mind the end of the loop or of the Client
    that it was made from.

    Each task runs in a child process of a Dask worker: cancelling it, its timeout or its crash ends that process, not
    the worker. A worker is given what it has: its threads count as cpus, `--resources GPU=n` as gpus, its memory limit
    as memory. Dask never runs a task again; what a worker was running when it died fails with WorkerLostError. ROSE
    must be installed where the scheduler and the workers run. Without workers (an adaptive cluster that is at rest, a
    job that is still queued) tasks wait until one joins.

    `workers` are the names or addresses of those that may be used (None: all, also those that join later).
    Large values travel as files in `temp_dir` (None: the system's, see TMPDIR) where a worker sees that directory,
    and over the network where it does not; which of the two is found out by each worker's reading a file there.

    Raises:
        ConfigurationError: it is none of these, or no scheduler answers.

    Example:
        from dask.distributed import LocalCluster
        engine = DaskEngine(LocalCluster(n_workers=4))
        learner = ParallelUQLearner(engine)          # or give it the cluster itself
    """

    capabilities = LocalEngine.capabilities  # one is what runs the tasks, on each worker

    def __init__(
        self, cluster: Any, *, workers: Collection[str] | None = None, temp_dir: str | Path | None = None
    ) -> None:
        if temp_dir is not None and not Path(temp_dir).is_dir():
            raise ConfigurationError(f"temp_dir is no directory: {temp_dir}")
        if isinstance(workers, str):
            raise ConfigurationError(f"workers must be a list of the names of Dask workers, got {workers!r}")
        self._scheduler: Scheduler = given(cluster)
        self._workers = None if workers is None else frozenset(workers)
        self._custody = Custody(temp_dir)
        self._shelf = Shelf(self._custody, remap=False)
        self._connection = _Connection()
        self._connecting: Future[Fleet] | None = None
        self._lock = threading.Lock()
        self._closing: Future[None] | None = None
        self._finalizer = weakref.finalize(self, _abandon, self._connection, self._custody)
        if self._scheduler.identity is None:
            self._connect()

    def capacity(self) -> Capacity:
        """What the workers that are there now have together; one task gets no more than one worker has."""
        fleet = self._connection.fleet
        if fleet is not None:
            return fleet.capacity()
        assert self._scheduler.identity is not None
        return total(capacities(self._scheduler.identity(), self._workers))

    async def run(self, task: Task) -> Any:
        """Wait for a worker that has the task's resources free, run it there, and return its result; see `Engine.run`.

        Raises:
            CapacityError: at once, if no worker has what it asks for.
            WorkerLostError: its worker died or left, or the connection to the scheduler was lost.
        """
        fleet = await self._fleet(task)
        return await across(fleet.loop, lambda: fleet.run(task))

    async def share(self, value: Any) -> Ref:
        """Store a value once, for many tasks; they get it read-only and must not change it."""
        self._check_open("share: ")
        return await self._shelf.store(value, lambda: self._check_open("share: "))

    async def release(self, ref: Ref) -> None:
        """Free what `share` stored, also on the workers; the Ref must not be used again."""
        self._check_open("release: ")
        stored = await self._shelf.remove(ref)
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
                await asyncio.wait([asyncio.wrap_future(self._connecting)])
            await self._disconnect()
            await self._custody.close()
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
                    self._connecting = self._custody.threads.submit(self._connect)
                connecting = self._connecting
            try:
                fleet = await asyncio.shield(asyncio.wrap_future(connecting))
            except ConfigurationError as error:
                raise WorkerLostError(str(error), str(task.key)) from error
            self._check_open(f"task {task.key}: ")
        return fleet

    def _connect(self) -> Fleet:
        """Connect, or connect again. Blocks."""
        self._connection.close_client()
        self._custody.guard()
        client = self._scheduler.connect()
        self._connection.client = client
        fleet = Fleet(client, self._custody.folder, self._shelf.paths, self._custody.threads, self._workers)
        asyncio.run_coroutine_threadsafe(fleet.open(), fleet.loop).result()
        self._connection.fleet = fleet
        return fleet

    async def _disconnect(self) -> None:
        fleet = self._connection.fleet
        if fleet is not None:
            await across(fleet.loop, fleet.close)
        await asyncio.get_running_loop().run_in_executor(self._custody.threads, self._connection.close_client)

    def _check_open(self, who: str) -> None:
        if self._closing is not None:
            raise EngineClosedError(f"{who}the engine has been closed")


class _Connection:
    """What there is of a connection."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.fleet: Fleet | None = None

    def close_client(self) -> None:
        """Close it. Blocks."""
        client, self.client = self.client, None
        if client is not None:
            client.close()


def _abandon(connection: _Connection, custody: Custody) -> None:
    """The engine was never closed. When its client goes, the workers stop what runs for it."""
    client = connection.client
    if client is not None:
        client.loop.add_callback(client.close)
    custody.abandon()
