"""One Dask worker as the driver sees it: what it is sent, what comes back, how work there is stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Container
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distributed import Client, Future

from rose.engine import dask_host
from rose.engine.dask_message import ENGINE_ERROR, REFUSED, STOPPED, Facts, Message, Reply
from rose.engine.dask_places import Place, PlacedRequest
from rose.engine.errand import Errand, absolute, unpack_error
from rose.engine.failures import describe
from rose.engine.parcel import pack_task, unpack_reply
from rose.engine.protocol import Capacity, Command, Task
from rose.engine.transfer import Packed
from rose.errors import EngineClosedError, RoseError, WorkerLostError

if TYPE_CHECKING:
    from rose.engine.dask_fleet import Fleet

BODY_MAX = 512 * 1024  # bytes of a pickled task that go through Dask's scheduler with the graph; more goes as data


class Run(PlacedRequest):
    """A task on its way: `future` ends with its result."""

    __slots__ = ("future", "number", "packed", "reply", "work")

    def __init__(self, task: Task, start: Any, future: asyncio.Future[Any], number: int) -> None:
        super().__init__(task, start)
        self.future = future
        self.number = number
        self.packed = Packed(b"", [])
        self.work: asyncio.Task[None] | None = None  # sends it, and waits for its reply
        self.reply: Future | None = None  # Dask's

    @property
    def key(self) -> str:
        """The task's key as text."""
        return str(self.task.key)

    def fail(self, error: Exception) -> None:
        """End with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)


class _Used:
    """Refs that may be used; it notes those that are."""

    def __init__(self, paths: Container[str]) -> None:
        self.paths: list[str] = []
        self._allowed = paths

    def __contains__(self, path: object) -> bool:
        if path not in self._allowed:
            return False
        assert isinstance(path, str)
        self.paths.append(path)
        return True


class Site(Place):
    """One worker. It has been met: `facts` is what it said, `lease` what tells it that we live."""

    def __init__(self, address: str, has: Capacity, facts: Facts, lease: Future, fleet: Fleet) -> None:
        super().__init__(has)
        self.address = address
        self.facts = facts
        self.lease = lease
        self.runs: set[Run] = set()  # those that are here and have not ended
        self.gone = asyncio.get_running_loop().create_future()  # done when the worker has left or died
        self._fleet = fleet
        self._client: Client = fleet.client
        self._outbox: list[Run] = []
        self._kept: dict[str, asyncio.Task[None]] = {}  # shared values that have been, or are being, brought here
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
        together: list[tuple[Run, Message]] = []
        for run in runs:
            if run.future.done():  # its caller has gone
                self._fleet.end(run)
                continue
            try:
                message, refs = self._pack(run)
            except (RoseError, OSError) as error:
                run.fail(error)
                self._fleet.end(run)
                continue
            if refs or run.packed.files or _is_long(message.errand):
                run.work = self._fleet.spawn(self._send_large(run, message, refs))
            else:
                together.append((run, message))
        if together:
            keys = [self._fleet.key(run.task.key.stage) for run, _ in together]
            replies = self._client.map(
                dask_host.run_task,
                [message for _, message in together],
                key=keys,
                workers=[self.address],
                priority=-together[0][0].number,  # first in, first out
                pure=False,
            )
            for (run, _), reply in zip(together, replies, strict=True):
                run.reply = reply
                run.work = self._fleet.spawn(self._follow(run, reply))

    def _pack(self, run: Run) -> tuple[Message, list[str]]:
        """The message for a run, and the paths of the shared values that must be there first."""
        task, fleet = run.task, self._fleet
        call: bytes | Command
        prefix, refs = None, []
        if isinstance(task.call, Command):
            call = absolute(task.call)
        else:
            used = _Used(fleet.shared)
            if self.facts.sees_files:
                prefix = os.path.join(fleet.folder, f"task-{fleet.driver}-{run.number}-")
            run.packed = pack_task(task, prefix, used, remap=False)
            call = run.packed.body
            if not self.facts.sees_files:
                refs = used.paths
        errand = Errand(task.key, call, task.resources, task.timeout, prefix and f"{prefix}result-")
        return Message(self.facts.host, fleet.driver, run.number, fleet.settled, errand), refs

    async def _send_large(self, run: Run, message: Message, refs: list[str]) -> None:
        """Send a run after what it needs."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._fleet.threads, run.packed.write)
            for path in refs:
                await self._bring(path)
            args: list[Any] = [message]
            if _is_long(message.errand):
                short = replace(message, errand=replace(message.errand, call=b""))
                args = [short, await self.ship(self._fleet.key("rose_task"), message.errand.call)]
        except Exception as error:
            run.fail(self._could_not("be sent what it needs", run, error))
            self._fleet.end(run)
            return
        key = self._fleet.key(run.task.key.stage)
        workers = [self.address]
        run.reply = self._client.submit(
            dask_host.run_task, *args, key=key, workers=workers, priority=-run.number, pure=False
        )
        await self._follow(run, run.reply)

    async def ship(self, key: str, data: Any) -> Future:
        """Put data into this worker's memory."""
        futures = await self._client.scatter({key: data}, workers=[self.address], hash=False, asynchronous=True)
        future: Future = futures[key]
        return future

    # --- shared values, for a worker that does not see the driver's files ------------------------------------------

    async def _bring(self, path: str) -> None:
        """Bring a shared value here, once."""
        work = self._kept.get(path)
        if work is None or (work.done() and (work.cancelled() or work.exception() is not None)):
            work = self._kept[path] = self._fleet.spawn(self._keep(path))
        await asyncio.shield(work)

    async def _keep(self, path: str) -> None:
        archive = await self._fleet.archive(path, self)
        name = os.path.basename(os.path.dirname(path))
        key = self._fleet.key("rose_keep")
        workers = [self.address]
        kept = self._client.submit(
            dask_host.keep, self._fleet.driver, name, archive, key=key, workers=workers, pure=False
        )
        await kept

    async def drop(self, path: str) -> None:
        """Free a shared value here."""
        if self._kept.pop(path, None) is not None:
            name = os.path.basename(os.path.dirname(path))
            await self._tell(dask_host.drop, name)

    # --- what comes back -------------------------------------------------------------------------------------------

    async def _follow(self, run: Run, reply: Future) -> None:
        try:
            status, body, seconds = await reply
        except Exception as error:
            run.fail(self._could_not("run", run, error))
            self._fleet.end(run)
            self._fleet.check_connection(error)
            return
        self._settle(run, (status, body, seconds))
        self._fleet.end(run)

    def _settle(self, run: Run, reply: Reply) -> None:
        status, body, seconds = reply
        if status == ENGINE_ERROR:
            run.fail(self._of_engine(unpack_error(body), run))
        elif status == STOPPED:
            run.fail(WorkerLostError(f"its Dask worker {self.address} closed while it ran", run.key))
        elif status == REFUSED:
            text = f"its Dask worker {self.address} began anew, or lost the result; it is not run a second time unasked"
            run.fail(WorkerLostError(text, run.key))
        else:
            self._fleet.places.lasted(run.task, seconds)
            unpack_reply(run.task, status, memoryview(body), run.future)

    def _of_engine(self, error: Exception, run: Run) -> Exception:
        if isinstance(error, EngineClosedError):
            return WorkerLostError(f"its Dask worker {self.address} closed while it ran", run.key)
        return error

    def _could_not(self, what: str, run: Run, cause: Exception) -> Exception:
        if isinstance(cause, RoseError):
            return cause
        error = WorkerLostError(f"it could not {what} on the Dask worker {self.address}: {describe(cause)}", run.key)
        error.__cause__ = cause
        return error

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
        await self._tell(dask_host.stop, numbers)

    async def _tell(self, function: Any, *args: Any) -> None:
        """Call a function of the host's, unless the worker or the connection goes."""
        call = self._client.run(
            function, self._fleet.driver, *args, workers=[self.address], on_error="ignore", asynchronous=True
        )
        telling = asyncio.ensure_future(call)
        await asyncio.wait([telling, self.gone], return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            telling.cancel()
        await asyncio.wait([telling])
        if not telling.cancelled() and isinstance(telling.exception(), Exception):
            self._fleet.check_connection(telling.exception())

    def lose(self, why: str) -> None:
        """The worker has left or died; so has what it ran."""
        if not self.gone.done():
            self.gone.set_result(None)
        for run in list(self.runs):
            run.fail(WorkerLostError(why, run.key))
            self._fleet.end(run)
        self.lease.release()


def _is_long(errand: Errand) -> bool:
    return isinstance(errand.call, bytes) and len(errand.call) > BODY_MAX
