"""One Dask worker as the driver sees it: what it is sent, what comes back, how work there is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distributed import Client, Future

from rose.engine._remote.remote_task import unpack_error
from rose.engine.dask import host as dask_host
from rose.engine.dask.message import ENGINE_ERROR, REFUSED, STOPPED, Facts, Message, Reply, finished
from rose.engine.dask.placement import Place
from rose.engine.dask.run import Run, is_long, pack
from rose.engine.failures import describe, of_place
from rose.engine.local.task_codec import unpack_reply
from rose.engine.protocol import Capacity
from rose.errors import EngineClosedError, RoseError, WorkerTakenError

if TYPE_CHECKING:
    from rose.engine.dask.cluster import Fleet


class Site(Place):
    """One worker. It has been met: `facts` is what it said, `lease` what tells it that we live."""

    def __init__(self, address: str, has: Capacity, facts: Facts, lease: Future, fleet: Fleet) -> None:
        super().__init__(has)
        self.address = address
        self.facts = facts
        self.lease = lease
        self.runs: set[Run] = set()  # those that are here and have not ended
        self.gone: asyncio.Future[None] = fleet.loop.create_future()  # done when the worker has left or died
        self._fleet = fleet
        self._client: Client = fleet.client
        self._outbox: list[Run] = []
        self._bundles: set[asyncio.Task[None]] = set()  # those who wait for several replies
        self._wanted: dict[Any, asyncio.Future[Any]] = {}  # replies to be fetched, by Dask's key
        self._to_stop: list[int] = []
        self._stopping: asyncio.Future[None] | None = None

    # --- sending -------------------------------------------------------------------------------------------------

    def send(self, run: Run) -> None:
        """Send a run: soon, together with all that are given until then."""
        self.runs.add(run)
        if not self._outbox:
            self._fleet.loop.call_soon(self._flush)
        self._outbox.append(run)

    def _flush(self) -> None:
        runs, self._outbox = self._outbox, []
        fleet = self._fleet
        short: list[tuple[Run, Message]] = []
        for run in runs:
            if run.future.done():  # its caller has gone
                self._fleet.end(run)
                continue
            try:
                own = fleet.driver, fleet.settled, fleet.shared_store, fleet.scratch.folder, fleet.initializer
                message, refs = pack(run, self.facts, *own)
            except (RoseError, OSError) as error:
                run.fail(error if isinstance(error, RoseError) else of_place("it could not be sent", error, run.key))
                self._fleet.end(run)
                continue
            if refs or run.packed.files or is_long(message.errand):
                run.work = self._fleet.spawn(self._send_large(run, message, refs))
            elif self._fleet.places.is_short(run):
                short.append((run, message))
            else:
                self._submit(run, dask_host.run_task, message)
        if len(short) == 1:
            self._submit(short[0][0], dask_host.run_task, short[0][1])
        elif short:
            self._send_bundle(short)

    def _submit(self, run: Run, function: Any, *args: Any) -> None:
        """Send one run, or ask for its reply."""
        run.reply = self._call(run.task.key.stage, -run.number, function, *args)
        run.sent_as = run.reply.key
        run.work = self._fleet.spawn(self._follow(run, run.reply))

    def _call(self, name: str, priority: int, function: Any, *args: Any) -> Future:
        """Submit a Dask task for this worker; the higher its priority the earlier it begins."""
        key, workers = self._fleet.key(name), [self.address]
        return self._client.submit(function, *args, key=key, workers=workers, priority=priority, pure=False)

    async def _send_large(self, run: Run, message: Message, refs: list[str]) -> None:
        """Send a run after what it needs."""
        try:
            await self._fleet.loop.run_in_executor(self._fleet.threads, run.packed.write)
            for path in refs:
                await self._fleet.shared.bring(path, self)
            args: list[Any] = [message]
            if is_long(message.errand):
                short = replace(message, errand=replace(message.errand, call=b""))
                args = [short, await self.ship(self._fleet.key("rose_task"), message.errand.call)]
        except Exception as error:
            self._fail(run, "be sent what it needs", error)
            return
        run.reply = self._call(run.task.key.stage, -run.number, dask_host.run_task, *args)
        run.sent_as = run.reply.key
        await self._follow(run, run.reply)

    async def ship(self, key: str, data: Any) -> Future:
        """Put data into this worker's memory."""
        futures = await self._client.scatter({key: data}, workers=[self.address], hash=False, asynchronous=True)
        return futures[key]

    def _send_bundle(self, bundle: list[tuple[Run, Message]]) -> None:
        """Send short runs as one Dask task: Dask takes longer for a task than they do."""
        first = bundle[0][0]
        messages = [message for _, message in bundle]
        reply = self._call(first.task.key.stage, -first.number, dask_host.run_together, messages)
        for run, _ in bundle:
            run.sent_as = reply.key
        work = self._fleet.spawn(self._follow_bundle({run.number: run for run, _ in bundle}, reply))
        self._bundles.add(work)
        work.add_done_callback(self._bundles.discard)

    # --- what comes back -------------------------------------------------------------------------------------------

    async def _follow(self, run: Run, reply: Future) -> None:
        try:
            await finished(reply)
            self._settle(run, await self._fetch(reply))
        except Exception as error:
            self._fail(run, "run", error)

    async def _follow_bundle(self, runs: dict[int, Run], reply: Future) -> None:
        try:
            await finished(reply)
            replies: dict[int, Reply] = await self._fetch(reply)
            for number, content in replies.items():
                self._settle(runs[number], content)
            for number in runs.keys() - replies.keys():  # they turned out to be long
                if runs[number] in self.runs:
                    self._submit(runs[number], dask_host.run_rest, self._fleet.driver, number)
        except Exception as error:
            for run in runs.values():
                self._fail(run, "run", error)

    async def _fetch(self, reply: Future) -> Any:
        """A reply's content; all that are wanted in one turn of the loop come together.

        Not by way of `Client.gather`: if one who awaits it is cancelled, so are all the others, and a result that was
        lost it has computed again.
        """
        content: asyncio.Future[Any] = self._fleet.loop.create_future()
        if not self._wanted:
            self._fleet.loop.call_soon(self._gather)
        self._wanted[reply.key] = content
        return await content

    def _gather(self) -> None:
        wanted, self._wanted = self._wanted, {}
        self._fleet.spawn(self._gather_all(wanted))

    async def _gather_all(self, wanted: dict[Any, asyncio.Future[Any]]) -> None:
        try:
            while wanted:
                answer = await self._client.scheduler.gather(keys=list(wanted))
                if answer["status"] == "OK":
                    for key, content in wanted.items():
                        if not content.done():
                            content.set_result(answer["data"][key])
                    return
                for key in answer["keys"]:
                    _set_error(wanted.pop(key), ConnectionError("its result was lost"))
        except Exception as error:  # of the connection; each run says so
            for content in wanted.values():
                _set_error(content, error)

    def _settle(self, run: Run, reply: Reply) -> None:
        """A run's reply is here."""
        status, body, seconds = reply
        if status == ENGINE_ERROR:
            error = unpack_error(body)
            run.fail(self._closed(run) if isinstance(error, EngineClosedError) else error)
        elif status == STOPPED:
            run.fail(self._closed(run))
        elif status == REFUSED:
            text = f"its Dask worker {self.address} began anew, or lost the result; it is not run a second time unasked"
            run.fail(WorkerTakenError(text, run.key))
        else:
            self._fleet.places.lasted(run.task, seconds)
            unpack_reply(run.task, status, memoryview(body), run.future)
        self._fleet.end(run)

    def _closed(self, run: Run) -> WorkerTakenError:
        return WorkerTakenError(f"its Dask worker {self.address} closed while it ran", run.key)

    def _fail(self, run: Run, what: str, cause: Exception) -> None:
        """A run cannot be sent, or its reply not be had; nothing happens if it has ended."""
        self._fleet.check_connection(cause)
        error = cause
        if not isinstance(cause, RoseError):
            text = f"it could not {what} on the Dask worker {self.address}: {describe(cause)}"
            error = WorkerTakenError(text, run.key)
            error.__cause__ = cause
        run.fail(error)
        self._fleet.end(run)

    # --- ends ------------------------------------------------------------------------------------------------------

    async def stop(self, run: Run) -> None:
        """Stop a run, and return when it has ended there; together with others that are stopped now."""
        self._to_stop.append(run.number)
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop_all())
        await asyncio.shield(self._stopping)

    async def _stop_all(self) -> None:
        await asyncio.sleep(0)  # all that are cancelled in this turn of the loop
        numbers, self._to_stop, self._stopping = self._to_stop, [], None
        await self.tell(dask_host.stop, numbers)

    async def tell(self, function: Any, *args: Any) -> None:
        """Call a function of the host's, unless the worker or the connection goes."""
        call = self._client.run(
            function, self._fleet.driver, *args, workers=[self.address], on_error="ignore", asynchronous=True
        )
        telling = asyncio.ensure_future(call)
        await asyncio.wait([telling, self.gone], return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            telling.cancel()
        await asyncio.wait([telling])
        if not telling.cancelled() and telling.exception() is not None:
            self._fleet.check_connection(telling.exception())

    def lose(self, why: str, begun: Container[Any]) -> None:
        """The worker has left or died. What it had begun has failed; what it never had goes to another one.

        `begun` are the Dask keys that the scheduler had given to it.
        """
        self.give_up()
        self._outbox.clear()
        for work in self._bundles:
            work.cancel()
        for run in sorted(self.runs, key=lambda run: run.number, reverse=True):  # each becomes the first that waits
            if run.sent_as in begun or run.future.done():
                run.fail(WorkerTakenError(why, run.key))
                self._fleet.end(run)
            else:
                self.runs.discard(run)
                self._fleet.send_elsewhere(run)
        self.lease.release()

    def give_up(self) -> None:
        """Nothing will come from there any more."""
        if not self.gone.done():
            self.gone.set_result(None)


def _set_error(content: asyncio.Future[Any], error: Exception) -> None:
    if not content.done():
        content.set_exception(error)
