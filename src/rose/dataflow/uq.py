"""Run the loop of ROSE's UQ learners.

simulation -> training of each model -> its predictions -> uncertainty -> active_learn -> criterion of each model
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rose.dataflow.base import DataflowLoop, holds, selection, verdict
from rose.engine import TaskKey
from rose.errors import UnknownMetricError
from rose.loop.groups import all_of
from rose.loop.limits import Ending
from rose.loop.protocol import Outcome, RunRequest
from rose.loop.quorum import Quorum
from rose.loop.state import StopReason
from rose.scoring import get_metric
from rose.stages.config import LearnerConfig
from rose.stages.parsing import number
from rose.stages.runner import Runner
from rose.stages.stage import Registered, UncertaintyRule


class UQLoop(DataflowLoop):
    """Play the iterations of one workflow of ROSE's UQ learners.

    It remembers which models have not met the criterion.

    Args:
        name: the workflow's.
        registered: its stages, criterion and rule.
        request: what was asked for.
        runner: what runs its tasks.
    """

    def __init__(self, name: str, registered: Registered, request: RunRequest, runner: Runner) -> None:
        super().__init__(name, registered.all_stages(), runner)
        self._criterion = registered.criterion
        self._rule = registered.rule
        self._operator = threshold_operator(registered.rule)
        self._passes = request.num_predictions
        self._skips = request.skip_pre_loop
        self._hooks = request.hooks
        self._active = list(request.model_names)

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Simulate once, train and predict every model that has not met the criterion, then judge and choose."""
        if not iteration and self._skips:
            return await self._decide(iteration, config, ending, ())
        simulated = await self.call("simulation", iteration, config, ())
        predicted, failed = await self._ensemble(iteration, config, simulated)
        outcome = await self._decide(iteration, config, ending, (predicted,))
        return replace(outcome, failed_members=failed)

    async def _decide(
        self, iteration: int, config: LearnerConfig, ending: Ending, upstream: tuple[Any, ...]
    ) -> Outcome:
        """Return what follows from the predictions."""
        uncertainty = None
        if self._rule is not None:
            value = await self.call("uncertainty", iteration, config, upstream)
            certain, uncertainty = self._uncertainty(value, iteration)
            if certain:
                return Outcome(uncertainty=uncertainty, stop=StopReason.CERTAIN_ENOUGH)
            upstream = (value,)
        chosen = await self.call("active_learn", iteration, config, upstream, unflushed=self._criterion is None)
        outcome = Outcome(uncertainty=uncertainty, selection=selection(chosen))
        if self._criterion is not None:
            outcome = await self._judge(iteration, config, chosen, outcome)
        return replace(outcome, stop=outcome.stop or ending(None))

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, checkpoint: Mapping[str, Any]
    ) -> None:
        """Restore which models still learn, which follows from the criterion's values."""
        if outcome.criterion_values is not None:
            self._active = self._unmet(outcome.criterion_values)

    async def _ensemble(
        self, iteration: int, config: LearnerConfig, simulated: Any
    ) -> tuple[list[list[Any]], tuple[str, ...]]:
        """Return the predictions of the models that still learn, in the order of their names; and who failed."""
        order = self.runner.longest_first(self.name, self._active)
        quorum = Quorum(self.stages["training"], config, iteration, self.runner)
        members = await all_of(self._member(model, iteration, config, simulated, quorum) for model in order)
        quorum.check(self.name, len(order))
        predicted = dict(zip(order, members, strict=True))
        passes = [one for model in self._active if (one := predicted[model]) is not None]
        return passes, tuple(quorum.failed)

    async def _member(
        self, model: str, iteration: int, config: LearnerConfig, simulated: Any, quorum: Quorum
    ) -> list[Any] | None:
        """Return the predictions of one model; None where it did not train, and the ensemble may do without it."""
        named = {"--model_name": model}
        key = TaskKey(self.name, iteration, "training", model)
        async with quorum.excused(key) as excused:
            trained = await self.call("training", iteration, config, (simulated,), named, model)
        if excused:
            return None
        passes = (
            self.call(
                "prediction", iteration, config, (trained,), {**named, "--iteration": i}, model, i, unflushed=True
            )
            for i in range(self._passes)
        )
        predictions = await all_of(passes)
        await self.runner.flushed()
        return predictions

    async def _judge(self, iteration: int, config: LearnerConfig, chosen: Any, outcome: Outcome) -> Outcome:
        criterion = self._criterion
        assert criterion is not None
        checks = (
            self.call("criterion", iteration, config, (chosen,), {"--model_name": model}, model, unflushed=True)
            for model in self._active
        )
        values, unmet = {}, []
        for model, value in zip(self._active, await all_of(checks), strict=True):
            met, values[model] = self._verdict(value, TaskKey(self.name, iteration, "criterion", model))
            unmet += [] if met else [model]
        self._active = unmet
        mean = sum(values.values()) / len(values)
        stop = None if self._active else StopReason.CRITERION_MET
        return replace(outcome, metric_value=mean, criterion_values=values, stop=stop)

    def _verdict(self, result: Any, key: TaskKey) -> tuple[bool, float]:
        """Return whether a model meets the criterion, and the criterion's value."""
        assert self._criterion is not None
        return verdict(self._criterion, self._hooks, result, key)

    def _unmet(self, values: Mapping[str, float]) -> list[str]:
        key = TaskKey(self.name, 0, "criterion")
        return [m for m in self._active if m in values and not self._verdict(values[m], key)[0]]

    def _uncertainty(self, result: Any, iteration: int) -> tuple[bool, float]:
        """Return whether the ensemble is sure enough, and the uncertainty."""
        rule = self._rule
        assert rule is not None
        if self._hooks.uncertainty is not None:
            return self._hooks.uncertainty(result)
        value = number(result, TaskKey(self.name, iteration, "uncertainty"), ("uq_value", rule.metric_name))
        threshold = rule.threshold
        met = threshold is not None and holds(self._hooks, rule.metric_name, value, self._operator, threshold)
        return met, value


def threshold_operator(rule: UncertaintyRule | None) -> str:
    """Return how a rule's uncertainty compares with its threshold where the ensemble is sure enough.

    A metric of the user's own, which no one knows here, is compared as ROSE's "custom_uq": higher is more uncertain.
    """
    if rule is None or rule.operator:
        return rule.operator if rule else ""
    try:
        return get_metric(rule.metric_name).threshold_operator
    except UnknownMetricError:
        return "<"
