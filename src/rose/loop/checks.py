"""Find, before the first simulation, all that can be known to be wrong."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rose.engine import Capacity, Engine
from rose.errors import CapacityError, ConfigurationError, near_miss
from rose.loop.identity import check_configured
from rose.stages.config import LearnerConfig, UQLearnerConfig, stages_of
from rose.stages.kinds import KINDS
from rose.stages.stage import Stage

_log = logging.getLogger("rose")


def check_names(names: Sequence[str], argument: str) -> tuple[str, ...]:
    """Check names of workflows or models: at least one, non-empty texts, distinct, and so that the keys of tasks are.

    Raises:
        ConfigurationError: if they are not.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ConfigurationError(f"{argument}={names!r} must be a list of names")
    if not names:
        raise ConfigurationError(f"{argument} is empty; name at least one")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"{argument} holds {name!r}; a name is a non-empty text")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ConfigurationError(f"{argument} holds {', '.join(map(repr, twice))} more than once; names are distinct")
    for name in names:
        for other in names:  # in a task's key, a number follows the name
            if other.startswith(f"{name}/") and other[len(name) + 1 :].partition("/")[0].isdecimal():
                raise ConfigurationError(
                    f"{argument} holds {name!r} and {other!r}, which the keys of tasks cannot tell apart; rename one"
                )
    return tuple(names)


def check_configs(
    configs: Mapping[str, LearnerConfig | None] | None, names: Sequence[str], argument: str = "learner_configs"
) -> dict[str, LearnerConfig]:
    """Return a private copy of each workflow's configuration; an empty one where there is none.

    Raises:
        ConfigurationError: if one is for an unknown workflow or is no configuration.
    """
    given = dict(configs or {})
    for name in given:
        if name not in names:
            raise ConfigurationError(f"{argument} is for an unknown learner {name!r}; {near_miss(name, names)}")
    return {name: check_config(given.get(name), f"{argument}[{name!r}]") for name in names}


def check_config(config: LearnerConfig | None, argument: str) -> LearnerConfig:
    """Return a private copy of a configuration.

    Raises:
        ConfigurationError: if it is none, or cannot be copied.
        NoIdentityError: if its simulation holds what cannot be copied, and has no canonical form.
    """
    if config is None:
        return UQLearnerConfig()
    if not isinstance(config, LearnerConfig):
        raise ConfigurationError(f"{argument} must be a UQLearnerConfig, got {type(config).__name__}")
    try:
        return copy.deepcopy(config)
    except Exception as error:
        check_configured(config, f"{argument}: ", strict=True)  # which tells where it is
        raise ConfigurationError(f"{argument} holds something that cannot be copied: {error}") from error


def check_count(value: Any, argument: str, least: int) -> int:
    """Return a whole number, checked to be at least `least`.

    Raises:
        ConfigurationError: if it is none.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise ConfigurationError(f"{argument}={value!r} must be a whole number of {least} or more")
    return int(value)


def check_stages(stages: Mapping[str, Stage], needed: Iterable[str]) -> None:
    """Check that every needed stage is registered.

    Raises:
        ConfigurationError: naming those that are not.
    """
    missing = [kind for kind in needed if kind not in stages]
    if missing:
        names = " and ".join(missing)
        hint = "".join(f", or {instead}" for kind in missing if (instead := KINDS[kind].instead))
        raise ConfigurationError(
            f"no {names} stage is registered: decorate a function with @learner.{missing[0]}_task(){hint}"
        )


def check_options(
    stages: Iterable[Stage], configs: Mapping[str, LearnerConfig], models: Sequence[str]
) -> dict[str, Stage]:
    """Return, by name, the stages that `per_model` options and the workflows' configurations make of these.

    Raises:
        ConfigurationError: if a configuration cannot be applied, names an unknown model, or wants more members than
            there are models.
    """
    variants = {name: variant for stage in stages for name, variant in stages_of(stage, configs, models)}
    for name, stage in variants.items():
        if stage.min_members is not None and stage.min_members > len(models):
            raise ConfigurationError(f"{name} has min_members={stage.min_members}, but there are {len(models)} models")
    return variants


def check_workdirs(stages: Iterable[Stage]) -> None:
    """Check that no two commands of a pool's workflows write into one directory: what they leave is their result.

    Raises:
        ConfigurationError: naming what a stage's `cwd` lacks.
    """
    for stage in stages:
        row = stage.row
        needed = ["workflow", "iteration"]
        needed += ["model"] if row.has_model and not row.one_for_all else []
        needed += ["index"] if row.has_index else []
        missing = [f"{{{name}}}" for name in needed if f"{{{name}}}" not in (stage.cwd or f"{{{name}}}")]
        if missing:
            raise ConfigurationError(
                f"cwd={stage.cwd!r} of {stage.name} lacks {' and '.join(missing)}: with a pool, each task works in a "
                "directory of its own"
            )


def check_waits(stages: Mapping[str, Stage]) -> None:
    """Check that a pool's predictions run on the engine: its tasks take blocks of candidates, and several models.

    Raises:
        ConfigurationError: if they are to wait in the driver.
    """
    for stage in stages.values():
        if stage.waits and not stage.row.waits:
            raise ConfigurationError(
                f"waits=True of {stage.name}: with a pool, {stage.kind}s are made on the engine, in blocks of "
                "candidates; leave out waits="
            )


def check_backends(variants: Mapping[str, Stage], engine: Engine) -> None:
    """Check that the engine has the back ends that stages name; what others are told is said to be for nobody.

    Raises:
        ConfigurationError: naming the first stage whose back end it has not.
    """
    known: Collection[str] | None = getattr(engine, "backends", None)
    for name, stage in variants.items():
        if known is None and stage.backend is not None:
            raise ConfigurationError(
                f"{name} asks for backend={stage.backend!r}; a {type(engine).__name__} has none to choose from, a "
                "WorkflowEngine has"
            )
        if known is not None and stage.backend is not None and stage.backend not in known:
            raise ConfigurationError(f"{name} asks for backend={stage.backend!r}; {near_miss(stage.backend, known)}")
        lost = sorted(set(stage.task_description) - {"shell"}) if known is None else []  # commands may use a shell
        if lost:
            _log.warning("%s: task_description says %s, which a %s does not look at", name, lost, type(engine).__name__)


def check_capacity(variants: Mapping[str, Stage], capacity: Capacity) -> None:
    """Check that the engine can ever run each stage, whatever it becomes.

    An engine that has no cpus yet will have who knows how many: then nothing is checked.

    Raises:
        CapacityError: naming the first stage that it can not.
    """
    for name, stage in variants.items() if capacity.cpus else ():
        wanted = stage.resources
        for what, asked, there in (
            ("cpus", wanted.cpus, capacity.cpus),
            ("gpus", wanted.gpus, capacity.gpus),
            ("memory", wanted.memory or 0, capacity.memory),
        ):
            if there is not None and asked > there:
                raise CapacityError(f"{name} asks for {what}={asked}; the engine has {there} in all")
