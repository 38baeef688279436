"""Runs tasks for a workflow: the only place that knows the engine, the run's events and its directory."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from rose.engine import Command, CommandOutput, Engine, Ref, Task, TaskKey
from rose.errors import TaskError, TaskFailedError
from rose.store import EventLog, RunDirectory, TaskCancelled, TaskDone, TaskFailed, TaskQueued
from rose.workflow.reporting import Observed, call_observed, mentions, register
from rose.workflow.stages import Stage
from rose.workflow.values import collect_file

T = TypeVar("T")


@dataclass(frozen=True)
class Shared:
    """A value that was shipped to the engine once: `ref` for tasks, `value` for the driver."""

    value: Any
    ref: Ref


class Runner:
    """What a workflow runs its tasks with.

    `learner` is what functions may call `register_state` on: those that mention it are run so that it works.
    """

    def __init__(self, engine: Engine, events: EventLog, directory: RunDirectory, learner: object = None) -> None:
        self.engine = engine
        self.events = events
        self.directory = directory
        self._learner = learner
        self._reporting: dict[int, bool] = {}
        self._seconds: dict[tuple[str, str], float] = {}  # how long a workflow's model last trained

    async def function(
        self, key: TaskKey, stage: Stage | None, call: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Run a function on the engine, with the resources and the timeout of `stage` (None: one cpu, no timeout)."""
        task = Task(key, call, args, kwargs)
        if stage is not None:
            task = Task(key, call, args, kwargs, stage.resources, stage.timeout)
        if stage is None or not (stage.kind == "training" or self._reports(stage)):
            return await self._run(task)
        task = replace(task, call=call_observed, args=(call, *args))
        observed: Observed = await self._run(task)
        register(observed.reported)
        self._lasted(key, observed.seconds)
        return observed.result

    def longest_first(self, workflow: str, models: Iterable[str]) -> list[str]:
        """Models in the order in which to start their trainings: those that last ran longest first (Graham 1969), so
        that no worker idles beside a long one at the end; unknown ones keep their order, behind."""
        return sorted(models, key=lambda model: -self._seconds.get((workflow, model), 0.0))

    async def command(
        self,
        key: TaskKey,
        stage: Stage,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        workdir: Path | None = None,
    ) -> str:
        """Ask the stage's function, here in the driver, for the command line; run it, and return what it printed.

        Raises:
            TaskFailedError: if the function raises, or returns no command line.
        """
        line = await self._command_line(key, stage, args, kwargs)
        task = Task(key, Command(line, cwd=workdir), resources=stage.resources, timeout=stage.timeout)
        output = await self._run(task)
        assert isinstance(output, CommandOutput)
        self._lasted(key, output.seconds)
        return output.stdout

    async def collect(self, key: TaskKey, stage: Stage, workdir: Path) -> Any:
        """Read what a stage's command left in its working directory, as a task of its own."""
        assert stage.collect is not None
        return await self._run(Task(replace(key, stage=f"{key.stage}.collect"), collect_file, (stage.collect, workdir)))

    async def share(self, value: Any) -> Shared:
        """Ship a value to the engine once."""
        return Shared(value, await self.engine.share(value))

    async def release(self, shared: Iterable[Shared]) -> None:
        """Free shared values that no task will ask for again."""
        for one in shared:
            await self.engine.release(one.ref)

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
                line = await asyncio.to_thread(stage.func, *args, **kwargs)
        except Exception as error:
            raise TaskFailedError(f"{stage.name} raised {type(error).__name__}: {error}", str(key)) from error
        if not isinstance(line, str) or not line.strip():
            raise TaskFailedError(
                f"{stage.name} must return the command line to run, got {line!r}; "
                "if it does the work itself, register it with as_executable=False",
                str(key),
            )
        return line

    async def _run(self, task: Task) -> Any:
        if not self.events.watched:
            return await self.engine.run(task)
        key, start = str(task.key), time.monotonic()
        self.events.append(TaskQueued(key))
        try:
            result = await self.engine.run(task)
        except asyncio.CancelledError:
            self.events.append(TaskCancelled(key, time.monotonic() - start))
            raise
        except TaskError as error:
            self.events.append(TaskFailed(key, time.monotonic() - start, error.message))
            raise
        self.events.append(TaskDone(key, time.monotonic() - start))
        return result


@contextlib.asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises the first error itself instead of a group of one."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        first = _first(errors)
    else:
        return
    raise first  # here, not in the handler: its own `__cause__` stays


async def all_of(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all, side by side, and return their results in order; the first error cancels the others and is raised."""
    async with task_group() as group:
        tasks = [group.create_task(work) for work in works]
    return [task.result() for task in tasks]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
