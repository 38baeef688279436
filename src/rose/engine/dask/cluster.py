"""All that runs on one Dask cluster for one driver."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from distributed import Client

from rose.engine.dask import host as dask_host
from rose.engine.dask.adaptive import Demand
from rose.engine.dask.connecting import close
from rose.engine.dask.membership import Roster, total
from rose.engine.dask.placement import Places
from rose.engine.dask.run import Run
from rose.engine.dask.shared import SharedValues
from rose.engine.dask.worker import Site
from rose.engine.deadline import within
from rose.engine.failures import describe
from rose.engine.local.initializer import Initializer
from rose.engine.processes.scratch import Scratch
from rose.engine.protocol import Capacity, Task
from rose.engine.shipping.shared_store import SharedStore
from rose.errors import ConfigurationError, EngineClosedError, WorkerTakenError

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Fleet:
    """One connection to a scheduler. All methods are called in `loop`, the client's event loop, and never block.

    A worker is sent no more than it holds. What it had been sent when it dies has failed: nothing is sent twice.
    """

    def __init__(
        self,
        client: Client,
        scratch: Scratch,
        shared_store: SharedStore,
        names: Collection[str] | None,
        patience: float,
        interpreter: bytes,
        initializer: Initializer | None,
    ) -> None:
        self.initializer = initializer
        self.interpreter = interpreter  # what the driver's program has set, for the children of the workers
        self.client = client
        self.loop = asyncio.get_running_loop()
        self.driver = secrets.token_hex(6)
        self.scratch = scratch
        self.shared_store = shared_store  # what `share` has stored
        self.threads = scratch.threads
        self.places = Places()
        self.shared = SharedValues(self)
        self.lost: Exception | None = None  # why the connection is no more
        self._roster = Roster(self, names)
        self._demand = Demand(self)
        self._runs: dict[int, Run] = {}  # all that have not ended, the oldest first
        self._numbers = itertools.count()
        self._keys = itertools.count()
        self._works: set[asyncio.Task[Any]] = set()
        self._patience = patience  # seconds for an answer

    # --- for the engine ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Find the workers."""
        await self._roster.open()
        self.spawn(self._watch())

    async def run(self, task: Task) -> Any:
        """Run one task; cancelling the caller stops it."""
        if isinstance(self.lost, EngineClosedError):
            raise EngineClosedError(f"task {task.key}: {self.lost}")
        if self.lost is not None:
            raise self._lost_error(str(task.key))
        self.places.check_fits(task, list(self._roster.known.values()))
        if reasons := self._roster.unfit:
            raise _unfit(str(task.key), reasons)
        run = Run(task, self._start, self.loop.create_future(), next(self._numbers))
        self._runs[run.number] = run
        self._roster.meet()
        self.places.submit(run)
        self._demand.changed()
        try:
            return await run.future
        except asyncio.CancelledError:
            await self._stop(run)
            raise

    async def forget(self, path: str) -> None:
        """Free a shared value on the workers."""
        await self.shared.forget(path)

    async def close(self) -> None:
        """End all runs with EngineClosedError, leave the workers, and close the client."""
        for run in self._runs.values():
            run.fail(EngineClosedError(f"task {run.key}: the engine was closed before it ended"))
        self._demand.close()
        for work in self._works:
            work.cancel()
        if self._works:
            await asyncio.wait(self._works)
        if self.lost is None:
            self._roster.close()
            await self._leave(list(self._roster.known))
            self.lost = EngineClosedError("the engine has been closed")
        await close(self.client, self._patience)

    def capacity(self) -> Capacity:
        """What all workers have together. Called in any thread."""
        return total(dict(self._roster.known))

    # --- for the sites and the roster --------------------------------------------------------------------------------

    def key(self, prefix: str) -> str:
        """A new Dask key; what is before the first "-" is what Dask's dashboard shows."""
        return f"{prefix.replace('-', '_')}-{self.driver}-{next(self._keys)}"

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start something that ends with the connection at the latest."""
        task = self.loop.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._ended)
        return task

    @property
    def settled(self) -> int:
        """All runs with lower numbers have ended."""
        return next(iter(self._runs))

    def end(self, run: Run) -> None:
        """A run that was given to a site has ended: free what it held."""
        if self._runs.pop(run.number, None) is None:
            return
        site = run.place
        assert isinstance(site, Site)
        site.runs.discard(run)
        if run.reply is not None:
            run.reply.release()
        if run.work is not None and run.work is not asyncio.current_task():
            run.work.cancel()
        if run.packed.files:
            self.threads.submit(run.packed.discard)
        self.places.release(run)
        self._demand.changed()

    def send_elsewhere(self, run: Run) -> None:
        """A run has not begun where it was sent: it waits again."""
        run.recall()
        if run.packed.files:
            self.threads.submit(run.packed.discard)
        self.places.requeue(run)
        run.place = None

    def unfit(self) -> None:
        """One more worker cannot be used: if none can, nothing waits any more."""
        if reasons := self._roster.unfit:
            for run in list(self._runs.values()):
                run.fail(_unfit(run.key, reasons))
                self._forget_waiting(run)

    def check_connection(self, error: BaseException | None) -> None:
        """Something failed that may mean that the connection is no more."""
        if self.client.status != "running":
            self._lose(error)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _ended(self, work: asyncio.Task[Any]) -> None:
        self._works.discard(work)
        if not work.cancelled() and work.exception() is not None:
            logger.debug("a connection's work failed", exc_info=work.exception())
            self.check_connection(work.exception())

    def _start(self, run: Run) -> None:
        """The run has been granted its resources."""
        assert isinstance(run.place, Site)
        run.place.send(run)

    async def _stop(self, run: Run) -> None:
        """The caller has gone: end its run, and wait until the work has ended."""
        site = run.place
        if site is None:
            self._forget_waiting(run)
        elif run.number in self._runs:
            assert isinstance(site, Site)
            if run.sent_as is not None:
                await site.stop(run)
            self.end(run)

    def _forget_waiting(self, run: Run) -> None:
        self._runs.pop(run.number, None)
        self.places.withdraw(run)
        self._demand.changed()

    async def _leave(self, addresses: list[str]) -> None:
        if not addresses:
            return
        try:
            async with asyncio.timeout(self._patience):
                call = self.client.run(
                    dask_host.leave, self.driver, workers=addresses, on_error="ignore", asynchronous=True
                )
                await call
        except (OSError, TimeoutError) as error:
            logger.warning("the Dask workers could not be told that the engine closes: %s", describe(error))

    async def _watch(self) -> None:
        """The heartbeat: a network that swallows everything does not say so."""
        while True:
            await asyncio.sleep(self._patience / 3)
            try:
                async with within(self._patience):
                    await self.client.scheduler.who_has(keys=[""])
            except (OSError, TimeoutError) as error:
                self._lose(error)
                return
            self.check_connection(None)

    def _lose(self, error: BaseException | None) -> None:
        """The connection is no more."""
        if self.lost is not None:
            return
        if isinstance(error, TimeoutError):
            reason = f"no answer for {self._patience:g} s"
        else:
            reason = describe(error) if isinstance(error, OSError) else "it was closed"
        self.lost = ConnectionError(reason)
        self.lost.__cause__ = error
        logger.warning("the connection to the Dask scheduler was lost: %s", reason)
        for run in list(self._runs.values()):
            run.fail(self._lost_error(run.key))
        for site in self._roster.sites.values():
            site.give_up()

    def _lost_error(self, key: str) -> WorkerTakenError:
        text = f"the connection to the Dask scheduler was lost ({self.lost}); the workers stop what they ran for it"
        error = WorkerTakenError(text, key)
        error.__cause__ = self.lost
        return error


def _unfit(key: str, reasons: str) -> ConfigurationError:
    return ConfigurationError(f"task {key}: no worker of the Dask cluster can be used: {reasons}")
