"""Check the options that say how a stage's tasks run, for decorators and configurations alike."""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from rose.engine import Resources
from rose.errors import ConfigurationError, near_miss
from rose.stages.commands import check_cwd, check_launcher
from rose.stages.kinds import KINDS, Kind
from rose.stages.stage import OnFailure, Stage

# What may differ from model to model, and be changed by a configuration.
TASK_OPTIONS = ("cpus", "gpus", "memory", "ranks", "timeout", "retries", "place_retries", "retry_delay", "on_failure")
QUORUMS = ("min_members", "max_failed_simulations")
MEANINGS = {  # every option, as `help()` of a decorator tells it
    "as_executable": "True: the function returns the command line to run; False: the function is the task",
    "cpus": "processors of a task; of a command with ranks, of each rank",
    "gpus": "GPUs of a task",
    "memory": 'bytes, or "8GB"; a task that takes more is ended',
    "timeout": "seconds after which a task is ended",
    "retries": "how often a task that has failed runs again",
    "place_retries": "the same where the place failed, not the task (a full disk, a killed worker); None: as retries",
    "retry_delay": "seconds before it runs again",
    "on_failure": '"raise": a failure ends the workflow; "drop": it goes on without',
    "max_failed_simulations": "how many may fail: a count, or a share of those asked for, such as 0.1",
    "min_members": "how many models must have trained",
    "batch": "how many candidates a task takes, as X",
    "per_model": '{model name: {option: value}}, as {"cnn": {"gpus": 1}}',
    "classes": "the label of each column of the probabilities, where models have no classes_",
    "normalise": "True: probabilities that are rounded are divided by their sums",
    "ranks": "MPI processes of a command",
    "launcher": 'how they are started, "mpiexec -n {ranks} {command}"; also {cpus}, {gpus}',
    "cwd": 'where a command works, "work/{workflow}/{iteration}"; also {model}, {stage}, {index}',
    "collect": "what reads a command's result: the name of a file that it writes, or a function of its directory",
    "depends_on": "files, directories and programs whose contents decide the results: a change of one is noticed",
    "waits": "True: an async function waits in the driver's event loop, and takes no worker",
    "log_params": "what trackers are told of it, a dict",
    "backend": "which of a WorkflowEngine's back ends runs it",
    "task_description": "what that back end is told, a dict",
}
OPTIONS = tuple(MEANINGS)

_OF_SOME = ("batch", "max_failed_simulations", "min_members", "per_model", "classes", "normalise")  # see `Kind.options`
_COMMANDS = {  # options that only commands take
    "collect": "reads what a command wrote; a function returns its result",
    "ranks": "starts a command under MPI; a function runs in one process",
    "launcher": "starts a command; a function runs in one process",
    "cwd": "is where a command works; functions of several tasks share a process and its directory",
}
_LEAST = {"cpus": 1, "gpus": 0, "ranks": 1, "retries": 0, "place_retries": 0, "min_members": 1, "batch": 1}
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "B": 1}


def make_stage(kind: str, func: Callable[..., Any], options: Mapping[str, Any]) -> Stage:
    """Check a decorator's options and build the stage.

    Raises:
        ConfigurationError: if an option is unknown, its value cannot be, or this kind of stage does not take it.
    """
    if not callable(func):
        raise ConfigurationError(f"{kind}_task decorates a function, got {func!r}")
    if kind not in KINDS:
        raise ConfigurationError(f"there is no kind of stage {kind!r}; {near_miss(kind, KINDS)}")
    for name in options:
        if name not in OPTIONS:
            raise ConfigurationError(f"{kind}_task has no option {name!r}; {near_miss(name, OPTIONS)}")
    where = f"{kind}_task"
    as_executable = _check_truth("as_executable", options.get("as_executable", True), where)
    stage = with_options(Stage(kind, func, as_executable), options, where)
    changes = {name: options[name] for name in ("batch", "collect", "launcher", "cwd") if options.get(name) is not None}
    if "launcher" in changes:
        check_launcher(changes["launcher"], where)
    if "cwd" in changes:
        check_cwd(changes["cwd"], stage.row, where)
    if options.get("classes") is not None:
        changes["classes"] = _check_classes(options["classes"], where)
    if options.get("normalise") is not None:
        changes["normalise"] = _check_truth("normalise", options["normalise"], where)
    if options.get("depends_on") is not None:
        changes["depends_on"] = _check_depends_on(options["depends_on"], where)
    if options.get("waits") is not None and _check_truth("waits", options["waits"], where):
        stage = replace(stage, waits=True)
        _check_waits(stage, options, where)
    if options.get("backend") is not None:
        changes["backend"] = _check_backend(options["backend"], where)
    stage = described(
        described(replace(stage, **changes), _default_description(func)), options.get("task_description") or {}
    )
    per_model = _per_model(stage, options.get("per_model") or {}, where)
    return replace(stage, log_params=dict(options.get("log_params") or {}), per_model=per_model)


