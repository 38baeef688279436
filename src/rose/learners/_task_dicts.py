"""Describe registered tasks by dicts as ROSE's programs read, copy and change them, and make stages of such dicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rose.errors import ConfigurationError
from rose.stages.config import AdaptiveSchedule, LearnerConfig, TaskConfig, task_config
from rose.stages.options import make_stage
from rose.stages.stage import Stage

# "func", "args", "kwargs", "decor_kwargs", "log_params", "as_executable", and of rules what they compare with.
TaskDict = dict[str, Any]

_OWN = ("as_executable", "log_params")  # options with places of their own


def described(func: Callable[..., Any], options: Mapping[str, Any], **more: Any) -> TaskDict:
    """Return the dict of a function that was registered with these options."""
    return {
        "func": func,
        "args": (),
        "kwargs": {},
        "decor_kwargs": {name: value for name, value in options.items() if name not in _OWN},
        "log_params": dict(options.get("log_params") or {}),
        "as_executable": options.get("as_executable", True),
        **more,
    }


def kept(task: TaskDict) -> TaskDict:
    """Return a copy of a dict that does not change with it, without the arguments."""
    copied = {name: dict(value) if isinstance(value, dict) else value for name, value in task.items()}
    return {name: value for name, value in copied.items() if name not in ("args", "kwargs")}


def same(task: TaskDict, before: TaskDict) -> bool:
    """Tell whether a dict still says what it said, whatever its arguments."""
    try:
        return kept(task) == before
    except ValueError:  # arrays among the options
        return False


def stage_of(kind: str, task: Mapping[str, Any]) -> Stage:
    """Return the stage that a dict describes, as it is now.

    Raises:
        ConfigurationError: if it has no function, or an option that cannot be.
    """
    if not isinstance(task, Mapping) or "func" not in task:
        raise ConfigurationError(
            f"the {kind} task is described by {task!r}, which has no 'func'; it is a dict with func, args, kwargs, "
            "decor_kwargs and as_executable, such as a copy of learner.simulation_function"
        )
    options = {**(task.get("decor_kwargs") or {}), "as_executable": task.get("as_executable", True)}
    if task.get("log_params"):
        options["log_params"] = task["log_params"]
    return make_stage(kind, task["func"], options)


def arguments_of(kind: str, task: Mapping[str, Any]) -> TaskConfig | None:
    """Return the arguments that a dict gives its function; None: none."""
    args, kwargs = tuple(task.get("args") or ()), dict(task.get("kwargs") or {})
    return task_config({"args": args, "kwargs": kwargs}, f"{kind}_function") if args or kwargs else None


def with_arguments(config: LearnerConfig, arguments: Mapping[str, TaskConfig]) -> LearnerConfig:
    """Return a configuration that gives these arguments to each stage for which it says none of its own."""
    changed: dict[str, Any] = {}
    for kind, base in arguments.items():
        said = getattr(config, kind, None)
        if isinstance(said, dict):
            changed[kind] = {-1: base, **{i: _completed(one, base) for i, one in said.items()}}
        elif not isinstance(said, AdaptiveSchedule):
            changed[kind] = base if said is None else _completed(said, base)
    if not changed:
        return config
    config = config.model_copy()
    for kind, value in changed.items():
        setattr(config, kind, value)
    return config


def _completed(config: TaskConfig, base: TaskConfig) -> TaskConfig:
    if config.model_fields_set & {"args", "kwargs"}:
        return config
    return config.model_copy(update={"args": base.args, "kwargs": dict(base.kwargs)})
