"""Measure the stop criterion of a pool's workflow on a freshly trained ensemble."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.loop.groups import all_of
from rose.metrics import compare
from rose.pool.ensemble.members import RoundId
from rose.pool.ensemble.predictions import Predicted, with_models
from rose.pool.judging.holdout import holdout_metric
from rose.stages.binding import bind_stage, run_stage
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.parsing import number
from rose.stages.runner import Runner
from rose.stages.shared import Shared
from rose.stages.stage import StopCriterion


@dataclass(frozen=True)
class Holdout:
    """Hold labelled samples outside the pool, shipped once, and their labels as they are at hand."""

    X: Shared
    y: Shared
    labels: np.ndarray


@dataclass(frozen=True)
class Criterion:
    """Measure one workflow's stop criterion: the user's function, or a metric on the hold-out."""

    rule: StopCriterion
    runner: Runner
    holdout: Holdout | None
    patient: Callable[[str, bool], bool]  # tells whether it ends the workflow that the criterion is met, or not

    async def values(
        self,
        round: RoundId,
        members: Mapping[str, Shared],
        data: Mapping[str, Shared],
        tested: Predicted | None,
        config: LearnerConfig,
    ) -> dict[str, float]:
        """Return the criterion's value: one for each model if the function asks for `model`, else one under "ensemble".

        Args:
            round: which round this is.
            members: the trained models by name.
            data: what they were trained on, as `X` and `y`; a function gets it by these names only where there is no
                hold-out, and else as `X_train` and `y_train`.
            tested: what the members say of the hold-out, if there is one.
            config: the workflow's configuration.

        Raises:
            NotANumberError: if a value is none.
        """
        stage, names, key = self.rule.stage, ("metric_value", self.rule.metric_name), round.key("criterion")
        if stage is None:
            assert self.holdout is not None
            call = (self.rule.metric_name, self.holdout.labels, tested)
            return {"ensemble": number(await self.runner.function(key, None, holdout_metric, *call), key, names)}
        binding = bind_stage(stage, config, round.iteration, tested=self.holdout is not None)
        stage = stage_for(stage, config, round.iteration)
        data = self._named(data)
        if {"model", "model_name"} & binding.names:

            async def one(model: str) -> float:
                given: dict[str, Any] = {**data, "model": members[model], "model_name": model}
                given |= round.given("criterion", model)
                if "models" in binding.names:
                    given["models"] = [await member.get() for member in members.values()]
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
        """Return whether every value meets the threshold."""
        return all(compare(value, self.rule.operator, self.rule.threshold) for value in values.values())

    def ends(self, values: Mapping[str, float]) -> bool:
        """Return whether the criterion is met, and has been for long enough."""
        return self.patient("criterion", self.met(values))

    def _named(self, data: Mapping[str, Shared]) -> dict[str, Shared]:
        """Return the samples under the names by which a function may ask for them: `X`, `y` are those to judge by."""
        named = {**data, "X_train": data["X"], "y_train": data["y"]}
        if self.holdout is not None:
            test = {"X": self.holdout.X, "y": self.holdout.y}
            named |= {**test, "X_test": test["X"], "y_test": test["y"]}
        return named
