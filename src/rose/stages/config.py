"""Configure a workflow's stages, per iteration, and say what a stage is for one task: `stage_for`.

pydantic rather than msgspec because ROSE's `TaskConfig` and `LearnerConfig` are pydantic models and its users'
programs treat them so (`model_dump`, `model_copy`, validation of keyword arguments).
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from rose.engine import Resources
from rose.errors import ConfigurationError, near_miss
from rose.stages.kinds import KINDS, loop_kinds
from rose.stages.options import check_option, check_per_model, with_options
from rose.stages.stage import OnFailure, Stage, check_query_size, check_threshold

_ARGUMENTS = ("args", "kwargs", "per_model")  # what in a TaskConfig is no option for all models
# Settings that may differ by iteration, and what checks one value.
_BY_ITERATION: dict[str, Callable[[Any, str], float]] = {"query_size": check_query_size, "threshold": check_threshold}


class TaskConfig(BaseModel):
    """Configure one stage: its arguments, and how its tasks run where that differs from the decorator.

    `args` come before what earlier stages returned, `kwargs` are passed by name. The other options mean what they mean
    in the decorators, and None leaves the decorator's; `per_model` changes them for some of the models.

    >>> TaskConfig(kwargs={"--epochs": 10}, cpus=2, per_model={"cnn": {"gpus": 1, "memory": "8GB"}}).memory

    """

    model_config = ConfigDict(extra="forbid")

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    cpus: int | None = None
    gpus: int | None = None
    memory: int | str | None = None
    ranks: int | None = None
    timeout: float | None = None
    retries: int | None = None
    place_retries: int | None = None
    retry_delay: float | None = None
    on_failure: OnFailure | None = None
    min_members: int | None = None
    max_failed_simulations: int | float | None = None
    per_model: dict[str, dict[str, Any]] = {}

    @model_validator(mode="before")
    @classmethod
    def _options(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for name, value in values.items():
                if value is not None and name != "per_model":
                    check_option(name, value, "TaskConfig")
            check_per_model(values.get("per_model") or {}, "TaskConfig")
        return values

    @property
    def options(self) -> dict[str, Any]:
        """Return what it changes of the decorator's options, for all models."""
        said = {name: getattr(self, name) for name in type(self).model_fields if name not in _ARGUMENTS}
        return {name: value for name, value in said.items() if value is not None}


class AdaptiveSchedule:
    """Configure a stage by a function of the iteration, called when the iteration comes (any, not a range).

    >>> AdaptiveSchedule(lambda i: {"kwargs": {"lr": 0.1 * 0.5**i}})[2].kwargs
    {'lr': 0.025}
    """

    def __init__(self, param_schedule: Callable[[int], Mapping[str, Any]]) -> None:
        if not callable(param_schedule):
            raise ConfigurationError(f"param_schedule must be a function of the iteration, got {param_schedule!r}")
        self.param_schedule = param_schedule

    def __getitem__(self, iteration: int) -> TaskConfig:
        return task_config(self.param_schedule(iteration), f"param_schedule({iteration})")


StageConfig = TaskConfig | AdaptiveSchedule | dict[int, TaskConfig] | None


class LearnerConfig(BaseModel):
    """Configure each stage by a `TaskConfig`, by `{iteration: TaskConfig}` with -1 as the default, or by a schedule.

    Beside the stages that are named here it takes those whose kind has been registered (`learner.register_decorator`).

    Raises:
        ConfigurationError: if one of them cannot be, or there is no such stage.
    """

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)
    __pydantic_extra__: dict[str, StageConfig] = Field(init=False)

    simulation: StageConfig = None
    training: StageConfig = None
    prediction: StageConfig = None
    active_learn: StageConfig = None
    environment: StageConfig = None
    update: StageConfig = None
    criterion: StageConfig = None

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(f"{type(self).__name__}: {_told(error)}") from error

    def __setattr__(self, name: str, value: Any) -> None:
        _check_setting(type(self), name)
        super().__setattr__(name, value)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, values: Any) -> Any:
        for name in values if isinstance(values, Mapping) else ():
            _check_setting(cls, name)
        return values

    @model_validator(mode="after")
    def _iterations(self) -> LearnerConfig:
        for name in stage_fields(self):
            value = getattr(self, name)
            if isinstance(value, dict) and any(i < -1 for i in value):
                raise ValueError(f"{name}: iterations are 0, 1, 2, ... or -1 for the default; got {sorted(value)}")
        return self

    def get_task_config(self, task_name: str, iteration: int) -> TaskConfig | None:
        """Return the configuration of one stage in one iteration (0-based), or None where there is none.

        Raises:
            ConfigurationError: if there is no such stage.
        """
        kind = KINDS.get(task_name)  # not `loop_kinds`: this is asked for each task
        if kind is None or not kind.in_loop:
            raise ConfigurationError(f"no stage {task_name!r}; stages: {', '.join(loop_kinds())}")
        config = getattr(self, task_name, None)
        if isinstance(config, AdaptiveSchedule):
            return config[iteration]
        found: TaskConfig | None = config.get(iteration, config.get(-1)) if isinstance(config, dict) else config
        return found


