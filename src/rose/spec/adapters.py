"""Make of a file's tasks what a learner registers: functions that are imported, and command lines to be filled in."""

from __future__ import annotations

import functools
import importlib
import inspect
import string
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rose.errors import ConfigurationError, near_miss
from rose.spec.schema import RemoteConfig, TaskDef
from rose.stages.binding import signature_of

TOLD = {"model_name": "--model_name", "pass_index": "--iteration"}  # as commands call what ROSE injects


class TaskAdapterFactory:
    """Make callables of tasks: of a command what returns its line, of a function the function itself."""

    @staticmethod
    def make_closure(task_def: TaskDef, remote: RemoteConfig) -> Callable[..., Any]:
        """Return what is registered for a task.

        Raises:
            ConfigurationError: if its function cannot be imported.
        """
        if task_def.command is not None:
            return functools.partial(_filled, task_def.command)
        assert task_def.function is not None
        found: Callable[..., Any] = imported(task_def.function, remote.pythonpath)
        return found

    @staticmethod
    def as_executable(task_def: TaskDef) -> bool:
        """Tell whether a task is a command."""
        return task_def.type == "shell"

    @staticmethod
    def make_dispatch_closure(slot_name: str, task_defs: Sequence[TaskDef], remote: RemoteConfig) -> Callable[..., Any]:
        """Return what is registered for a stage of several learners: it does what the one of `learner_id` does.

        Raises:
            ConfigurationError: if a function cannot be imported.
        """
        choices = tuple(TaskAdapterFactory.make_closure(one, remote) for one in task_defs)
        waits = any(map(inspect.iscoroutinefunction, choices))
        return functools.partial(_dispatched_async if waits else _dispatched, choices)


def _filled(template: str, *args: Any, **values: Any) -> str:
    """Return a command line; results of earlier tasks, which come by position, are not in it."""
    named = {name: values[told] for name, told in TOLD.items() if told in values}
    return template.format_map({**values, **named})


def _dispatched(choices: Sequence[Callable[..., Any]], *args: Any, learner_id: int, **values: Any) -> Any:
    function = choices[learner_id]
    return function(*args, **taken(function, {"learner_id": learner_id, **values}))


async def _dispatched_async(choices: Sequence[Callable[..., Any]], *args: Any, learner_id: int, **values: Any) -> Any:
    result = _dispatched(choices, *args, learner_id=learner_id, **values)
    return await result if inspect.isawaitable(result) else result


def taken(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some values that a function takes by name: all, if it takes any name."""
    parameters = signature_of(function, getattr(function, "__name__", "a task")).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return dict(values)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: value for name, value in values.items() if name in parameters and parameters[name].kind in by_name}


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names that a command line's `{name}` stand for.

    Raises:
        ConfigurationError: if its braces cannot be read.

    >>> placeholders("solve --rate {lr:.3g} --step {iteration} '{{}}'")
    ('lr', 'iteration')
    """
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ConfigurationError(f"{template!r}: {error}; write braces as {{{{ and }}}}") from None
    return tuple(dict.fromkeys(name.partition(".")[0].partition("[")[0] for name in fields))


def check_placeholders(template: str, known: Iterable[str], where: str) -> None:
    """Check that all names in a command line are known.

    Raises:
        ConfigurationError: if one is not; `where` is what the message calls the line.
    """
    names = list(known)
    for name in placeholders(template):
        if name not in names and name not in TOLD.values():
            raise ConfigurationError(f"{where}: {{{name}}} is no parameter; {near_miss(name, names)}")


def imported(reference: str, pythonpath: Iterable[str] = (), where: str = "") -> Any:
    """Return what `module:name` names; directories of `pythonpath` are looked in first.

    Raises:
        ConfigurationError: if there is no such module or name, or importing it raises; `where` is what the message
            calls the reference.
    """
    for folder in reversed([str(Path(one).absolute()) for one in pythonpath]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module, _, name = reference.partition(":")
    prefix = f"{where}: " if where else ""
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        lacking = error.name if isinstance(error, ModuleNotFoundError) else None
        missing = lacking is not None and f"{module}.".startswith(f"{lacking}.")
        why = f"there is no module {lacking}" if missing else f"importing it raised {type(error).__name__}: {error}"
        hint = "; is its directory in PYTHONPATH, or in remote.pythonpath?" if missing else ""
        raise ConfigurationError(f"{prefix}{reference!r}: {why}{hint}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            names = [one for one in vars(found) if not one.startswith("_")]
            raise ConfigurationError(f"{prefix}{reference!r}: {module} has no {part!r}; {near_miss(part, names)}")
        found = getattr(found, part)
    if not callable(found):
        raise ConfigurationError(f"{prefix}{reference!r} is a {type(found).__name__}, which cannot be called")
    return found
