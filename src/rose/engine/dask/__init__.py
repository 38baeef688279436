"""Use a Dask cluster as an engine: `DaskEngine`."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections.abc import Callable, Collection
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from rose.engine._remote.loops import LoopThread, across
from rose.engine.base import BaseEngine
from rose.engine.dask.cluster import Cluster
from rose.engine.dask.membership import capacities, total
from rose.engine.dask.scheduler import Scheduler, scheduler_of
from rose.engine.local import LocalEngine
from rose.engine.local.initializer import checked_initializer
from rose.engine.local.interpreter import current
from rose.engine.protocol import Capacity, CommandOutput, OnStart, Ref, Task
from rose.engine.shipping.shared_store import SharedStore
from rose.engine.slots import Slots, check_meaning
from rose.errors import ConfigurationError, WorkerTakenError
from rose.paths import expanded


class _Elsewhere(Slots):
    """Leave admission to the cluster, which knows what there is."""

    def check(self, task: Task) -> None:
        check_meaning(task)


class DaskEngine(BaseEngine):
    """Run tasks on the workers of a Dask cluster.

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
        temp_dir: where to keep large values, best in a file system that the workers see too; made if it is missing.
            None: the system's directory for temporary files, see TMPDIR.
        initializer: called once in each process that runs tasks; if it raises, tasks end with WorkerLostError.

    Raises:
        ConfigurationError: `cluster` is none of these, or no scheduler answers.

    Example:
        from dask.distributed import LocalCluster
        engine = DaskEngine(LocalCluster(n_workers=4))
        learner = ParallelUQLearner(engine)          # or give it the cluster itself
    """

    capabilities = LocalEngine.capabilities  # on each worker, a LocalEngine runs the tasks

    def __init__(
        self,
        cluster: Any,
        *,
        workers: Collection[str] | None = None,
        patience: float = 30.0,
        temp_dir: str | Path | None = None,
        initializer: Callable[[], object] | None = None,
    ) -> None:
        if isinstance(workers, str):
            raise ConfigurationError(f"workers must be a list of the names of Dask workers, got {workers!r}")
        self._scheduler: Scheduler = scheduler_of(cluster)
        if not patience > 0:
            raise ConfigurationError(f"patience must be positive seconds, got {patience!r}")
        super().__init__(1, 0, None, None if temp_dir is None else _made(expanded(temp_dir, "temp_dir")))
        self._slots = _Elsewhere(Capacity(0))
        self._patience = patience
        self._workers = None if workers is None else frozenset(workers)
        # Now, in the user's thread: the connection has one of its own, where other settings hold.
        self._initializer = checked_initializer(initializer)
        self._interpreter = pickle.dumps(current().elsewhere())
        self._shared = SharedStore(self._scratch, remap=False)
        self._last = _ClusterThread()
        self._connecting: Future[Cluster] | None = None
        self._running = 0
        self._abandon_first(self._last.abandon)
        if self._scheduler.identity is None:
            self._connect()

    def __repr__(self) -> str:
        return f"DaskEngine({self._scheduler.address!r})"

    def capacity(self) -> Capacity:
        """Return what the workers that are there now have together; one task gets no more than one worker has."""
        cluster = self._last.cluster
        if cluster is not None:
            return cluster.capacity()
        assert self._scheduler.identity is not None
        return total(capacities(self._scheduler.identity(), self._workers))

    async def _run_command(self, task: Task, on_start: OnStart | None) -> CommandOutput:
        output: CommandOutput = await self._run_function(task, on_start)
        return output

    async def _run_function(self, task: Task, on_start: OnStart | None) -> Any:
        self._running += 1
        try:
            cluster = await self._connected(str(task.key))
            told = None if on_start is None else partial(_tell, asyncio.get_running_loop(), on_start)
            return await across(cluster.loop, lambda: cluster.run(task, told))
        finally:
            self._running -= 1

    async def _store(self, value: Any) -> Ref:
        return await self._shared.store(value, lambda: self._enter("share: "))

    async def _forget(self, ref: Ref) -> None:
        stored = await self._shared.remove(ref)
        cluster = self._last.cluster
        if cluster is not None and cluster.lost is None:
            await across(cluster.loop, lambda: cluster.forget(stored.path))

    async def _close_functions(self) -> None:
        if self._connecting is not None:
            await asyncio.gather(asyncio.wrap_future(self._connecting), return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(self._scratch.threads, self._last.close)

    @property
    def _is_busy(self) -> bool:
        return bool(self._running)

    # --- the connection --------------------------------------------------------------------------------------------

    async def _connected(self, key: str) -> Cluster:
        """Return the connection; a new one if there is none yet, or it was lost."""
        cluster = self._last.cluster
        if cluster is None or cluster.lost is not None:
            if self._connecting is None or self._connecting.done():
                self._connecting = self._scratch.threads.submit(self._connect)
            connecting = asyncio.wrap_future(self._connecting)  # shielded below: other tasks wait for it, too
            connecting.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at: no warning
            try:
                cluster = await asyncio.shield(connecting)
            except ConfigurationError as error:
                raise WorkerTakenError(str(error), key) from error
            self._enter(f"task {key}: ")
        return cluster

    def _connect(self) -> Cluster:
        """Connect, or connect again. Blocks."""
        self._last.close()
        thread = LoopThread("rose-dask")
        try:
            cluster = thread.call(self._open)
        except BaseException:
            thread.end()
            raise
        self._last.thread, self._last.cluster = thread, cluster
        return cluster

    async def _open(self) -> Cluster:
        client = await self._scheduler.connect(self._patience)
        settings = self._interpreter, self._initializer
        cluster = Cluster(client, self._scratch, self._shared, self._workers, self._patience, *settings)
        try:
            await cluster.open()
        except BaseException:
            await cluster.close()
            raise
        return cluster


class _ClusterThread:
    """Hold the last connection, and the thread that it lives in; no thread if it has been closed."""

    def __init__(self) -> None:
        self.thread: LoopThread | None = None
        self.cluster: Cluster | None = None

    def close(self) -> None:
        """Close it. Blocks."""
        thread, self.thread = self.thread, None
        if thread is not None:
            assert self.cluster is not None
            thread.call(self.cluster.close)
            thread.end()

    def abandon(self) -> None:
        """End what was never closed. When the connection goes, the workers stop what runs for it."""
        if self.thread is not None and self.cluster is not None:
            self.thread.end_after(self.cluster.close)


def _made(folder: Path) -> Path:
    """Return a directory, made if it is missing; what else is there is refused later."""
    if not folder.exists():
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise ConfigurationError(f"temp_dir cannot be made: {error}") from error
    return folder


def _tell(loop: asyncio.AbstractEventLoop, on_start: OnStart, worker: str) -> None:
    """Tell in another thread's event loop that a task has begun, unless it was closed meanwhile."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(on_start, worker)
