"""Run the loop of ROSE's streaming learner: what comes in windows is trained on, whatever comes when.

window of items -> training -> active_learn -> criterion, which ends nothing: it says that the model may be published
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from rose.dataflow.active import ActiveLoop, ActivePlan
from rose.engine import TaskKey
from rose.errors import ConfigurationError, TaskError
from rose.loop.limits import Ending
from rose.loop.protocol import Loop, NothingLeft, Outcome, RunRequest
from rose.loop.state import StopReason
from rose.stages.config import LearnerConfig
from rose.stages.reporting import register
from rose.stages.runner import Runner
from rose.stages.stage import Registered

_log = logging.getLogger("rose")


class Stream:
    """Collect items, from sources and whoever feeds them, into windows.

    While a run takes them, no more than a window of them waits: who feeds waits, and so do sources. Before it they are
    kept, however many.

    Args:
        batch_size: how many items a window has.
        max_wait: seconds after the first item of a window, after which it has to do with fewer; None: it is full.
        conflate: whether older items are let go, so that the newest `batch_size` make the window and nobody waits.
    """

    def __init__(self, batch_size: int, max_wait: float | None, conflate: bool) -> None:
        self._size = batch_size
        self._max_wait = max_wait
        self._conflate = conflate
        self._items: deque[Any] = deque(maxlen=batch_size if conflate else None)
        self._sources: list[AsyncIterable[Any]] = []  # that are not read yet
        self._pumps: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None  # of a source
        self._state = "new"  # "open" while a run takes items, then "ended"
        self._said = False  # that nobody takes what is fed
        self._ends = False  # whether it has had sources: with the last of them it ends
        self._waiting: list[asyncio.Future[None]] = []

    async def feed(self, item: Any) -> None:
        """Add an item, when there is room; after the end of a run and before the next, it is let go."""
        while self._state == "open" and not self._conflate and len(self._items) >= self._size:
            await self._change()
        if self._state == "ended":
            if not self._said:
                _log.warning("the run has ended, and nobody learns from what is fed: it is let go")
            self._said = True
            return
        self._items.append(item)
        self._changed()
        if self._conflate:  # nobody waits for room, and others must run, too
            await asyncio.sleep(0)

    def attach(self, source: AsyncIterable[Any]) -> None:
        """Read a source, as soon as a run takes items.

        Raises:
            ConfigurationError: if it is no async iterator.
        """
        if not hasattr(source, "__aiter__"):
            raise ConfigurationError(f"a source is an async iterator, such as an async generator; got {source!r}")
        self._ends = True
        self._sources.append(source)
        if self._state == "open":
            self._read_sources()

    def open(self) -> None:
        """Begin: whoever feeds waits for room from now on, and sources are read."""
        self._state = "open"
        self._read_sources()

    def end(self) -> None:
        """End what a run takes, at once: what waits is let go, and what is attached from now on is the next run's."""
        if self._state != "open":
            return
        self._state = "ended"
        for pump in self._pumps:
            pump.cancel()
        self._items.clear()
        self._error, self._ends = None, False
        self._changed()

    async def close(self) -> None:
        """End, and wait until nothing is read any more."""
        self.end()
        if self._pumps:
            await asyncio.wait(set(self._pumps))

    def renew(self) -> None:
        """Take items again, for another run."""
        if self._state == "ended":
            self._state, self._said = "new", False

    async def window(self) -> list[Any]:
        """Return the next items.

        Raises:
            NothingLeft: when all sources have ended, and nothing is left of them.
            Exception: what a source raised, after what had come before.
        """
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._over:
                raise NothingLeft(StopReason.STREAM_EXHAUSTED)
            await self._change()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._max_wait):
                while len(self._items) < self._size and not self._over:
                    await self._change()
        taken = [self._items.popleft() for _ in range(min(self._size, len(self._items)))]
        self._changed()
        return taken

    # --- inside --------------------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        """Tell whether nothing more comes of itself."""
        return self._error is not None or (self._ends and not self._pumps)

    def _read_sources(self) -> None:
        for source in self._sources:
            pump = asyncio.create_task(self._pump(source))
            self._pumps.add(pump)
            pump.add_done_callback(self._read)
        self._sources.clear()

    def _read(self, pump: asyncio.Task[None]) -> None:
        self._pumps.discard(pump)
        self._changed()

    async def _pump(self, source: AsyncIterable[Any]) -> None:
        try:
            async for item in source:
                await self.feed(item)
        except Exception as error:
            self._error = self._error or error
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    async def _change(self) -> None:
        """Wait until something is otherwise."""
        self._waiting.append(asyncio.get_running_loop().create_future())
        await self._waiting[-1]

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)