class UQLearnerConfig(LearnerConfig):
    """Configure one workflow; what is None is taken from the learner.

    The stages are as in `LearnerConfig`, and `uncertainty`. With a pool, a workflow may also have its own metric,
    `query_size`, `threshold` and `acquisition`; `query_size` and `threshold` may differ by iteration, as stages do.

    >>> config = UQLearnerConfig(query_size={0: 20, -1: 5})
    >>> setting(config, "query_size", 0), setting(config, "query_size", 7), setting(config, "threshold", 0)
    (20, 5, None)
    """

    uncertainty: StageConfig = None
    uq_metric_name: str | None = None
    query_size: int | dict[int, int] | None = None
    threshold: float | dict[int, float] | None = None
    acquisition: str | None = None

    @field_validator(*_BY_ITERATION, mode="before")
    @classmethod
    def _settings(cls, value: Any, info: ValidationInfo) -> Any:
        check = _BY_ITERATION[str(info.field_name)]
        if value is None or not isinstance(value, Mapping):
            return None if value is None else check(value, "a workflow")
        if not value:
            raise ConfigurationError("it is empty; give a number, or {iteration: number}")
        for iteration in value:
            if not isinstance(iteration, Integral) or isinstance(iteration, bool) or iteration < -1:
                raise ConfigurationError(f"iterations are 0, 1, 2, ... or -1 for the others; got {iteration!r}")
        return {int(iteration): check(one, f"iteration {iteration}") for iteration, one in value.items()}


def check_kind_name(name: str) -> None:
    """Check that configurations can say something of a kind of stage of this name.

    Raises:
        ConfigurationError: if they have something else of that name, such as a setting.
    """
    taken = name in UQLearnerConfig.model_fields or (not name.startswith("_") and hasattr(UQLearnerConfig, name))
    if keyword.iskeyword(name) or (taken and name not in KINDS):
        raise ConfigurationError(
            f"{name!r} means something else in Python, or in a configuration; call the kind of stage otherwise"
        )


def _check_setting(model: type[LearnerConfig], name: str) -> None:
    known = {*model.model_fields, *loop_kinds()}
    if name not in known and not name.startswith("_"):
        raise ConfigurationError(f"no stage or setting is called {name!r}; {near_miss(name, known)}")


def setting(config: LearnerConfig, name: str, iteration: int) -> Any:
    """Return what a configuration says of its `query_size`, `threshold`, ... in one iteration; None: nothing."""
    value = getattr(config, name, None)
    return value.get(iteration, value.get(-1)) if isinstance(value, dict) else value


def set_iterations(config: LearnerConfig) -> list[int]:
    """Return the iterations for which a configuration has a setting of their own, and one that stands for all others.

    >>> set_iterations(UQLearnerConfig(query_size={0: 20, -1: 5}, threshold={3: 0.1}))
    [0, 3, 4]
    """
    named = {i for name in _BY_ITERATION if isinstance(found := getattr(config, name, None), dict) for i in found}
    return [*sorted(named - {-1}), max(named, default=-1) + 1]


def stage_fields(config: LearnerConfig) -> list[str]:
    """Return the names of the stages that a configuration may say something of."""
    return [name for name in (*type(config).model_fields, *(config.model_extra or ())) if name in KINDS]


def task_config(config: TaskConfig | Mapping[str, Any], where: str) -> TaskConfig:
    """Return a `TaskConfig` of what a schedule says.

    Raises:
        ConfigurationError: if it is neither a TaskConfig nor a mapping with what one takes.
    """
    if isinstance(config, TaskConfig):
        return config
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"{where} must be a TaskConfig or a dict with 'args' and 'kwargs', got {config!r}")
    unknown = set(config) - set(TaskConfig.model_fields)
    if unknown:
        raise ConfigurationError(
            f"{where} has unknown keys {sorted(unknown)}; a task takes {', '.join(TaskConfig.model_fields)}"
        )
    try:
        return TaskConfig(**config)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {_told(error)}") from error


