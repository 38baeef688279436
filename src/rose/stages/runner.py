"""Runs tasks for a workflow: the only place that knows the engine, the run's record and the policies at once."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rose.engine import CommandOutput, Engine, Task, TaskKey
from rose.engine.blame import is_asked_to_end, is_of_place
from rose.engine.functions.printing import showing
from rose.errors import CommandFailedError, PlaceError, TaskError, TaskFailedError, UnpicklableError
from rose.stages.commands import launch, working_directory
from rose.stages.parsing import collect_file
from rose.stages.reporting import Note, Observed, Watched, mentions, register
from rose.stages.shared import Shared
from rose.stages.stage import Stage
from rose.stages.waiting import run_here
from rose.store import (
    CANCELLED,
    DROPPED,
    FAILED,
    EventLog,
    Result,
    Run,
    Sample,
    TaskCancelled,
    TaskDone,
    TaskDropped,
    TaskFailed,
    TaskQueued,
    TaskRecord,
    TaskRetried,
    decode,
    given,
)

_log = logging.getLogger("rose")
# Seconds for which a failure is held back: a batch system ends this process and what runs for it by one signal, and who
# hears of it first is chance. A task that was ended by a signal waits; one that seems to have ended by itself, less.
_HOLD = 1.0
_HOLD_BEFORE_DROPPING = 0.5
_HOLD_BRIEFLY = 0.2
Accept = Callable[[Any], Awaitable[Any]]  # makes a result of what a task gave, or raises a TaskError: it has failed


class Runner:
    """What a workflow runs its tasks with. A task that is recorded as done is not run: its result is what was recorded.

    `run` is where tasks are recorded (None: nowhere, as for utility tasks). `learner` is what functions may call
    `register_state` on: those that mention it are run so that it works. `labels` says that simulations label a pool:
    what they gave is recorded by `labelled`, together with the end of their task.
    """

    def __init__(
        self, engine: Engine, events: EventLog, run: Run | None = None, learner: object = None, labels: bool = False
    ) -> None:
        self.engine = engine
        self.events = events
        self.run = run
        self._learner = learner
        self._labels = labels
        self._reporting: dict[int, bool] = {}
        self._seconds: dict[tuple[str, str], float] = {}  # how long a workflow's model last trained
        self._unsettled: dict[str, TaskRecord] = {}  # tasks that have run, and whose end is recorded by who asked

    async def function(
        self, key: TaskKey, stage: Stage | None, call: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Run a function on the engine, with the resources and the policies of `stage` (None: one cpu, none).

        `Shared` arguments arrive as their values.
        """
        result, _ = await self._call(key, stage, call, args, kwargs)
        return await result.get()

    async def early(
        self, key: TaskKey, stage: Stage | None, call: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """As `function`, but the result may come before it is on disk: one of many, of which nothing may be used until
        `settled` has returned, once for all."""
        result, _ = await self._call(key, stage, call, args, kwargs, early=True)
        return await result.get()

    async def settled(self) -> None:
        """Wait until what `early` gave is on disk."""
        if self.run is not None:
            await self.run.settled()

    async def lazily(
        self,
        key: TaskKey,
        stage: Stage | None,
        call: Callable[..., Any],
        arguments: Mapping[str, Any],
        accept: Accept | None = None,
    ) -> tuple[Result, Note | None]:
        """As `function`, but a recorded result is not read; and what came beside it.

        `accept` makes the result of what the task gave; if it raises a TaskError, the attempt has failed.
        """
        return await self._call(key, stage, call, (), arguments, accept=accept)

    async def command(
        self,
        key: TaskKey,
        stage: Stage,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        workdir: Path | None = None,
        accept: Accept | None = None,
    ) -> Any:
        """Ask the stage's function, here in the driver, for the command line; run it, and return what it printed.

        `accept` makes the result of that; if it raises a TaskError, the attempt has failed.

        Raises:
            TaskFailedError: if the function raises, or returns no command line.
        """
        record = self._recorded(key)
        if record is not None:
            assert self.run is not None
            text = str(await self.run.result(record).get())
            return text if accept is None else await accept(text)
        line = await self._command_line(key, stage, args, kwargs)
        command = launch(stage, key, line, workdir)
        where = None
        if self.run is not None and not self.run.temporary:
            where = self.run.output(str(key))
            files = self.run.path / where
            command = replace(command, stdout=files / "stdout", stderr=files / "stderr")
        task = Task(key, command, resources=stage.resources, timeout=stage.timeout)
        found: list[Any] = []

        async def accept_output(output: CommandOutput) -> CommandOutput:
            found[:] = [output.stdout if accept is None else await accept(output.stdout)]
            return output

        output, running = await self._run(task, str(key), stage, where, accept_output)
        assert isinstance(output, CommandOutput)
        self._lasted(key, output.seconds)
        if self.run is not None and workdir is not None:
            await self.run.keep(workdir)
        await self._record(running, stage, output.stdout, Note({}, output.seconds, None, self._relative(workdir)))
        return found[0]

    async def collect(
        self, key: TaskKey, stage: Stage, workdir: Path, accept: Callable[[Any], Any] | None = None
    ) -> Any:
        """Read what a stage's command left in its working directory, as a task of its own; `accept` makes the result of
        it, or raises a TaskError: then it has failed."""
        assert stage.collect is not None
        collecting, make = _collecting(key), accept or _itself
        record = self._recorded(collecting)
        if record is not None:
            assert self.run is not None
            try:
                return make(await self.run.result(record).get())
            except TaskError as error:  # an older version recorded it before it was judged; the command has run again
                _log.warning("task %s runs again: %s", collecting, error.message)

        async def judged(value: Any) -> Any:
            make(value)
            return value

        arguments = (stage.collect, workdir)
        result, _ = await self._run_function(collecting, None, collect_file, arguments, {}, early=False, accept=judged)
        return make(await result.get())

    def own_workdir(self, key: TaskKey, stage: Stage) -> Path | None:
        """The working directory that a stage's template names, in the run directory (a temporary one: in the driver's);
        None: the driver's own."""
        kept = self.run is not None and not self.run.temporary
        return working_directory(stage, key, self.run.path if self.run is not None and kept else Path.cwd())

    def workdir(self, key: TaskKey, stage: Stage) -> Path:
        """A new working directory for a task's command: by the stage's template, or one of its own."""
        assert self.run is not None
        own = working_directory(stage, key, self.run.path)
        if own is None:
            return self.run.workdir(str(key))
        own.mkdir(parents=True, exist_ok=True)
        return own

    # --- the ends of tasks that are not their results alone --------------------------------------------------------

    async def labelled(self, key: TaskKey, samples: Sequence[Sample], labels: Sequence[Any]) -> None:
        """Record a simulation's labels with the end of its task; returns when they are on disk."""
        running = self._unsettled.pop(str(key), None)
        if self.run is not None and running is not None:
            await self.run.labelled(running, samples, labels)

    async def imported(self, samples: Sequence[Sample], labels: Sequence[Any]) -> None:
        """Record labels that came from elsewhere; returns when they are on disk."""
        if self.run is not None and samples:
            await self.run.imported(samples, labels)

    async def dropped(self, key: TaskKey, error: TaskError, samples: Sequence[Sample] = ()) -> None:
        """Record that the run goes on without what this task would have given, by its policy."""
        running = self._unsettled.pop(str(key), None)
        if running is None:  # it was recorded as dropped before
            return
        self.events.append(TaskDropped(str(key), error.message))
        if self.run is not None:
            body = {"key": str(key), "error": str(error)}
            self.run.journal.event("task_dropped", key.workflow, key.iteration, body)
            await self.run.dropped(running, _text(error), samples)

    def failed(self, key: TaskKey, error: BaseException) -> None:
        """Record that a task failed after it had run (its result cannot be used)."""
        running = self._unsettled.pop(str(key), None)
        if self.run is not None and running is not None:
            self.run.ended(running, FAILED, _text(error))

    async def member(self, key: TaskKey) -> Shared | None:
        """A model that was trained before this run was resumed, unread; None if it is not recorded any more."""
        if self.run is None or (record := await self.run.task(str(key))) is None:
            return None
        note = None if record.note is None else Note(*decode(record.note))
        if note is not None and note.workdir is not None:  # a command: its model is what was collected, or where it is
            record = await self.run.task(str(_collecting(key)))
            if record is None:
                return Shared(self.engine, given(self.run.path / note.workdir))
            note = None
        if record.value is None and record.file is None:
            return None
        return Shared(self.engine, self.run.result(record), note)

    # --- shared values ---------------------------------------------------------------------------------------------

    def share(self, value: Any) -> Shared:
        """A value that is shipped to the engine once, when a task first needs it."""
        return Shared(self.engine, given(value))

    async def release(self, shared: Iterable[Shared]) -> None:
        """Free shared values that no task will ask for again."""
        for one in shared:
            await one.release()

    def longest_first(self, workflow: str, models: Iterable[str]) -> list[str]:
        """Models in the order in which to start their trainings: those that last ran longest first (Graham 1969), so
        that no worker idles beside a long one at the end; unknown ones keep their order, behind."""
        return sorted(models, key=lambda model: -self._seconds.get((workflow, model), 0.0))

    # --- inside ----------------------------------------------------------------------------------------------------

    def _recorded(self, key: TaskKey) -> TaskRecord | None:
        if self.run is None or not self.run.replaying:
            return None
        record = self.run.recorded(key.workflow, key.iteration, str(key))
        if record is not None and record.state == DROPPED:
            raise TaskFailedError(f"was dropped: {_last_line(record.error)}", str(key))
        return record

    async def _call(
        self,
        key: TaskKey,
        stage: Stage | None,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        early: bool = False,
        accept: Accept | None = None,
    ) -> tuple[Result, Note | None]:
        record = self._recorded(key)
        if record is None:
            result, note = await self._run_function(key, stage, call, args, kwargs, early, accept)
        else:
            assert self.run is not None
            result = self.run.result(record)
            note = None if record.note is None else Note(*decode(record.note))
        if note is not None:
            register(note.reported)
            self._lasted(key, note.seconds)
        return result, note

    async def _run_function(
        self,
        key: TaskKey,
        stage: Stage | None,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        early: bool,
        accept: Accept | None = None,
    ) -> tuple[Result, Note | None]:
        waits = stage is not None and stage.waits
        for value in (*args, *kwargs.values()):
            if isinstance(value, Shared):
                args = tuple([await _shipped(value, waits) for value in args])
                kwargs = {name: await _shipped(value, waits) for name, value in kwargs.items()}
                break
        name = str(key)
        observed = stage is not None and (waits or stage.kind == "training" or self._reports(stage))
        kept = None if stage is None or self.run is None or self.run.temporary else str(self.run.path)
        if observed or kept is not None:
            call = Watched(call, observed, kept, name)
        task = Task(key, call, args, kwargs)
        if stage is not None:
            task = Task(key, call, args, kwargs, stage.resources, stage.timeout)

        async def accept_value(value: Any) -> Any:
            assert accept is not None
            return value._replace(result=await accept(value.result)) if observed else await accept(value)

        value, running = await self._run(task, name, stage, accept=None if accept is None else accept_value)
        note = None
        if observed:
            assert isinstance(value, Observed)
            value, note = value.result, value.note
        return await self._record(running, stage, value, note, early), note

    async def _record(
        self, running: TaskRecord | None, stage: Stage | None, value: Any, note: Note | None, early: bool = False
    ) -> Result:
        if self.run is None or running is None:
            return given(value)
        if stage is not None and stage.kind == "simulation" and self._labels:
            self._unsettled[running.key] = running
            return given(value)
        return await self.run.done(running, value, None if note is None else tuple(note), early)

    async def _run(
        self, task: Task, name: str, stage: Stage | None, output: str | None = None, accept: Accept | None = None
    ) -> tuple[Any, TaskRecord | None]:
        """Run a task as often as its policy allows; its value, and its record so far. `name` is its key's text."""
        running = None
        left = None if stage is None else {True: stage.retries_of_place, False: stage.retries}  # by whose failure it is
        for attempt in itertools.count(1):
            if self.run is not None:
                running = self.run.started(name, attempt, output)
            try:
                if self.events.watched:
                    return await self._run_watched(task, stage, accept), running
                return await self._attempt(task, stage, accept), running
            except asyncio.CancelledError:
                if self.run is not None and running is not None:
                    self.run.ended(running, CANCELLED)
                raise
            except TaskError as error:
                of_place = isinstance(error, PlaceError)
                if left is None or not left[of_place] or isinstance(error, UnpicklableError):
                    self._failed(running, stage, error)
                    raise
                assert stage is not None
                left[of_place] -= 1
                self._retrying(task.key, attempt, stage, error)
                await asyncio.sleep(stage.retry_delay)
        raise AssertionError("the loop ends by return or raise")

    def _failed(self, running: TaskRecord | None, stage: Stage | None, error: TaskError) -> None:
        if self.run is None or running is None:
            return
        if stage is not None and stage.on_failure == "drop" and not isinstance(error, PlaceError):
            self._unsettled[running.key] = running
        self.run.ended(running, FAILED, _text(error))

    def _retrying(self, key: TaskKey, attempt: int, stage: Stage, error: TaskError) -> None:
        of_place = isinstance(error, PlaceError)
        retries = stage.retries_of_place if of_place else stage.retries
        self.events.append(TaskRetried(str(key), attempt, retries, error.message))
        if self.run is not None:
            body = {"key": str(key), "attempt": attempt, "retries": retries, "error": str(error)}
            if of_place:
                body["place"] = True
            self.run.journal.event("task_retried", key.workflow, key.iteration, body)

    async def _attempt(self, task: Task, stage: Stage | None, accept: Accept | None) -> Any:
        """Run a task once. Its failure comes a moment late if it may be this process's end, which then cancels it."""
        try:
            result = await (run_here(task) if stage is not None and stage.waits else self.engine.run(task))
            return result if accept is None else await accept(result)
        except TaskError as error:
            if (hold := _hold(error, stage)) > 0:
                await asyncio.sleep(hold)
            raise

    async def _run_watched(self, task: Task, stage: Stage | None, accept: Accept | None) -> Any:
        key, start = str(task.key), time.monotonic()
        self.events.append(TaskQueued(key))
        try:
            result = await self._attempt(task, stage, accept)
        except asyncio.CancelledError:
            self.events.append(TaskCancelled(key, time.monotonic() - start))
            raise
        except TaskError as error:
            self.events.append(TaskFailed(key, time.monotonic() - start, error.message))
            raise
        self.events.append(TaskDone(key, time.monotonic() - start))
        return result

    def _relative(self, workdir: Path | None) -> str | None:
        """A working directory as seen from the run's, which may be moved."""
        return None if self.run is None or workdir is None else os.path.relpath(workdir, self.run.path)

    def _lasted(self, key: TaskKey, seconds: float) -> None:
        if key.stage == "training" and key.model is not None:
            self._seconds[key.workflow, key.model] = seconds

    def _reports(self, stage: Stage) -> bool:
        known = self._reporting.get(id(stage.func))
        if known is None:
            known = self._reporting[id(stage.func)] = mentions(stage.func, self._learner)
        return known

    async def _command_line(self, key: TaskKey, stage: Stage, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        try:
            if inspect.iscoroutinefunction(stage.func):
                line = await stage.func(*args, **kwargs)
            else:  # it may write the command's input files: not on the event loop
                line = await asyncio.to_thread(_showing, stage.func, *args, **kwargs)
        except Exception as error:
            kind = PlaceError if is_of_place(error) else TaskFailedError
            raise kind(f"{stage.name} raised {type(error).__name__}: {error}", str(key)) from error
        register({})  # what it has registered in its thread is told here
        if not isinstance(line, str) or not line.strip():
            raise TaskFailedError(
                f"{stage.name} must return the command line to run, got {line!r}; "
                "if it does the work itself, register it with as_executable=False",
                str(key),
            )
        return line


def _hold(error: TaskError, stage: Stage | None) -> float:
    """The seconds after which a failure counts, unless this process is ended meanwhile: whoever ends it may have ended
    what the task ran a moment before."""
    if isinstance(error, PlaceError):
        return _HOLD if error.by_signal else 0.0
    asked = isinstance(error, CommandFailedError) and is_asked_to_end(error.exit_code)
    final = stage is not None and stage.on_failure == "drop"
    return _HOLD if asked else _HOLD_BEFORE_DROPPING if final else _HOLD_BRIEFLY


def _showing(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    with showing():
        return call(*args, **kwargs)


def _itself(value: Any) -> Any:
    return value


def _collecting(key: TaskKey) -> TaskKey:
    """The key of the task that reads what a command has left."""
    return replace(key, stage=f"{key.stage}.collect")


async def _shipped(value: Any, here: bool) -> Any:
    if not isinstance(value, Shared):
        return value
    return await value.get() if here else await value.ref()


def _last_line(text: str | None) -> str:
    return (text or "").strip().rpartition("\n")[2]


def _text(error: BaseException) -> str:
    """An error as people want to read it later: with its causes and where they were raised."""
    return "".join(traceback.format_exception(error))
