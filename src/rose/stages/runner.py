"""Runs tasks for a workflow: the only place that knows the engine, the run's record and the policies at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rose.engine import CommandOutput, Engine, Task, TaskKey
from rose.errors import TaskError, TaskFailedError
from rose.stages import kinds
from rose.stages._attempts import Accept, Attempts
from rose.stages.commands import command_line, launch, working_directory
from rose.stages.parsing import collect_file
from rose.stages.reporting import Note, Observed, TaskFunction, mentions, register
from rose.stages.shared import Shared
from rose.stages.stage import Stage
from rose.store import DONE, DROPPED, FAILED, EventLog, Result, Run, Sample, TaskLog, TaskRecord, decode, given

_log = logging.getLogger("rose")


class Runner:
    """Run a workflow's tasks; one that is recorded as done is not run: its result is what was recorded.

    `run` is where tasks are recorded (None: nowhere, as for utility tasks). `learner` is what functions may call
    `register_state` on: those that mention it are run so that it works. `labels` says that simulations label a pool:
    what they gave is recorded by `labelled`, together with the end of their task.
    """

    def __init__(
        self, engine: Engine, events: EventLog, run: Run | None = None, learner: object = None, labels: bool = False
    ) -> None:
        self.engine = engine
        self.run = run
        self._tasks: TaskLog = TaskLog(events) if run is None else run
        self._attempts = Attempts(engine, self._tasks)
        self._learner = learner
        self._labels = labels
        self._reporting: dict[int, bool] = {}
        self._seconds: dict[tuple[str, str], float] = {}  # how long a workflow's model last trained

    async def function(
        self, key: TaskKey, stage: Stage | None, call: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Run a function on the engine, with the resources and the policies of `stage` (None: one cpu, none).

        `Shared` arguments arrive as their values.
        """
        result, _ = await self._call(key, stage, call, args, kwargs)
        return await result.get()

    async def unflushed(
        self, key: TaskKey, stage: Stage | None, call: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Run a function as `function` does, but return its result perhaps before it is on disk.

        It is one of many, of which nothing may be used until `flushed` has returned, once for all.
        """
        result, _ = await self._call(key, stage, call, args, kwargs, unflushed=True)
        return await result.get()

    async def flushed(self) -> None:
        """Wait until what `unflushed` gave is on disk."""
        if self.run is not None:
            await self.run.flushed()

    async def lazily(
        self,
        key: TaskKey,
        stage: Stage | None,
        call: Callable[..., Any],
        arguments: Mapping[str, Any],
        accept: Accept | None = None,
    ) -> tuple[Result, Note | None]:
        """Run a function as `function` does, but do not read a recorded result; return also what came beside it.

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
        line = await command_line(stage, key, args, kwargs)
        command = launch(stage, key, line, workdir)
        where = None
        if self.run is not None and not self.run.temporary:
            where = self.run.output(str(key))
            files = self.run.path / where
            command = replace(command, stdout=files / "stdout", stderr=files / "stderr")
        task = Task(key, command, resources=stage.resources, timeout=stage.timeout, options=stage.options)
        found: list[Any] = []

        async def accept_output(output: CommandOutput) -> CommandOutput:
            found[:] = [output.stdout if accept is None else await accept(output.stdout)]
            return output

        output, running = await self._attempts.run(task, str(key), stage, where, accept_output)
        assert isinstance(output, CommandOutput)
        self._lasted(key, output.seconds)
        if self.run is not None and workdir is not None:
            await self.run.keep(workdir)
        await self._record(running, stage, output.stdout, Note({}, output.seconds, None, self._relative(workdir)))
        return found[0]

    async def collect(
        self, key: TaskKey, stage: Stage, workdir: Path, accept: Callable[[Any], Any] | None = None
    ) -> Any:
        """Read what a stage's command left in its working directory, as a task of its own.

        `accept` makes the result of it, or raises a TaskError: then it has failed.
        """
        assert stage.collect is not None
        own, make = collecting(key), accept or _itself
        record = self._recorded(own)
        if record is not None:
            assert self.run is not None
            try:
                return make(await self.run.result(record).get())
            except TaskError as error:  # an older version recorded it before it was judged; the command has run again
                _log.warning("task %s runs again: %s", own, error.message)

        async def judged(value: Any) -> Any:
            make(value)
            return value

        arguments = (stage.collect, workdir)
        result, _ = await self._run_function(own, None, collect_file, arguments, {}, False, judged)
        return make(await result.get())

    def own_workdir(self, key: TaskKey, stage: Stage) -> Path | None:
        """Return the working directory that a stage's template names; None: the driver's own.

        It is in the run directory, or where that is a temporary one, in the driver's.
        """
        kept = self.run is not None and not self.run.temporary
        return working_directory(stage, key, self.run.path if self.run is not None and kept else Path.cwd())

    def workdir(self, key: TaskKey, stage: Stage) -> Path:
        """Return a new working directory for a task's command: by the stage's template, or one of its own."""
        assert self.run is not None
        own = working_directory(stage, key, self.run.path)
        if own is None:
            return self.run.workdir(str(key))
        own.mkdir(parents=True, exist_ok=True)
        return own

    # --- the ends of tasks that are not their results alone --------------------------------------------------------

    async def labelled(self, key: TaskKey, samples: Sequence[Sample], labels: Sequence[Any]) -> None:
        """Record a simulation's labels with the end of its task; returns when they are on disk."""
        running = self._attempts.open.pop(str(key), None)
        if self.run is not None and running is not None:
            await self.run.labelled(running, samples, labels)

    async def imported(self, samples: Sequence[Sample], labels: Sequence[Any]) -> None:
        """Record labels that came from elsewhere; returns when they are on disk."""
        if self.run is not None and samples:
            await self.run.imported(samples, labels)

    async def dropped(self, key: TaskKey, error: TaskError, samples: Sequence[Sample] = ()) -> None:
        """Record that the run goes on without what this task would have given, by its policy."""
        running = self._attempts.open.pop(str(key), None)
        if self.run is not None and running is not None:  # if none, it was recorded as dropped before
            await self.run.dropped(running, error, samples)

    def failed(self, key: TaskKey, error: BaseException) -> None:
        """Record that a task failed after it had run (its result cannot be used)."""
        running = self._attempts.open.pop(str(key), None)
        if running is not None:
            self._tasks.ended(running, FAILED, error)

    async def member(self, key: TaskKey) -> Shared | None:
        """Return, unread, a model that was trained before this run was resumed; None if it is not recorded any more."""
        if self.run is None or (record := await self.run.task(str(key))) is None:
            return None
        note = None if record.note is None else Note(*decode(record.note))
        if note is not None and note.workdir is not None:  # a command: its model is what was collected, or where it is
            record = await self.run.task(str(collecting(key)))
            if record is None:
                return Shared(self.engine, given(self.run.path / note.workdir))
            note = None
        if record.value is None and record.file is None:
            return None
        return Shared(self.engine, self.run.result(record), note)

    # --- shared values ---------------------------------------------------------------------------------------------

    def share(self, value: Any) -> Shared:
        """Return a value that is shipped to the engine once, when a task first needs it."""
        return Shared(self.engine, given(value))

    async def release(self, shared: Iterable[Shared]) -> None:
        """Free shared values that no task will ask for again."""
        for one in shared:
            await one.release()

    def longest_first(self, workflow: str, models: Iterable[str]) -> list[str]:
        """Return the models in the order in which to start their trainings: those that last ran longest first.

        Then no worker idles beside a long one at the end (Graham 1969); unknown ones keep their order, behind.
        """
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
        unflushed: bool = False,
        accept: Accept | None = None,
    ) -> tuple[Result, Note | None]:
        record = self._recorded(key)
        if record is None:
            result, note = await self._run_function(key, stage, call, args, kwargs, unflushed, accept)
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
        unflushed: bool,
        accept: Accept | None = None,
    ) -> tuple[Result, Note | None]:
        waits = stage is not None and stage.waits
        for value in (*args, *kwargs.values()):
            if isinstance(value, Shared):
                args = tuple([await _shipped(value, waits) for value in args])
                kwargs = {name: await _shipped(value, waits) for name, value in kwargs.items()}
                break
        name = str(key)
        observed = stage is not None and (waits or stage.row.observed or self._reports(stage))
        kept = None if stage is None or self.run is None or self.run.temporary else str(self.run.path)
        if observed or kept is not None:
            call = TaskFunction(call, observed, kept, name)
        task = Task(key, call, args, kwargs)
        if stage is not None:
            task = Task(key, call, args, kwargs, stage.resources, stage.timeout, stage.options)

        async def accept_value(value: Any) -> Any:
            assert accept is not None
            return value._replace(result=await accept(value.result)) if observed else await accept(value)

        value, running = await self._attempts.run(task, name, stage, accept=None if accept is None else accept_value)
        note = None
        if observed:
            assert isinstance(value, Observed)
            value, note = value.result, value.note
        return await self._record(running, stage, value, note, unflushed), note

    async def _record(
        self, running: TaskRecord, stage: Stage | None, value: Any, note: Note | None, unflushed: bool = False
    ) -> Result:
        if self.run is None:
            self._tasks.ended(running, DONE)
            return given(value)
        if stage is not None and stage.row.label and self._labels:
            self._attempts.open[running.key] = running
            return given(value)
        return await self.run.done(running, value, None if note is None else tuple(note), unflushed)

    def _relative(self, workdir: Path | None) -> str | None:
        """Return a working directory's path relative to the run's directory, which may be moved."""
        return None if self.run is None or workdir is None else os.path.relpath(workdir, self.run.path)

    def _lasted(self, key: TaskKey, seconds: float) -> None:
        row = kinds.KINDS.get(key.stage)
        if row is not None and row.timed and key.model is not None:
            self._seconds[key.workflow, key.model] = seconds

    def _reports(self, stage: Stage) -> bool:
        known = self._reporting.get(id(stage.func))
        if known is None:
            known = self._reporting[id(stage.func)] = mentions(stage.func, self._learner)
        return known


def _itself(value: Any) -> Any:
    return value


def result_keys(key: TaskKey) -> list[str]:
    """Return under which keys a stage's result may be recorded: its task's, or that of what its command has left."""
    return [str(key), str(collecting(key))]


def collecting(key: TaskKey) -> TaskKey:
    """Return the key of the task that reads what a command has left."""
    return replace(key, stage=f"{key.stage}.collect")


async def _shipped(value: Any, here: bool) -> Any:
    if not isinstance(value, Shared):
        return value
    return await value.get() if here else await value.ref()


def _last_line(text: str | None) -> str:
    return (text or "").strip().rpartition("\n")[2]
