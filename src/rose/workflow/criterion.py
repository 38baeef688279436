"""The stop criterion of a pool's workflow, measured on a freshly trained ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.errors import PredictionError
from rose.metrics import compare
from rose.workflow.binding import PROVIDED
from rose.workflow.calling import bind_stage, run_stage
from rose.workflow.config import LearnerConfig
from rose.workflow.ensemble import Round
from rose.workflow.groups import all_of
from rose.workflow.holdout import holdout_metric
from rose.workflow.member_tasks import with_models
from rose.workflow.overrides import stage_for
from rose.workflow.passes import Passed, means
from rose.workflow.runner import Runner
from rose.workflow.shared import Shared
from rose.workflow.stages import StopCriterion
from rose.workflow.values import number


@dataclass(frozen=True)
class Criterion:
    """One workflow's stop criterion: the user's function, or a metric on the labels `y_test` of the hold-out."""

    rule: StopCriterion
    runner: Runner
    y_test: np.ndarray | None

    async def values(
        self,
        round: Round,
        members: Mapping[str, Shared],
        data: Mapping[str, Shared],
        tested: Sequence[Passed],
        config: LearnerConfig,
    ) -> dict[str, float]:
        """The criterion's value: one for each model if the function asks for `model`, else one under "ensemble".

        Args:
            round: which round this is.
            members: the trained models by name.
            data: the labelled set, as `X` and `y`.
            tested: the members' predictions of the hold-out, if that is what counts.
            config: the workflow's configuration.

        Raises:
            NotANumberError: if a value is none.
        """
        stage, names, key = self.rule.stage, ("metric_value", self.rule.metric_name), round.key("criterion")
        if stage is None:
            call = (self.rule.metric_name, self.y_test, await classes(members), *means(tested))
            return {"ensemble": number(await self.runner.function(key, None, holdout_metric, *call), key, names)}
        binding = bind_stage(stage, PROVIDED["criterion"], config, round.iteration)
        stage = stage_for(stage, config, round.iteration)
        if {"model", "model_name"} & binding.names:

            async def one(model: str) -> float:
                given = {**data, "model": members[model], "model_name": model, **round.given("criterion", model)}
                own = round.key("criterion", model)
                task_stage = stage_for(self.rule.stage or stage, config, round.iteration, model)
                return number(await run_stage(self.runner, task_stage, own, binding, given), own, names)

            return dict(zip(members, await all_of(one(model) for model in members), strict=True))
        given: dict[str, Any] = {**data, **round.given("criterion")}
        if "models" in binding.names and not stage.as_executable:
            wanted = binding.arguments(**given)
            result = await self.runner.function(key, stage, with_models, binding.func, *members.values(), **wanted)
        else:
            given["models"] = [await member.get() for member in members.values()]
            result = await run_stage(self.runner, stage, key, binding, given)
        return {"ensemble": number(result, key, names)}

    def met(self, values: Mapping[str, float]) -> bool:
        """Whether every value meets the threshold."""
        return all(compare(value, self.rule.operator, self.rule.threshold) for value in values.values())


async def classes(members: Mapping[str, Shared]) -> list[Any] | None:
    """The label of each column of the probabilities, where the models say it.

    Raises:
        PredictionError: if they disagree.
    """
    lists = {model: await member.classes() for model, member in members.items()}
    first = next(iter(lists.values()))
    if any(names != first for names in lists.values()):
        raise PredictionError(f"the models' classes_ differ, so their columns cannot be averaged: {lists}")
    return first
