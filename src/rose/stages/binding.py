"""Bind a pool's task functions by name, and call them so, as functions or as commands.

A function names what it wants, as a pytest test names its fixtures.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rose.engine import TaskKey
from rose.errors import BindingError, did_you_mean, near_miss
from rose.stages.config import LearnerConfig
from rose.stages.parsing import printed_value
from rose.stages.reporting import Note
from rose.stages.runner import Runner
from rose.stages.shared import Shared, with_own
from rose.stages.stage import Stage
from rose.store import Result
from rose.store import given as at_hand


@dataclass(frozen=True)
class Binding:
    """Hold a function and the provided names that it wants; `configured` is what its configuration adds."""

    func: Callable[..., Any]
    names: frozenset[str]
    configured: Mapping[str, Any]

    def arguments(self, **provided: Any) -> dict[str, Any]:
        """Return those of `provided` that the function wants, and its configured arguments."""
        return {**self.configured, **{name: value for name, value in provided.items() if name in self.names}}


def bind(func: Callable[..., Any], provided: tuple[str, ...], configured: Mapping[str, Any], where: str) -> Binding:
    """Decide what `func` is called with.

    Args:
        func: the user's function.
        provided: the names that the learner has for this stage.
        configured: keyword arguments from the stage's configuration.
        where: how messages call the stage.

    Raises:
        BindingError: if a parameter without a default is neither provided nor configured, a configured argument is
            not a parameter, or a parameter cannot be passed by name.

    >>> sorted(bind(lambda x, seed=0: x, ("x", "seed", "index"), {}, "simulation task").names)
    ['seed', 'x']
    """
    wanted, missing, takes_any = set(), [], False
    parameters = signature_of(func, where).parameters
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            raise BindingError(f"{where}: parameter {name!r} is positional-only; the learner passes by name")
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            if name in provided and name not in configured:
                wanted.add(name)
            elif name not in configured and parameter.default is parameter.empty:
                missing.append(name)
    if missing:
        hint = did_you_mean(missing[0], [*provided, *configured])
        raise BindingError(
            f"{where} asks for {', '.join(map(repr, missing))}, which nothing provides; "
            + (f"{hint} " if hint else "")
            + f"there is: {', '.join(sorted(provided))}"
            + (f"; configured: {', '.join(sorted(configured))}" if configured else "")
        )
    unused = [name for name in configured if name not in parameters]
    if unused and not takes_any:
        raise BindingError(
            f"{where} is configured with {', '.join(map(repr, unused))}, which it does not take "
            f"({near_miss(unused[0], parameters)})"
        )
    return Binding(func, frozenset(wanted), dict(configured))


def signature_of(func: Callable[..., Any], where: str) -> inspect.Signature:
    """Return a function's signature; `where` is how messages call it.

    Raises:
        BindingError: if it says none, as some functions written in C.
    """
    try:
        return inspect.signature(func)
    except (TypeError, ValueError) as error:
        raise BindingError(
            f"{where} does not say what it takes ({error}); wrap it into a function of your own"
        ) from None


def bind_stage(stage: Stage, config: LearnerConfig, iteration: int, tested: bool = False) -> Binding:
    """Bind a stage's function by name to what its kind is provided with, and to its configuration for this iteration.

    `tested` says that the pool has a hold-out. A command may ask for its `workdir`, too.

    Raises:
        BindingError: as `bind` does, and if the configuration has positional arguments.
    """
    configured = config.get_task_config(stage.kind, iteration)
    if configured is not None and configured.args:
        raise BindingError(f"{stage.name}: a pool's tasks are bound by name; configure kwargs, not args")
    names = stage.row.provides_batch if stage.batch else stage.row.provides
    names += (stage.row.provides_tested if tested else ()) + (("workdir",) if stage.as_executable else ())
    return bind(stage.func, names, configured.kwargs if configured else {}, stage.name)


async def run_stage(
    runner: Runner,
    stage: Stage,
    key: TaskKey,
    binding: Binding,
    values: Mapping[str, Any],
    accept: Callable[[Any], Any] | None = None,
) -> Any:
    """Run a stage that is a function or a command; a command's value is what it left or printed.

    `values` has what is provided, by name; of what is `Shared`, functions get it in their worker and commands here.
    `accept` makes the result of the value, or raises a TaskError: then this attempt has failed.
    """
    result, _ = await run_stage_lazily(runner, stage, key, binding, values, accept)
    return await result.get()


async def run_stage_lazily(
    runner: Runner,
    stage: Stage,
    key: TaskKey,
    binding: Binding,
    values: Mapping[str, Any],
    accept: Callable[[Any], Any] | None = None,
) -> tuple[Result, Note | None]:
    """Do as `run_stage`, but do not read a recorded result; return it and what came beside it."""
    arguments = binding.arguments(**values)
    if stage.as_executable:
        return at_hand(await _run_command(runner, stage, key, binding, arguments, accept)), None

    async def accept_value(value: Any) -> Any:
        assert accept is not None
        return accept(value)

    call = binding.func if stage.row.owns_arguments else functools.partial(with_own, binding.func)
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
        value = workdir if stage.row.result == "directory" else printed_value(text, key)
        return value if accept is None else accept(value)

    return await runner.command(key, stage, (), by_value, workdir, value_of)
