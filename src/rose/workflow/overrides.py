"""A stage as one task sees it: the decorator's options, changed for its model and by its workflow's configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rose.engine import Resources
from rose.errors import ConfigurationError, near_miss
from rose.workflow.config import AdaptiveSchedule, LearnerConfig, TaskConfig
from rose.workflow.options import with_options
from rose.workflow.stages import Stage


def stage_for(stage: Stage, config: LearnerConfig, iteration: int, model: str | None = None) -> Stage:
    """The stage for one task. The configuration wins over the decorator, and in each, a model's own option wins.

    Raises:
        ConfigurationError: if the configuration changes what this stage does not have.
    """
    configured = config.get_task_config(stage.kind, iteration)
    if configured is None and model not in stage.per_model:
        return stage
    return _changed(stage, configured, model, f"the configuration of {stage.name} in iteration {iteration}")


def together(stages: Sequence[Stage], times: int = 1) -> Stage:
    """One task that does what several do, each so many `times`, one after the other, with all that they need at hand:
    cpus and gpus of the largest, the memory and the time of all. What one of them does not limit, the task does not."""
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
    """What a stage may become in a run, with words for messages; of a schedule, what it is in the first iteration.

    Raises:
        ConfigurationError: if a configuration cannot be applied, or is for a model that there is not.
    """
    _check_models(stage.per_model, models, stage.name)
    yield from _by_model(stage, None, models, stage.name)
    for workflow, config in configs.items():
        value = getattr(config, stage.kind, None)
        given = value if isinstance(value, dict) else {0: value[0] if isinstance(value, AdaptiveSchedule) else value}
        for iteration, configured in given.items():
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
