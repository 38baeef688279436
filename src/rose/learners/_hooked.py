"""Let a learner's own `_register_task` see every task of a run, as programs replace it, before it is executed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path
from typing import Any

from rose.engine import TaskKey
from rose.learners._task_dicts import TaskDict, described, stage_of
from rose.stages.reporting import Note
from rose.stages.runner import Runner
from rose.stages.stage import Stage
from rose.store import Result, given

TaskHook = Callable[..., Any]  # (task dict, deps) -> what is awaited
GoOn = Callable[[Mapping[str, Any], tuple[Any, ...], dict[str, Any]], "asyncio.Future[Any]"]

# What executes the task that a hook is being told of, the next time that it asks for one.
submitted: ContextVar[GoOn | None] = ContextVar("rose_submitted", default=None)


class HookedRunner(Runner):
    """Run tasks by way of a hook; those that are recorded do not run, and it does not see them."""

    hook: TaskHook

    async def command(
        self,
        key: TaskKey,
        stage: Stage,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        workdir: Path | None = None,
        accept: Any = None,
    ) -> Any:
        """Ask the hook, if the command is to run, and do as `Runner.command` does."""
        run = super().command
        if self._recorded(key) is not None:
            return await run(key, stage, args, kwargs, workdir, accept)

        async def execute(changed: Stage, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
            return await run(key, changed, args, kwargs, workdir, accept)

        return await self._asked(stage, args, kwargs, execute)

    async def _run_function(
        self,
        key: TaskKey,
        stage: Stage | None,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        unflushed: bool,
        accept: Any = None,
    ) -> tuple[Result, Note | None]:
        run = super()._run_function
        if stage is None:
            return await run(key, stage, call, args, kwargs, unflushed, accept)
        found: list[tuple[Any, tuple[Result, Note | None]]] = []

        async def execute(changed: Stage, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
            own = call if changed.func is stage.func else changed.func
            ran = await run(key, changed, own, args, kwargs, unflushed, accept)
            found[:] = [(await ran[0].get(), ran)]
            return found[0][0]

        value = await self._asked(stage, args, kwargs, execute)
        return found[0][1] if found and found[0][0] is value else (given(value), None)

    async def _asked(
        self, stage: Stage, args: tuple[Any, ...], kwargs: Mapping[str, Any], execute: Callable[..., Any]
    ) -> Any:
        """Return what the hook's future gives; `execute` runs the task, as the hook may have changed it."""
        told = task_dict(stage)
        before = {**told, "decor_kwargs": dict(told["decor_kwargs"])}

        def go_on(task: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> asyncio.Future[Any]:
            submitted.set(None)  # another task that it asks for is one of its own
            same = all(task.get(name) == before[name] for name in ("func", "decor_kwargs", "as_executable"))
            changed = stage if same else stage_of(stage.kind, task)
            running: asyncio.Future[Any] = asyncio.ensure_future(execute(changed, args, kwargs))
            return running

        token = submitted.set(go_on)
        try:
            future = self.hook({**told, "kwargs": dict(kwargs)}, args)
        finally:
            submitted.reset(token)
        return await future


_PLAIN = {"kind", "func", "as_executable", "log_params", "resources"}


def task_dict(stage: Stage) -> TaskDict:
    """Return the dict of a stage, with the options that it has, whether of its decorator or of a configuration."""
    usual = Stage(stage.kind, stage.func, stage.as_executable)
    options = {field.name: getattr(stage, field.name) for field in fields(stage) if field.name not in _PLAIN}
    options = {name: value for name, value in options.items() if value != getattr(usual, name)}
    ranks = stage.ranks or 1
    needs = {"cpus": stage.resources.cpus // ranks, "gpus": stage.resources.gpus, "memory": stage.resources.memory}
    options |= {name: value for name, value in needs.items() if value != getattr(usual.resources, name)}
    return described(stage.func, {**options, "as_executable": stage.as_executable, "log_params": stage.log_params})
