"""Run what a program asks for call by call: futures, their dependencies, and a record that a resumed program is given.

A call's key is its stage and its place in the program's order of calls to that stage, or what the program calls it.
With the key it is recorded what was asked, so that a program that asks otherwise is told so.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from rose.engine import Engine, TaskKey
from rose.errors import ChangedRunError, ConfigurationError, TaskError
from rose.identity.parts import parts_digest
from rose.loop.changes import AcceptChanges, check_identity, describe_stage
from rose.loop.checks import check_backends
from rose.loop.identity import describe_call
from rose.stages.options import take_description
from rose.stages.reporting import Note, Reports, reports
from rose.stages.runner import Runner
from rose.stages.stage import Stage
from rose.store import EventLog, Result, Run, TaskRecord, decode

Opened = tuple[Engine, Run | None]


class TaskFuture(asyncio.Task[Any]):
    """Stand for the result of a task that has been submitted: awaitable, with `done`, `cancel` and `exception`.

    Attributes:
        id: the text of its task's key.
        replayed: whether the result was recorded by an earlier program.
    """

    id: str = ""
    replayed: bool = False
    told: bool = False  # whether its error is another one's, of which whoever asked for that hears

    def heard(self) -> None:
        """Take note of an error that need not be told of again."""
        if self.told and not self.cancelled():
            self.exception()


def future_of(work: Any, key: str) -> TaskFuture:
    """Begin a coroutine as a future of that name, in the event loop that runs.

    Raises:
        ConfigurationError: if none does.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        work.close()
        raise ConfigurationError(
            f"task {key} was asked for where no event loop runs; call it in an `async def` that asyncio.run(...) runs"
        ) from None
    future = TaskFuture(work, loop=loop, name=f"rose {key}")
    future.id = key
    return future


class _AskedRunner(Runner):
    """Record with each task's end what was asked."""

    asked: dict[str, list[str]]

    async def _record(
        self, running: TaskRecord, stage: Stage | None, value: Any, note: Note | None, unflushed: bool = False
    ) -> Result:
        asked = self.asked.pop(running.key, None)
        if asked is not None:
            note = (note or Note({}, 0.0))._replace(asked=asked)
        return await super()._record(running, stage, value, note, unflushed)


