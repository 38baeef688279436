"""Give jobs to one Dask worker: what it is sent, what comes back, how work there is stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Any

from distributed import Future

from rose.engine._remote.host_protocol import Order, Reply
from rose.engine._remote.job import pack, settle, taken
from rose.engine.dask import _host as dask_host
from rose.engine.dask._connection import Connection, Peer, finished
from rose.engine.dask._jobs import DaskJob, Jobs
from rose.engine.dask._shared_values import SharedValues
from rose.engine.dask.placement import Place
from rose.engine.failures import describe, of_place
from rose.engine.local.initializer import Initializer
from rose.engine.processes.scratch import Scratch
from rose.engine.protocol import Capacity
from rose.engine.shipping.shared_store import SharedStore
from rose.errors import RoseError, WorkerTakenError

BODY_MAX = 512 * 1024  # bytes of a pickled task that go through Dask's scheduler with the graph; more goes as data


@dataclass(frozen=True, slots=True)
class Sending:
    """Hold what the workers of one connection share."""

    connection: Connection
    jobs: Jobs
    shared: SharedValues
    shared_store: SharedStore  # what the engine's `share` has stored
    scratch: Scratch  # of the engine's directory
    initializer: Initializer | None


class DaskWorker(Place):
    """Give jobs to one worker. It has been met: `facts` is what it said, `lease` what tells it that we live."""

    def __init__(self, peer: Peer, has: Capacity, facts: dask_host.Facts, lease: Future, sending: Sending) -> None:
        super().__init__(has)
        self.peer = peer
        self.facts = facts
        self._lease = lease
        self._sending = sending
        self._connection = sending.connection
        self._jobs = sending.jobs
        self._here: set[DaskJob] = set()  # those that are here and have not ended
        self._outbox: list[DaskJob] = []
        self._bundles: set[asyncio.Task[None]] = set()  # those who wait for several replies
        self._wanted: dict[Any, asyncio.Future[Any]] = {}  # replies to be fetched, by Dask's key
        self._to_stop: list[int] = []
        self._stopping: asyncio.Future[None] | None = None

    # --- sending -------------------------------------------------------------------------------------------------

    def send(self, job: DaskJob) -> None:
        """Send a job: soon, together with all that are given until then."""
        self._here.add(job)
        if not self._outbox:
            self._connection.loop.call_soon(self._flush)
        self._outbox.append(job)

    def _flush(self) -> None:
        jobs, self._outbox = self._outbox, []
        short: list[tuple[DaskJob, Order]] = []
        for job in jobs:
            if job.result.done():  # its caller has gone
                self._end(job)
                continue
            try:
                order = self._order(job)
            except (RoseError, OSError) as error:
                job.fail(error if isinstance(error, RoseError) else of_place("it could not be sent", error, job.key))
                self._end(job)
                continue
            if order.refs or job.packed.files or len(job.packed.body) > BODY_MAX:
                job.work = self._connection.spawn(self._send_large(job, order))
            elif self._jobs.placement.is_short(job.request):
                short.append((job, order))
            else:
                self._submit(job, dask_host.run_order, *self._address, order)
        if len(short) == 1:
            self._submit(short[0][0], dask_host.run_order, *self._address, short[0][1])
        elif short:
            self._send_bundle(short)

    @property
    def _address(self) -> tuple[str, str]:
        return self.facts.host, self._connection.driver

    def _order(self, job: DaskJob) -> Order:
        """Return the order for a job; its refs are those that must be brought first."""
        sending, sees_files = self._sending, self.facts.sees_files
        name = os.path.join(sending.scratch.folder, f"task-{self._connection.driver}-{job.number}-")
        remote, refs = pack(job, sending.shared_store, name if sees_files else None, sending.initializer)
        return Order(
            number=job.number,
            task=remote,
            tells_start=job.on_start is not None,
            ended_below=self._jobs.ended_below,
            refs=() if sees_files else refs,
        )

    def _submit(self, job: DaskJob, function: Callable[..., Any], *args: Any) -> None:
        """Send one job, or ask for its reply."""
        self._call(job, function, *args)
        job.work = self._connection.spawn(self._follow(job))

    def _call(self, job: DaskJob, function: Callable[..., Any], *args: Any) -> None:
        job.reply = self.peer.submit(job.task.key.stage, function, *args, priority=-job.number)
        job.sent_as = job.reply.key

    async def _send_large(self, job: DaskJob, order: Order) -> None:
        """Send a job after what it needs."""
        try:
            await self._connection.in_thread(job.packed.write)
            for ref in order.refs:
                await self._sending.shared.bring(ref, self.peer)
            args: list[Any] = [order]
            if len(job.packed.body) > BODY_MAX:
                args[0] = replace(order, task=replace(order.task, call=b""))
                args.append(await self.peer.ship("rose_task", job.packed.body))
        except Exception as error:
            self._fail(job, "be sent what it needs", error)
            return
        self._call(job, dask_host.run_order, *self._address, *args)
        await self._follow(job)

    def _send_bundle(self, bundle: list[tuple[DaskJob, Order]]) -> None:
        """Send short jobs as one Dask task: Dask takes longer for a task than they do."""
        first, orders = bundle[0][0], [order for _, order in bundle]
        stage = first.task.key.stage
        reply = self.peer.submit(stage, dask_host.run_together, *self._address, orders, priority=-first.number)
        for job, _ in bundle:
            job.sent_as = reply.key
        work = self._connection.spawn(self._follow_bundle({job.number: job for job, _ in bundle}, reply))
        self._bundles.add(work)
        work.add_done_callback(self._bundles.discard)

    # --- what comes back -------------------------------------------------------------------------------------------

    async def _follow(self, job: DaskJob) -> None:
        reply = job.reply
        assert reply is not None
        try:
            await finished(reply)
            self._settle(job, await self._fetch(reply))
        except Exception as error:
            self._fail(job, "run", error)

    async def _follow_bundle(self, jobs: dict[int, DaskJob], reply: Future) -> None:
        try:
            await finished(reply)
            replies: dict[int, Reply] = await self._fetch(reply)
            for number, content in replies.items():
                self._settle(jobs[number], content)
            for number in jobs.keys() - replies.keys():  # they turned out to be long
                if jobs[number] in self._here:
                    self._submit(jobs[number], dask_host.run_rest, self._connection.driver, number)
        except Exception as error:
            for job in jobs.values():
                self._fail(job, "run", error)

    async def _fetch(self, reply: Future) -> Any:
        """Fetch a reply's content; all that are wanted in one turn of the loop come together.

        Not by way of `Client.gather`: if one who awaits it is cancelled, so are all the others, and a result that was
        lost it has computed again.
        """
        content: asyncio.Future[Any] = self._connection.loop.create_future()
        if not self._wanted:
            self._connection.loop.call_soon(self._gather)
        self._wanted[reply.key] = content
        return await content

    def _gather(self) -> None:
        wanted, self._wanted = self._wanted, {}
        self._connection.spawn(self._gather_all(wanted))

    async def _gather_all(self, wanted: dict[Any, asyncio.Future[Any]]) -> None:
        try:
            while wanted:
                answer = await self._connection.client.scheduler.gather(keys=list(wanted))
                if answer["status"] == "OK":
                    for key, content in wanted.items():
                        if not content.done():
                            content.set_result(answer["data"][key])
                    return
                for key in answer["keys"]:
                    _set_error(wanted.pop(key), ConnectionError("its result was lost"))
        except Exception as error:  # of the connection; each job says so
            for content in wanted.values():
                _set_error(content, error)

    def _settle(self, job: DaskJob, reply: Reply) -> None:
        """End a job whose reply is here."""
        who = f"its Dask worker {self.peer.address}"
        settle(job, reply, f"{who} began anew, or lost the result", f"{who} closed while it ran")
        if reply.seconds:
            self._jobs.placement.lasted(job.task, reply.seconds)
        self._end(job)

    def _fail(self, job: DaskJob, what: str, cause: Exception) -> None:
        """End a job that cannot be sent, or whose reply cannot be had; nothing happens if it has ended."""
        self._connection.check(cause)
        text = f"it could not {what} on the Dask worker {self.peer.address}: {describe(cause)}"
        job.fail(cause if isinstance(cause, RoseError) else taken(text, job.key, cause))
        self._end(job)

    # --- ends ------------------------------------------------------------------------------------------------------

    async def stop(self, job: DaskJob) -> None:
        """Stop a job whose caller has gone, and return when it has ended here."""
        if job.sent_as is not None:
            self._to_stop.append(job.number)
            if self._stopping is None:
                self._stopping = asyncio.ensure_future(self._stop_all())
            await asyncio.shield(self._stopping)
        self._end(job)

    async def _stop_all(self) -> None:
        await asyncio.sleep(0)  # all that are cancelled in this turn of the loop
        numbers, self._to_stop, self._stopping = self._to_stop, [], None
        await self.peer.tell(dask_host.stop, numbers)

    def lose(self, why: str, begun: Container[Any]) -> None:
        """End what runs on a worker that has left or died: what it had begun has failed, the rest goes to another one.

        `begun` are the Dask keys that the scheduler had given to it.
        """
        self.peer.give_up()
        self._outbox.clear()
        for work in self._bundles:
            work.cancel()
        for job in sorted(self._here, key=lambda job: job.number, reverse=True):  # each becomes the first that waits
            if job.sent_as in begun or job.result.done():
                job.fail(WorkerTakenError(why, job.key))
                self._end(job)
            else:
                self._here.discard(job)
                self._jobs.send_elsewhere(job)
        self._lease.release()

    def _end(self, job: DaskJob) -> None:
        self._here.discard(job)
        self._jobs.end(job)


def _set_error(content: asyncio.Future[Any], error: Exception) -> None:
    if not content.done():
        content.set_exception(error)
