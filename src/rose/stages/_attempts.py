"""Runs one task as often as its policy allows, and records each attempt: when it waited, ran and ended, and where."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rose.engine import Engine, Task
from rose.engine.blame import is_asked_to_end
from rose.errors import CommandFailedError, PlaceError, TaskError, UnpicklableError
from rose.stages.stage import Stage
from rose.stages.waiting import run_here
from rose.store import CANCELLED, FAILED, TaskLog, TaskRecord, TaskRetried

# Seconds for which a failure is held back: a batch system ends this process and what runs for it by one signal, and who
# hears of it first is chance. A task that was ended by a signal waits; one that seems to have ended by itself, less.
_HOLD = 1.0
_HOLD_BEFORE_DROPPING = 0.5
_HOLD_BRIEFLY = 0.2
Accept = Callable[[Any], Awaitable[Any]]  # makes a result of what a task gave, or raises a TaskError: it has failed


class Attempts:
    """Run tasks on an engine, under the policies of their stages.

    Attributes:
        open: the records of tasks that have run, or failed and may be dropped, and whose end is recorded by who asked.

    Args:
        engine: where tasks run.
        log: where they are recorded.
    """

    def __init__(self, engine: Engine, log: TaskLog) -> None:
        self._engine = engine
        self._log = log
        self._tells = bool(getattr(engine.capabilities, "tells_start", False))
        self.open: dict[str, TaskRecord] = {}

    async def run(
        self, task: Task, name: str, stage: Stage | None, output: str | None = None, accept: Accept | None = None
    ) -> tuple[Any, TaskRecord]:
        """Run a task until an attempt gives a result, or none is left.

        Args:
            task: the task.
            name: its key's text.
            stage: whose policies hold (None: it is tried once).
            output: where what it prints goes, relative to the run directory.
            accept: makes the result of what it gave; if it raises a TaskError, the attempt has failed.

        Returns:
            The result, and the task's record, whose end is the caller's to record.

        Raises:
            TaskError: of the last attempt.
        """
        # Attempts left, by whether it was the place that failed.
        left = None if stage is None else {True: stage.retries_of_place, False: stage.retries}
        for attempt in itertools.count(1):
            running = _Running(self._log, name, attempt, output, stage is not None and stage.waits, self._tells)
            try:
                return await self._once(task, running, stage, accept), running.record
            except asyncio.CancelledError:
                self._log.ended(running.record, CANCELLED)
                raise
            except TaskError as error:
                of_place = isinstance(error, PlaceError)
                if left is None or not left[of_place] or isinstance(error, UnpicklableError):
                    self._failed(running.record, stage, error)
                    raise
                assert stage is not None
                left[of_place] -= 1
                retries = stage.retries_of_place if of_place else stage.retries
                self._log.emit(TaskRetried(name, attempt, retries, error.message, of_place))
                await asyncio.sleep(stage.retry_delay)
        raise AssertionError("the loop ends by return or raise")

    async def _once(self, task: Task, running: _Running, stage: Stage | None, accept: Accept | None) -> Any:
        """Run a task once. Its failure comes a moment late if it may be this process's end, which then cancels it."""
        try:
            if stage is not None and stage.waits:
                result = await run_here(task)
            else:
                result = await self._engine.run(task, on_start=running.began)
            return result if accept is None else await accept(result)
        except TaskError as error:
            running.over()
            if (hold := _hold(error, stage)) > 0:
                await asyncio.sleep(hold)
            raise

    def _failed(self, record: TaskRecord, stage: Stage | None, error: TaskError) -> None:
        if stage is not None and stage.on_failure == "drop" and not isinstance(error, PlaceError):
            self.open[record.key] = record
        self._log.ended(record, FAILED, error)


class _Running:
    """Hold one attempt, and the record of its task, which changes when it begins."""

    __slots__ = ("_log", "record")

    def __init__(self, log: TaskLog, name: str, attempt: int, output: str | None, here: bool, tells: bool) -> None:
        self._log = log
        self.record = log.started(name, attempt, output) if here else log.queued(name, attempt, output, tells)

    def began(self, worker: str) -> None:
        """Record that it has begun; the engine calls this."""
        self.record = self._log.began(self.record, worker)

    def over(self) -> None:
        """Note that it has ended by now, if not yet what that means."""
        self.record = self.record._replace(ended=time.time())


def _hold(error: TaskError, stage: Stage | None) -> float:
    """Return the seconds after which a failure counts, unless this process is ended meanwhile.

    Whoever ends it may have ended what the task ran a moment before.
    """
    if isinstance(error, PlaceError):
        return _HOLD if error.by_signal else 0.0
    asked = isinstance(error, CommandFailedError) and is_asked_to_end(error.exit_code)
    final = stage is not None and stage.on_failure == "drop"
    return _HOLD if asked else _HOLD_BEFORE_DROPPING if final else _HOLD_BRIEFLY