class Submissions:
    """Keep an engine open, and a run if there is one, from the first task that is asked for until `close`.

    Args:
        learner: whose state tasks may register; None: nobody's.
        name: the workflow's, of which all tasks are.
        events: who watches.
        state: takes what tasks register.
        opener: opens the engine and the run; what has to be closed after them it puts on the stack.
        accept: what a resumed program may do otherwise than it was begun.
    """

    def __init__(
        self,
        learner: object,
        name: str,
        events: EventLog,
        state: Reports,
        opener: Callable[[AsyncExitStack], Awaitable[Opened]],
        accept: AcceptChanges = False,
    ) -> None:
        self._learner = learner
        self._name = name
        self._events = events
        self._state = state
        self._opener = opener
        self._accept: AcceptChanges = accept
        self._opening: asyncio.Task[_AskedRunner] | None = None
        self._left = AsyncExitStack()  # what an earlier event loop has not closed
        self._forget()
        self._begin()

    def _forget(self) -> None:
        self._opening = None
        self._stack = AsyncExitStack()
        self._going: set[TaskFuture] = set()
        self._checked: dict[str, asyncio.Task[None]] = {}  # functions that are what the run was begun with
        self._checking = asyncio.Lock()  # what a run was begun with is read, and written with what is added

    def _begin(self) -> None:
        """Let the program begin: its first call of each stage is number 0."""
        self._numbers: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)
        self._named: set[str] = set()

    def submit(self, stage: Stage, args: tuple[Any, ...], kwargs: Mapping[str, Any], key: str | None) -> TaskFuture:
        """Submit a task; futures among its arguments, in lists, tuples and dicts too, are waited for.

        Args:
            stage: what is to run.
            args, kwargs: what with.
            key: what the task is called; None: its place among the calls of its stage.

        Raises:
            ConfigurationError: if the key cannot be, or two tasks have it, or no event loop runs.
        """
        if (
            self._opening is not None and self._opening.get_loop().is_closed()
        ):  # another asyncio.run, left without close
            self._left = self._stack
            self._forget()
        own = TaskKey(self._name, 0, stage.kind, index=next(self._numbers[stage.kind])) if key is None else None
        if own is None:
            own = self._named_key(stage, key)
        future = future_of(self._run(own, stage, args, kwargs), str(own))
        self._going.add(future)
        future.add_done_callback(self._going.discard)
        future.add_done_callback(TaskFuture.heard)
        return future

    def _named_key(self, stage: Stage, name: Any) -> TaskKey:
        if not isinstance(name, str) or not name.strip() or name.isdecimal():
            raise ConfigurationError(f"key={name!r} of {stage.name} must be a text, and no number")
        own = TaskKey(self._name, 0, stage.kind, name)
        if str(own) in self._named:
            raise ConfigurationError(f"key={name!r} of {stage.name} was asked for before; each task has its own")
        self._named.add(str(own))
        return own

    async def close(self) -> None:
        """Cancel what still runs, and close the run and the engine where they were opened here."""
        going, opening, stack = set(self._going), self._opening, self._stack
        await self._left.aclose()
        for future in going:
            future.cancel()
        if opening is not None and not opening.get_loop().is_closed():
            await asyncio.wait([opening, *going, *self._checked.values()])
        self._forget()
        self._begin()
        await stack.aclose()

    # --- inside --------------------------------------------------------------------------------------------------

    async def _run(self, key: TaskKey, stage: Stage, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        reports.set(self._state)  # for this asyncio task alone
        await _ended([args, kwargs], str(key))
        args, kwargs = _resolved(args), _resolved(dict(kwargs))
        runner = await self._opened()
        stage, kwargs = take_description(stage, kwargs)
        if stage.options:
            check_backends({stage.name: stage}, runner.engine)
        if runner.run is not None:
            runner.asked[str(key)] = await self._asked(runner.run, key, stage, args, kwargs)
        if stage.as_executable:
            return await runner.command(key, stage, args, kwargs, runner.own_workdir(key, stage))
        return await runner.function(key, stage, stage.func, *args, **kwargs)

    async def _opened(self) -> _AskedRunner:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> _AskedRunner:
        await self._left.aclose()
        engine, run = await self._opener(self._stack)
        runner = _AskedRunner(engine, self._events, run, self._learner)
        runner.asked = {}
        return runner

    async def _asked(
        self, run: Run, key: TaskKey, stage: Stage, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> list[str]:
        """Return what is asked, to be recorded, and check that a recorded task was asked for in the same words.

        Raises:
            ChangedRunError: if the function has changed, or it was asked with other arguments.
        """
        checking = self._checked.get(stage.name)
        if checking is None:
            checking = self._checked[stage.name] = asyncio.ensure_future(self._check_function(run, stage))
        await asyncio.shield(checking)
        now = [stage.name, await asyncio.to_thread(describe_call, args, kwargs)]
        text = str(key)
        record = run.recorded(key.workflow, key.iteration, text) if run.replaying else None
        before = None if record is None or record.note is None else Note(*decode(record.note)).asked
        if before is not None and list(before) != now:
            if not self._accept:
                raise ChangedRunError(_otherwise(text, before, now))
            async with self._checking:
                run.accept([text], key.workflow)
                run.relearn(lambda task: f"{key.workflow}/{key.iteration}/{task}" != text)
                await run.recall(key.workflow, key.iteration)
        elif record is not None and isinstance(own := asyncio.current_task(), TaskFuture):
            own.replayed = True
        return now

    async def _check_function(self, run: Run, stage: Stage) -> None:
        parts = describe_stage(stage)
        async with self._checking:
            await check_identity(run, {stage.name: parts_digest(parts)}, {stage.name: parts}, self._accept)


def _otherwise(key: str, before: list[str], now: list[str]) -> str:
    what = (
        f"of {before[0]}, and is now asked of {now[0]}" if before[0] != now[0] else f"of {now[0]} with other arguments"
    )
    return (
        f"task {key} is recorded: it was asked {what}. The program asks in another order than was recorded, or for "
        "something else; give calls whose order is not fixed a name, key='...', or the learner accept_changes=True, to "
        "run anew what is asked otherwise"
    )


async def _ended(arguments: Any, key: str) -> None:
    """Wait until all futures among some arguments have ended; who waits may be cancelled, and they go on.

    Raises:
        BaseException: what the first of them that failed has raised.
        TaskError: if one was cancelled.
    """
    found = list(_futures(arguments))
    if found:
        await asyncio.wait(found)
    errors = [_error(one, key) for one in found]
    for error in errors:
        if error is not None:
            waiting = asyncio.current_task()
            if isinstance(waiting, TaskFuture):
                waiting.told = True
            raise error


def _error(future: asyncio.Future[Any], key: str) -> BaseException | None:
    if future.cancelled():
        return TaskError(f"waits for {getattr(future, 'id', None) or 'a future'}, which was cancelled", key)
    return future.exception()


def _futures(value: Any) -> Any:
    if asyncio.isfuture(value):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _futures(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _futures(one)


def _resolved(value: Any) -> Any:
    """Return arguments with results in the places of futures; what holds none stays the object that it is."""
    if asyncio.isfuture(value):
        return _resolved(value.result())
    if not any(True for _ in _futures(value)):
        return value
    if isinstance(value, Mapping):
        return {name: _resolved(one) for name, one in value.items()}
    made = [_resolved(one) for one in value]
    if isinstance(value, tuple):
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    return made
