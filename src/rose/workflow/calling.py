"""One stage of a pool's workflow, called by name, as a function or as a command."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from rose.engine import TaskKey
from rose.errors import BindingError
from rose.store import Result
from rose.store import given as at_hand
from rose.workflow.binding import Binding, bind
from rose.workflow.config import LearnerConfig
from rose.workflow.private import with_own
from rose.workflow.reporting import Note
from rose.workflow.runner import Runner
from rose.workflow.shared import Shared
from rose.workflow.stages import Stage
from rose.workflow.values import printed_value


def bind_stage(stage: Stage, provided: tuple[str, ...], config: LearnerConfig, iteration: int) -> Binding:
    """Bind a stage's function by name, with its configuration for this iteration.

    Raises:
        BindingError: as `bind` does, and if the configuration has positional arguments.
    """
    configured = config.get_task_config(stage.kind, iteration)
    if configured is not None and configured.args:
        raise BindingError(f"{stage.name}: a pool's tasks are bound by name; configure kwargs, not args")
    names = (*provided, "workdir") if stage.as_executable else provided
    return bind(stage.func, names, configured.kwargs if configured else {}, stage.name)


async def run_stage(
    runner: Runner,
    stage: Stage,
    key: TaskKey,
    binding: Binding,
    given: Mapping[str, Any],
    accept: Callable[[Any], Any] | None = None,
) -> Any:
    """Run a stage that is a function or a command; a command's value is what it left or printed.

    `given` holds the values by name; of what is `Shared`, functions get it in their worker and commands here. `accept`
    makes the result of the value, or raises a TaskError: then this attempt has failed.
    """
    result, _ = await run_stage_lazily(runner, stage, key, binding, given, accept)
    return await result.get()


async def run_stage_lazily(
    runner: Runner,
    stage: Stage,
    key: TaskKey,
    binding: Binding,
    given: Mapping[str, Any],
    accept: Callable[[Any], Any] | None = None,
) -> tuple[Result, Note | None]:
    """As `run_stage`, but a recorded result is not read; and what came beside it."""
    arguments = binding.arguments(**given)
    if stage.as_executable:
        return at_hand(await _run_command(runner, stage, key, binding, arguments, accept)), None

    async def accept_value(value: Any) -> Any:
        assert accept is not None
        return accept(value)

    own = stage.kind == "simulation"  # candidates are taken from the pool for it alone
    call = binding.func if own else functools.partial(with_own, binding.func)
    return await runner.lazily(key, stage, call, arguments, None if accept is None else accept_value)


async def _run_command(
    runner: Runner,
    stage: Stage,
    key: TaskKey,
    binding: Binding,
    arguments: Mapping[str, Any],
    accept: Callable[[Any], Any] | None,
) -> Any:
    workdir = runner.workdir(key, stage)
    by_value = {name: await v.get() if isinstance(v, Shared) else v for name, v in arguments.items()}
    if "workdir" in binding.names:
        by_value["workdir"] = workdir

    async def value_of(text: str) -> Any:
        if stage.collect is not None:
            return await runner.collect(key, stage, workdir, accept)
        value = workdir if stage.kind == "training" else printed_value(text, key)
        return value if accept is None else accept(value)

    return await runner.command(key, stage, (), by_value, workdir, value_of)
