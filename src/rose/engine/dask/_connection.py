"""Keep a connection to a Dask scheduler: a client of ours, what runs for it, and how its loss is noticed."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from distributed import Client, Future

from rose.engine._remote.job import taken
from rose.engine.dask.scheduler import close
from rose.engine.deadline import within
from rose.engine.failures import describe
from rose.errors import WorkerTakenError

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Connection:
    """Keep a client in its event loop. `on_loss` is called once, when the connection turns out to be lost."""

    def __init__(self, client: Client, threads: ThreadPoolExecutor, patience: float) -> None:
        self.client = client
        self.loop = asyncio.get_running_loop()
        self.driver = secrets.token_hex(6)
        self.patience = patience  # seconds for an answer
        self.lost: Exception | None = None  # why it is no more
        self.on_loss: Callable[[], None] = lambda: None
        self._threads = threads
        self._keys = itertools.count()
        self._works: set[asyncio.Task[Any]] = set()

    def key(self, prefix: str) -> str:
        """Return a new Dask key; what is before the first "-" is what Dask's dashboard shows."""
        return f"{prefix.replace('-', '_')}-{self.driver}-{next(self._keys)}"

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start something that ends with the connection at the latest."""
        task = self.loop.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._ended)
        return task

    def in_thread(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Call a function that blocks in a thread."""
        return self.loop.run_in_executor(self._threads, function, *args)

    def check(self, error: BaseException | None) -> None:
        """Look whether something failed because the connection was lost."""
        if self.client.status != "running":
            self._lose(error)

    def lost_error(self, key: str) -> WorkerTakenError:
        """Return the error of a task that the loss of the connection has ended."""
        text = f"the connection to the Dask scheduler was lost ({self.lost}); the workers stop what they ran for it"
        return taken(text, key, self.lost)

    async def watch(self) -> None:
        """Ask the scheduler for a sign of life now and then: a network that swallows everything does not say so."""
        while True:
            await asyncio.sleep(self.patience / 3)
            try:
                async with within(self.patience):
                    await self.client.scheduler.who_has(keys=[""])
            except (OSError, TimeoutError) as error:
                self._lose(error)
                return
            self.check(None)

    async def end_works(self) -> None:
        """Cancel what was spawned."""
        for work in self._works:
            work.cancel()
        if self._works:
            await asyncio.wait(self._works)

    async def close(self) -> None:
        """Close the client."""
        await close(self.client, self.patience)

    def _ended(self, work: asyncio.Task[Any]) -> None:
        self._works.discard(work)
        if not work.cancelled() and work.exception() is not None:
            logger.debug("a connection's work failed", exc_info=work.exception())
            self.check(work.exception())

    def _lose(self, error: BaseException | None) -> None:
        if self.lost is not None:
            return
        if isinstance(error, TimeoutError):
            reason = f"no answer for {self.patience:g} s"
        else:
            reason = describe(error) if isinstance(error, OSError) else "it was closed"
        self.lost = ConnectionError(reason)
        self.lost.__cause__ = error
        logger.warning("the connection to the Dask scheduler was lost: %s", reason)
        self.on_loss()


class Peer:
    """Speak to a worker at the other end of a connection."""

    def __init__(self, connection: Connection, address: str) -> None:
        self.address = address
        self.gone: asyncio.Future[None] = connection.loop.create_future()  # done when nothing will come from there
        self._connection = connection

    def submit(self, name: str, function: Callable[..., Any], *args: Any, priority: int = 0) -> Future:
        """Submit a Dask task for this worker; the higher its priority the earlier it begins."""
        options = {"key": self._connection.key(name), "workers": [self.address], "priority": priority, "pure": False}
        return self._connection.client.submit(function, *args, **options)

    async def ship(self, name: str, data: Any) -> Future:
        """Put data into this worker's memory."""
        key = self._connection.key(name)
        client = self._connection.client
        futures = await client.scatter({key: data}, workers=[self.address], hash=False, asynchronous=True)
        return futures[key]

    async def tell(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function of the host's, unless the worker or the connection goes."""
        connection = self._connection
        call = connection.client.run(
            function, connection.driver, *args, workers=[self.address], on_error="ignore", asynchronous=True
        )
        telling = asyncio.ensure_future(call)
        await asyncio.wait([telling, self.gone], return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            telling.cancel()
        await asyncio.wait([telling])
        if not telling.cancelled() and telling.exception() is not None:
            connection.check(telling.exception())

    def give_up(self) -> None:
        """Expect nothing from this worker any more."""
        if not self.gone.done():
            self.gone.set_result(None)


async def finished(future: Future) -> None:
    """Wait for a Dask future, whose result stays where it is; raises what became of it otherwise."""
    error = await future.exception()  # not `distributed.wait`, which asks the user's client, if there is one
    if future.status != "finished":
        raise error if isinstance(error, Exception) else ConnectionError(f"it is {future.status}")