class StreamingLoop(ActiveLoop):
    """Play a window an iteration; each is recorded before anything is trained on it.

    Args:
        name: the workflow's.
        registered: its stages and criterion.
        request: what was asked for.
        runner: what runs its tasks.
        stream: where windows come from.
    """

    def __init__(self, name: str, registered: Registered, request: RunRequest, runner: Runner, stream: Stream) -> None:
        super().__init__(name, registered, request, runner)
        self._stream = stream

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Train on the next window, choose, and judge; a criterion that is met ends nothing."""
        outcome = await super().play(iteration, config, ending)
        met = outcome.stop == StopReason.CRITERION_MET
        return replace(outcome, met=met, stop=ending(None) if met else outcome.stop)

    async def _learned(self, iteration: int, config: LearnerConfig) -> tuple[Any, ...]:
        window = await self._window(iteration)
        register({"window_size": len(window)})
        chosen = await self._chosen_before()
        return (await self.call("training", iteration, config, chosen, before=(window,)),)

    async def _window(self, iteration: int) -> list[Any]:
        """Return what is recorded of a window that has been begun, or the next one, recorded."""
        key, run = str(TaskKey(self.name, iteration, "window")), self.runner.run
        assert run is not None
        record = run.recorded(self.name, iteration, key) if run.replaying else None
        if record is not None:
            recorded: list[Any] = await run.result(record).get()
            return recorded
        try:
            window = await self._stream.window()
        except (NothingLeft, asyncio.CancelledError):
            raise
        except Exception as error:
            raise TaskError(f"a source of the stream raised {type(error).__name__}: {error}", key) from error
        await run.done(run.started(key), window)
        return window


class StreamingPlan(ActivePlan):
    """Plan the workflow of ROSE's streaming learner.

    Args:
        request: what was asked for.
        stream: where windows come from.

    Raises:
        ConfigurationError, BindingError: as `DataflowPlan` says; or if there is a simulation.
    """

    endless = True

    def __init__(self, request: RunRequest, stream: Stream) -> None:
        self._stream = stream
        super().__init__(request, skip_simulation_step=True)

    async def open(self, runner: Runner, stack: AsyncExitStack) -> Mapping[str, Loop]:
        """Return the loop, ready to be played; sources are read from now on."""
        stack.push_async_callback(self._stream.close)
        self._stream.open()
        return await super().open(runner, stack)

    def make_loop(self, name: str, runner: Runner) -> Loop:
        """Return the loop of the workflow."""
        return StreamingLoop(name, self.request.stages[name], self.request, runner, self._stream)

    def upstream(self, kind: str, iteration: int) -> int | None:
        """Return how many results of earlier stages a stage is given; None: it is not called."""
        return (2 if iteration else 1) if kind == "training" else super().upstream(kind, iteration)

    def _check_registered(self, registered: Registered) -> None:
        if "simulation" in registered.stages:
            raise ConfigurationError(
                "simulation_task: data come by feed() and from sources, and nothing would call it; register it with "
                "utility_task and call it where the data are made, or use SequentialActiveLearner"
            )
        super()._check_registered(registered)
