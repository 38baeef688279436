"""Run what one driver runs on one Dask cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from distributed import Client

from rose.engine._remote.host_protocol import ref_of
from rose.engine._remote.remote_task import Surroundings
from rose.engine.dask import _host as dask_host
from rose.engine.dask._connection import Connection
from rose.engine.dask._host import STARTS, Greeting
from rose.engine.dask._jobs import DaskJob, Jobs
from rose.engine.dask._shared_values import SharedValues
from rose.engine.dask._worker import DaskWorker, Sending
from rose.engine.dask.membership import Membership, total
from rose.engine.failures import describe
from rose.engine.local.initializer import Initializer
from rose.engine.processes.scratch import Scratch
from rose.engine.protocol import Capacity, OnStart, Task
from rose.engine.shipping.shared_store import SharedStore
from rose.errors import EngineClosedError

logger = logging.getLogger(__name__)


class Cluster:
    """Run tasks over one connection to a scheduler.

    All methods are called in `loop`, the client's event loop, and never block. A worker is sent no more than it
    holds. What it had been sent when it dies has failed: nothing is sent twice.

    Args:
        client: connected, and ours.
        scratch: of the engine's directory.
        shared_store: what `share` has stored.
        names: the names or addresses of the workers that may be used; None: all.
        patience: seconds for an answer.
        interpreter: what the driver's program has set, pickled, for the children of the workers.
        initializer: called once in each of them.
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
        self._connection = Connection(client, scratch.threads, patience)
        self.loop = self._connection.loop
        self._scratch = scratch
        self._interpreter = interpreter
        self._jobs = Jobs(self._connection)
        self._shared = SharedValues(self._connection, scratch)
        sending = Sending(self._connection, self._jobs, self._shared, shared_store, scratch, initializer)
        self._membership = Membership(sending, names, self._greeting)
        self._connection.on_loss = self._lost

    @property
    def lost(self) -> Exception | None:
        """Return why the connection was lost; None: it was not."""
        return self._connection.lost

    async def open(self) -> None:
        """Find the workers."""
        await self._membership.open()
        self._connection.client.subscribe_topic(STARTS, self._hear_starts)
        self._connection.spawn(self._connection.watch())

    async def run(self, task: Task, on_start: OnStart | None) -> Any:
        """Run one task; cancelling the caller stops it."""
        key = str(task.key)
        if isinstance(self.lost, EngineClosedError):
            raise EngineClosedError(f"task {key}: {self.lost}")
        if self.lost is not None:
            raise self._connection.lost_error(key)
        self._jobs.placement.check_fits(task, list(self._membership.known.values()))
        if (unfit := self._membership.unfit_error(key)) is not None:
            raise unfit
        job = self._jobs.make(task, on_start, _send)
        self._membership.meet()
        self._jobs.submit(job)
        try:
            return await job.result
        except asyncio.CancelledError:
            await self._stop(job)
            raise

    async def forget(self, path: str) -> None:
        """Free a shared value on the workers."""
        await self._shared.forget(ref_of(path))

    async def close(self) -> None:
        """End all jobs with EngineClosedError, leave the workers, and close the client."""
        self._jobs.fail_all(lambda key: EngineClosedError(f"task {key}: the engine was closed before it ended"))
        self._jobs.close()
        await self._connection.end_works()
        if self.lost is None:
            self._membership.close()
            self._connection.client.unsubscribe_topic(STARTS)
            await self._leave(list(self._membership.known))
            self._connection.lost = EngineClosedError("the engine has been closed")
        await self._connection.close()

    def capacity(self) -> Capacity:
        """Return what all workers have together. Called in any thread."""
        return total(dict(self._membership.known))

    def _greeting(self) -> Greeting:
        """Return what to tell each worker; writes the file by which it can prove that it sees our directory. Blocks."""
        self._scratch.ensure_reaper()
        folder, driver, secret = self._scratch.folder, self._connection.driver, secrets.token_hex(16)
        token = Path(folder, f"token-{driver}")
        token.write_text(secret)
        path = tuple(os.path.abspath(entry) for entry in sys.path)
        surroundings = Surroundings(path, os.getcwd(), interpreter=self._interpreter)
        return Greeting(driver, "", folder, str(token), secret, surroundings)

    def _hear_starts(self, event: tuple[float, Any]) -> None:
        """Hear that some jobs have begun; other drivers' too."""
        message = event[1]
        if message["driver"] == self._connection.driver:
            for number, worker in message["starts"]:
                self._jobs.begin(number, worker)

    async def _stop(self, job: DaskJob) -> None:
        """End a job whose caller has gone, and wait until the work has ended."""
        if job.place is None:
            self._jobs.withdraw(job)
        elif self._jobs.has(job):
            assert isinstance(job.place, DaskWorker)
            await job.place.stop(job)

    def _lost(self) -> None:
        self._jobs.fail_all(self._connection.lost_error)
        for worker in self._membership.workers.values():
            worker.peer.give_up()

    async def _leave(self, addresses: list[str]) -> None:
        if not addresses:
            return
        connection = self._connection
        try:
            async with asyncio.timeout(connection.patience):
                call = connection.client.run(
                    dask_host.leave, connection.driver, workers=addresses, on_error="ignore", asynchronous=True
                )
                await call
        except (OSError, TimeoutError) as error:
            logger.warning("the Dask workers could not be told that the engine closes: %s", describe(error))


def _send(job: DaskJob) -> None:
    """Send a job that has been granted its place."""
    assert isinstance(job.place, DaskWorker)
    job.place.send(job)