def options_of(kind: Kind) -> dict[str, str]:
    """Return the options that a kind of stage takes, and what each means."""
    others = {name for name in _OF_SOME if name not in kind.options}
    others |= set() if kind.droppable else {"on_failure"}
    return {name: text for name, text in MEANINGS.items() if name not in others}


def described(stage: Stage, description: Any) -> Stage:
    """Return a stage of which a back end is told this, too.

    Raises:
        ConfigurationError: if it is no dict.
    """
    if not isinstance(description, Mapping):
        raise ConfigurationError(
            f"task_description={description!r} of {stage.name} must be a dict of what a back end takes"
        )
    return replace(stage, task_description={**stage.task_description, **description}) if description else stage


def take_description(stage: Stage, kwargs: Mapping[str, Any]) -> tuple[Stage, dict[str, Any]]:
    """Return a task's stage and arguments, with the `task_description` among them moved to the stage, as in ROSE.

    Raises:
        ConfigurationError: if it is no dict.
    """
    left = {name: value for name, value in kwargs.items() if name != "task_description"}
    return described(stage, kwargs.get("task_description") or {}), left


def _default_description(func: Any) -> Any:
    """Return what a function's parameter `task_description` is by default, as RADICAL AsyncFlow reads it."""
    try:
        parameter = inspect.signature(func).parameters.get("task_description")
    except (TypeError, ValueError):
        return {}
    return {} if parameter is None or parameter.default in (None, parameter.empty) else parameter.default


def _check_backend(name: Any, where: str) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"backend={name!r} of {where} must be the name of one of the engine's back ends")
    return name