def _told(error: ValidationError) -> str:
    """Say in a line what pydantic found."""
    found = {(e["loc"][0] if e["loc"] else "", e["msg"].removeprefix("Value error, ")): None for e in error.errors()}
    return "; ".join(f"{name}: {message}" if name else message for name, message in found)


def iteration_schedule(schedule: Mapping[int, Mapping[str, Any] | TaskConfig]) -> dict[int, TaskConfig]:
    """Return `{iteration: {"args": ..., "kwargs": ...}}` as `{iteration: TaskConfig}`; -1 is the default."""
    return {i: task_config(config, f"schedule[{i}]") for i, config in schedule.items()}


def stage_for(stage: Stage, config: LearnerConfig, iteration: int, model: str | None = None) -> Stage:
    """Return the stage for one task. The configuration wins over the decorator, and in each, a model's own option wins.

    Raises:
        ConfigurationError: if the configuration changes what this stage does not have.
    """
    configured = config.get_task_config(stage.kind, iteration)
    if configured is None and model not in stage.per_model:
        return stage
    return _changed(stage, configured, model, f"the configuration of {stage.name} in iteration {iteration}")


def together(stages: Sequence[Stage], times: int = 1) -> Stage:
    """Return the stage of one task that does what several do, each so many `times`, one after the other.

    It has all that they need at hand: cpus and gpus of the largest, the memory and the time of all. What one of them
    does not limit, the task does not.
    """
    memory, timeouts = [stage.resources.memory for stage in stages], [stage.timeout for stage in stages]
    resources = Resources(
        cpus=max(stage.resources.cpus for stage in stages),
        gpus=max(stage.resources.gpus for stage in stages),
        memory=None if None in memory else sum(one for one in memory if one is not None),
    )
    return replace(
        stages[0],
        resources=resources,
        timeout=None if None in timeouts else times * sum(one for one in timeouts if one is not None),
        retries=max(stage.retries for stage in stages),
        place_retries=max(stage.retries_of_place for stage in stages),
        retry_delay=max(stage.retry_delay for stage in stages),
    )


def stages_of(stage: Stage, configs: Mapping[str, LearnerConfig], models: Sequence[str]) -> Iterator[tuple[str, Stage]]:
    """Give what a stage may become in a run, with words for messages; of a schedule, what it is in the first iteration.

    Raises:
        ConfigurationError: if a configuration cannot be applied, or is for a model that there is not.
    """
    _check_models(stage.per_model, models, stage.name)
    yield from _by_model(stage, None, models, stage.name)
    for workflow, config in configs.items():
        value = getattr(config, stage.kind, None)
        one = {0: value[0] if isinstance(value, AdaptiveSchedule) else value}
        for iteration, configured in (value if isinstance(value, dict) else one).items():
            if configured is not None:
                where = f"workflow {workflow!r}, {stage.name}" + (f", iteration {iteration}" if iteration > 0 else "")
                _check_models(configured.per_model, models, where)
                yield from _by_model(stage, configured, models, where)


def _by_model(
    stage: Stage, config: TaskConfig | None, models: Sequence[str], where: str
) -> Iterator[tuple[str, Stage]]:
    yield where, _changed(stage, config, None, where)
    for model in sorted(stage.per_model.keys() | (config.per_model.keys() if config else set())):
        yield f"{where}, model {model!r}", _changed(stage, config, model, where)


def _changed(stage: Stage, config: TaskConfig | None, model: str | None, where: str) -> Stage:
    if model is not None and model in stage.per_model:
        stage = with_options(stage, stage.per_model[model], where)
    if config is not None:
        if config.per_model:
            with_options(stage, {"per_model": config.per_model}, where)
        stage = with_options(stage, config.options, where)
        if model is not None and model in config.per_model:
            stage = with_options(stage, config.per_model[model], f"{where}, per_model[{model!r}]")
    return stage


def _check_models(per_model: Mapping[str, object], models: Sequence[str], where: str) -> None:
    for model in per_model:
        if model not in models:
            raise ConfigurationError(
                f"{where}: per_model is for an unknown model {model!r}; {near_miss(model, models)}"
            )
