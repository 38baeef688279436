"""A round of ROSE's dataflow: results travel positionally from stage to stage, files are the user's.

simulation -> training of each model -> its predictions -> uncertainty -> active_learn -> criterion of each model
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rose.dataflow.calls import injected_names
from rose.engine import TaskKey
from rose.loop.groups import all_of
from rose.loop.state import StopReason, WorkflowResult
from rose.loop.workflow import Ending, Outcome
from rose.metrics import compare
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.parsing import number, plain
from rose.stages.quorum import Quorum
from rose.stages.reporting import register
from rose.stages.runner import Runner, result_keys
from rose.stages.stage import Stage, StopCriterion, UncertaintyRule

_SELECTION_LIMIT = 1000  # entries: what active_learn returns may be a data set, which the history need not repeat


@dataclass(frozen=True)
class Dataflow:
    """What a workflow of ROSE's dataflow is made of."""

    name: str
    stages: Mapping[str, Stage]
    criterion: StopCriterion | None
    rule: UncertaintyRule | None
    uncertainty_operator: str
    model_names: tuple[str, ...]
    num_predictions: int
    skip_pre_loop: bool


@dataclass
class DataflowRounds:
    """Plays the rounds of one workflow; remembers only which models have met the criterion.

    `_told` are the names that each stage's function can take, of those that are injected.
    """

    flow: Dataflow
    runner: Runner
    _active: list[str] = field(init=False)
    _told: dict[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._active = list(self.flow.model_names)
        self._told = {kind: injected_names(stage) for kind, stage in self.flow.stages.items()}

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Simulate once, train and predict every model that has not met the criterion, then judge and choose."""
        if not iteration and self.flow.skip_pre_loop:
            return await self._decide(iteration, config, ending, ())
        simulated = await self._stage("simulation", iteration, config, ())
        predicted, failed = await self._ensemble(iteration, config, simulated)
        outcome = await self._decide(iteration, config, ending, (predicted,))
        return replace(outcome, failed_members=failed)

    async def _decide(
        self, iteration: int, config: LearnerConfig, ending: Ending, upstream: tuple[Any, ...]
    ) -> Outcome:
        """What follows from the predictions."""
        uncertainty = None
        if self.flow.rule is not None:
            value = await self._stage("uncertainty", iteration, config, upstream)
            uncertainty = self._uncertainty(value, iteration)
            if self._certain(uncertainty):
                return Outcome(uncertainty=uncertainty, stop=StopReason.CERTAIN_ENOUGH)
            upstream = (value,)
        chosen = await self._stage("active_learn", iteration, config, upstream, unflushed=self.flow.criterion is None)
        outcome = Outcome(uncertainty=uncertainty, selection=_selection(chosen))
        if self.flow.criterion is not None:
            outcome = await self._judge(iteration, config, chosen, outcome)
        return replace(outcome, stop=outcome.stop or ending(None))

    def memento(self) -> Mapping[str, Any]:
        """Nothing beside the outcome: results travel within a round."""
        return {}

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, memento: Mapping[str, Any]
    ) -> None:
        """Which models still learn follows from the criterion's values."""
        if outcome.criterion_values is not None:
            self._active = self._unmet(outcome.criterion_values)

    def carries(self, iteration: int) -> list[str]:
        """Return the keys of the trainings: of what else was learned, nothing is needed."""
        keys = (TaskKey(self.flow.name, iteration, "training", model) for model in self.flow.model_names)
        return [name for key in keys for name in result_keys(key)]

    def goes_on(self) -> bool:
        """Never: candidates are the user's files."""
        return False

    def result(self) -> WorkflowResult:
        """The models and labels are the user's files: the result is the history."""
        return WorkflowResult(self.flow.name)

    async def _ensemble(
        self, iteration: int, config: LearnerConfig, simulated: Any
    ) -> tuple[list[list[Any]], tuple[str, ...]]:
        """The predictions of each model that still learns, in the order of their names; and which did not train."""
        order = self.runner.longest_first(self.flow.name, self._active)
        quorum = Quorum(self.flow.stages["training"], config, iteration, self.runner)
        members = await all_of(self._member(model, iteration, config, simulated, quorum) for model in order)
        quorum.check(self.flow.name, len(order))
        predicted = dict(zip(order, members, strict=True))
        trained = [passes for model in self._active if (passes := predicted[model]) is not None]
        return trained, tuple(quorum.failed)

    async def _member(
        self, model: str, iteration: int, config: LearnerConfig, simulated: Any, quorum: Quorum
    ) -> list[Any] | None:
        """The predictions of one model; None where it did not train, and the ensemble may do without it."""
        named = {"--model_name": model}
        key = TaskKey(self.flow.name, iteration, "training", model)
        async with quorum.excused(key) as excused:
            trained = await self._stage("training", iteration, config, (simulated,), named, model)
        if excused:
            return None
        passes = (
            self._stage(
                "prediction", iteration, config, (trained,), {**named, "--iteration": i}, model, i, unflushed=True
            )
            for i in range(self.flow.num_predictions)
        )
        predictions = await all_of(passes)
        await self.runner.flushed()
        return predictions

    async def _judge(self, iteration: int, config: LearnerConfig, chosen: Any, outcome: Outcome) -> Outcome:
        criterion = self.flow.criterion
        assert criterion is not None
        checks = (
            self._stage("criterion", iteration, config, (chosen,), {"--model_name": model}, model, unflushed=True)
            for model in self._active
        )
        values = {}
        names = ("metric_value", criterion.metric_name)
        for model, value in zip(self._active, await all_of(checks), strict=True):
            values[model] = number(value, TaskKey(self.flow.name, iteration, "criterion", model), names)
        self._active = self._unmet(values)
        mean = sum(values.values()) / len(values)
        stop = None if self._active else StopReason.CRITERION_MET
        return replace(outcome, metric_value=mean, criterion_values=values, stop=stop)

    def _unmet(self, values: Mapping[str, float]) -> list[str]:
        rule = self.flow.criterion
        assert rule is not None
        return [m for m in self._active if m in values and not compare(values[m], rule.operator, rule.threshold)]

    async def _stage(
        self,
        kind: str,
        iteration: int,
        config: LearnerConfig,
        upstream: tuple[Any, ...],
        injected: Mapping[str, Any] | None = None,
        model: str | None = None,
        index: int | None = None,
        unflushed: bool = False,
    ) -> Any:
        """Run a stage's task; `unflushed`: who uses its result waits for the disk (what ends a round: the round)."""
        stage = stage_for(self.flow.stages[kind], config, iteration, model)
        key = TaskKey(self.flow.name, iteration, kind, model, index)
        configured = config.get_task_config(kind, iteration)
        args = (*(configured.args if configured else ()), *upstream)
        told = {name: value for name, value in (injected or {}).items() if name in self._told[kind]}
        kwargs = {**(configured.kwargs if configured else {}), **told}
        if stage.as_executable:
            return await self.runner.command(key, stage, args, kwargs, self.runner.own_workdir(key, stage))
        run = self.runner.unflushed if unflushed else self.runner.function
        result = await run(key, stage, stage.func, *args, **kwargs)
        if isinstance(result, dict):
            register(result)
        return result

    def _uncertainty(self, value: Any, iteration: int) -> float:
        rule = self.flow.rule
        assert rule is not None
        key = TaskKey(self.flow.name, iteration, "uncertainty")
        return number(value, key, ("uq_value", rule.metric_name))

    def _certain(self, uncertainty: float) -> bool:
        rule = self.flow.rule
        assert rule is not None
        return rule.threshold is not None and compare(uncertainty, self.flow.uncertainty_operator, rule.threshold)


def _selection(chosen: Any) -> Any:
    """What active_learn returned, in plain JSON; only a description where it is large."""
    if isinstance(chosen, str):
        return chosen.strip()[-_SELECTION_LIMIT:]
    shape = getattr(chosen, "shape", None)
    count = math.prod(shape) if isinstance(shape, tuple) else len(chosen) if hasattr(chosen, "__len__") else 1
    if count > _SELECTION_LIMIT:
        return f"{type(chosen).__name__} of {count} entries"
    return plain(chosen)