def with_options(stage: Stage, options: Mapping[str, Any], where: str) -> Stage:
    """Return a stage with some options changed; what is None stays. `where` tells messages who asked.

    Raises:
        ConfigurationError: if a value cannot be, or this kind of stage does not take the option.
    """
    changes = {name: check_option(name, value, where) for name, value in options.items() if value is not None}
    _check_fit(stage, changes, where)
    if not changes.keys() & {*TASK_OPTIONS, *QUORUMS}:
        return stage
    if changes.keys() & set(QUORUMS):
        changes.setdefault("on_failure", "drop")
    ranks = changes.get("ranks", stage.ranks)
    resources = Resources(
        cpus=changes.get("cpus", stage.resources.cpus // (stage.ranks or 1)) * (ranks or 1),
        gpus=changes.get("gpus", stage.resources.gpus),
        memory=changes.get("memory", stage.resources.memory),
    )
    policy = ("timeout", "retries", "place_retries", "retry_delay", "on_failure", *QUORUMS)
    return replace(
        stage, resources=resources, ranks=ranks, **{name: changes[name] for name in policy if name in changes}
    )


def check_option(name: str, value: Any, where: str) -> Any:
    """Return the value of one option, `memory` in bytes; those of other names are passed through.

    Raises:
        ConfigurationError: if it cannot be.
    """
    if name in _LEAST:
        least = _LEAST[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigurationError(f"{name}={value!r} of {where} must be a whole number of {least} or more")
    elif name in ("timeout", "retry_delay"):
        least_text = "positive" if name == "timeout" else "0 or more"
        if not _is_number(value) or value < 0 or (name == "timeout" and value == 0):
            raise ConfigurationError(f"{name}={value!r} of {where} must be {least_text} seconds")
    elif name == "memory":
        return parse_memory(value)
    elif name == "on_failure" and value not in get_args(OnFailure):
        raise ConfigurationError(f"on_failure={value!r} of {where}; {near_miss(str(value), get_args(OnFailure))}")
    elif name == "max_failed_simulations":
        count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not count and not (isinstance(value, float) and 0 < value < 1):
            raise ConfigurationError(
                f"max_failed_simulations={value!r} of {where} must be a count (0, 1, 2, ...) or a share between 0 and 1"
            )
    return value


def _check_fit(stage: Stage, changes: Mapping[str, Any], where: str) -> None:
    """Check that this kind of stage takes these options, and that they do not contradict each other."""
    for name in _OF_SOME:
        if not _is_nothing(changes.get(name)) and name not in stage.row.options:
            takers = " and ".join(kind.name for kind in KINDS.values() if name in kind.options)
            raise ConfigurationError(f"{name}= of {where}: only {takers} tasks take it")
    for name, why in _COMMANDS.items():
        if name in changes and not stage.as_executable:
            raise ConfigurationError(f"{name}= of {where} {why}")
    if changes.get("on_failure") == "drop" and not stage.row.droppable:
        only = " and ".join(kind.name for kind in KINDS.values() if kind.droppable)
        raise ConfigurationError(f"on_failure='drop' of {where}: only {only} tasks can be done without")
    if stage.waits:
        _check_waits(stage, changes, where)
    quorum = next((name for name in QUORUMS if name in changes), None)
    if quorum is not None and changes.get("on_failure") == "raise":
        raise ConfigurationError(f"{quorum}= of {where} says how many may fail, but on_failure='raise' allows none")


def _check_waits(stage: Stage, changes: Mapping[str, Any], where: str) -> None:
    """Check that the function can wait in the driver's event loop, and asks for nothing of the engine."""
    if stage.as_executable:
        raise ConfigurationError(
            f"waits=True of {where}: a command runs on the engine; what waits is an async function, registered with "
            "as_executable=False"
        )
    if not _is_async(stage.func):
        raise ConfigurationError(
            f"waits=True of {where}: {stage.name} is no async function, and would hold up the driver's event loop; "
            "make it `async def`, or leave out waits= and it runs on the engine"
        )
    held = next((name for name in ("cpus", "gpus", "memory") if changes.get(name) is not None), None)
    if held is not None:
        raise ConfigurationError(
            f"{held}={changes[held]!r} of {where}: what waits in the driver takes none (waits=True)"
        )


def _is_async(func: Any) -> bool:
    while isinstance(func, functools.partial):
        func = func.func
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004


def _check_truth(name: str, value: Any, where: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigurationError(f"{name}={value!r} of {where} must be True or False")
    return bool(value)


def _check_depends_on(names: Any, where: str) -> tuple[str, ...]:
    """Return names of files, directories and programs; whether they are there is looked at when the run begins."""
    listed = [names] if isinstance(names, (str, os.PathLike)) else names
    if isinstance(listed, (bytes, Mapping)) or not isinstance(listed, Iterable):
        raise ConfigurationError(
            f'depends_on={names!r} of {where} must be a list of names of files, such as ["mesh.inp"]'
        )
    found = []
    for name in listed:
        path = os.fspath(name) if isinstance(name, (str, os.PathLike)) else None
        if not isinstance(path, str) or not path.strip():
            raise ConfigurationError(
                f"depends_on={names!r} of {where} holds {name!r}, which is no name of a file, directory or program"
            )
        found.append(path)
    return tuple(found)


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, Mapping) and not value)


def _check_classes(classes: Any, where: str) -> tuple[Any, ...]:
    names = () if isinstance(classes, (str, bytes, Mapping)) or np.ndim(classes) != 1 else np.asarray(classes, object)
    labels = tuple(label.item() if isinstance(label, np.generic) else label for label in names)
    if not labels or len(set(labels)) < len(labels):
        raise ConfigurationError(
            f"classes={classes!r} of {where} must be the labels of the columns of a prediction, in order, each once"
        )
    return labels


def _per_model(stage: Stage, per_model: Any, where: str) -> dict[str, dict[str, Any]]:
    checked = check_per_model(per_model, where)
    for model, options in checked.items():
        with_options(stage, options, f"{where}, per_model[{model!r}]")
    return checked


def check_per_model(per_model: Any, where: str) -> dict[str, dict[str, Any]]:
    """Return `{model name: {option: value}}`, copied.

    Raises:
        ConfigurationError: if it is something else, or holds an option that cannot differ by model.
    """
    if not isinstance(per_model, Mapping) or not all(isinstance(one, Mapping) for one in per_model.values()):
        raise ConfigurationError(f"per_model={per_model!r} of {where} must be {{model name: {{option: value}}}}")
    for model, options in per_model.items():
        for name, value in options.items():
            if name not in TASK_OPTIONS:
                raise ConfigurationError(
                    f"per_model[{model!r}] of {where} has no option {name!r}; {near_miss(name, TASK_OPTIONS)}"
                )
            check_option(name, value, f"per_model[{model!r}]")
    return {model: dict(options) for model, options in per_model.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def parse_memory(memory: int | str | None) -> int | None:
    """Return the bytes that a number or a text with a unit says.

    >>> parse_memory("8GB")
    8000000000

    Raises:
        ConfigurationError: if it is neither.
    """
    if memory is None or (isinstance(memory, int) and not isinstance(memory, bool) and memory > 0):
        return memory
    if isinstance(memory, str):
        text = memory.strip().upper()
        for unit in sorted(_UNITS, key=len, reverse=True):
            if text.endswith(unit):
                try:
                    size = float(text[: -len(unit)]) * _UNITS[unit]
                except ValueError:
                    break
                if size >= 1 and math.isfinite(size):
                    return int(size)
                break
    raise ConfigurationError(f"memory={memory!r} must be bytes, or a text such as '8GB' or '512MiB'")
