"""Train the members of a pool's workflow side by side, and have each predict as soon as it can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rose.engine import TaskKey
from rose.loop.groups import all_of
from rose.loop.seeds import derive_seed
from rose.pool.ensemble.columns import Classes
from rose.pool.ensemble.passes import Passed, as_passed, by_member, joined
from rose.pool.ensemble.predictions import predict_slice, sliced
from rose.stages.binding import Binding, bind_stage, run_stage, run_stage_lazily
from rose.stages.config import LearnerConfig, stage_for, together
from rose.stages.runner import Runner
from rose.stages.shared import Shared
from rose.stages.stage import Stage

_ALIKE = "alike"  # in place of a workflow's name


@dataclass(frozen=True)
class RoundId:
    """Say which round of which workflow it is; every task of the round is told."""

    workflow: str
    iteration: int
    seed: int  # of the run, or of workflows that are to be alike
    alike: bool = False  # whether the workflow's name does not matter to its seeds
    seeded_as: str | None = None  # the workflow whose seeds it has, if those of another

    @property
    def where(self) -> str:
        """Return the round's name as messages say it."""
        return f"iteration {self.iteration} of workflow {self.workflow!r}"

    def key(self, stage: str, model: str | None = None, index: int | None = None) -> TaskKey:
        """Return the key of one of its tasks."""
        return TaskKey(self.workflow, self.iteration, stage, model, index)

    def derived(self, stage: str, model: str | None = None, index: int | None = None, part: int | None = None) -> int:
        """Return the seed of one of its tasks, or of something else in it, or of a part of that."""
        whose = _ALIKE if self.alike else self.seeded_as or self.workflow
        key = replace(self.key(stage, model, index), workflow=whose)
        return derive_seed(self.seed, str(key) if part is None else f"{key}/{part}")

    def given(self, stage: str, model: str | None = None, index: int | None = None) -> dict[str, Any]:
        """Return what every task may ask for, its own seed among it."""
        seed = self.derived(stage, model, index)
        return {"iteration": self.iteration, "workflow": self.workflow, "seed": seed}


@dataclass
class Ensemble:
    """Train and ask the members of one workflow, and keep the last of each.

    Attributes:
        conformal: how far off their predictions of the hold-out were, in plain arrays; None where nothing tells.
    """

    training: Stage
    prediction: Stage
    model_names: tuple[str, ...]
    num_predictions: int
    block: int
    runner: Runner
    members: dict[str, Shared] = field(default_factory=dict)
    conformal: Mapping[str, Any] | None = None

    def bind_training(self, config: LearnerConfig, iteration: int) -> Binding:
        """Return how training is called under this configuration."""
        return bind_stage(self.training, config, iteration)

    def bind_prediction(self, config: LearnerConfig, iteration: int) -> Binding:
        """Return how prediction is called under this configuration."""
        return bind_stage(self.prediction, config, iteration)

    async def train(self, round: RoundId, model: str, X: Shared, y: Shared, config: LearnerConfig) -> Shared:
        """Train one member on the labelled set; it replaces its predecessor when the round's members are kept."""
        binding = self.bind_training(config, round.iteration)
        stage = stage_for(self.training, config, round.iteration, model)
        previous = self.members.get(model)
        given = {"X": X, "y": y, "model_name": model, "previous_model": previous, **round.given("training", model)}
        key = round.key("training", model)
        result, note = await run_stage_lazily(self.runner, stage, key, binding, given)
        return Shared(self.runner.engine, result, note)

    async def recall(self, round: RoundId, models: Sequence[str]) -> None:
        """Make the members those that were trained in that round, which is recorded."""
        found = {model: await self.runner.member(round.key("training", model)) for model in models}
        await self.keep({model: member for model, member in found.items() if member is not None})

    async def keep(self, members: Mapping[str, Shared]) -> None:
        """Make these the members; what they replace is freed."""
        replaced = [old for name, old in self.members.items() if members.get(name) is not old]
        self.members = dict(members)
        await self.runner.release(replaced)

    async def classes(self, members: Mapping[str, Shared]) -> dict[str, Classes]:
        """Return, by model, the label of each column of its probabilities: as declared, else as the model says it."""
        declared = self.prediction.classes
        return {name: await one.classes() if declared is None else declared for name, one in members.items()}

    async def predict(
        self,
        round: RoundId,
        stage: str,
        model: str,
        member: Shared,
        X: Shared,
        rows: Shared | None,
        config: LearnerConfig,
    ) -> list[Passed]:
        """Return all stochastic passes of one member over some rows of `X` (None: all), predicted in blocks.

        `stage` names the tasks ("prediction", "shortlist", "holdout").
        """
        binding = self.bind_prediction(config, round.iteration)
        task_stage = stage_for(self.prediction, config, round.iteration, model)
        total = len(X.value if rows is None else rows.value)
        starts = range(0, total, self.block)

        async def block(index: int, start: int) -> list[Passed]:
            stop = min(start + self.block, total)
            given = self._given(round, "holdout" if stage == "holdout" else "prediction", model, index)
            key = round.key(stage, model, index * len(starts) + start // self.block)
            if self.prediction.as_executable:
                samples = sliced(X.value, None if rows is None else rows.value, start, stop)
                given |= {"model": member, "X": samples}
                result = await run_stage(self.runner, task_stage, key, binding, given)
                return by_member(as_passed(result, f"task {key}: the result"))
            call = (binding.func, member, X, rows, start, stop, self._arguments(binding, given))
            return by_member(as_passed(await self.runner.function(key, task_stage, predict_slice, *call)))

        async def one_pass(index: int) -> list[Passed]:
            return joined(await all_of(block(index, start) for start in starts))

        passes = await all_of(one_pass(index) for index in range(self.num_predictions))
        return [one for of_members in passes for one in of_members]

    def calls(
        self, round: RoundId, models: Iterable[str], config: LearnerConfig
    ) -> tuple[Callable[..., Any], dict[str, list[dict[str, Any]]]]:
        """Return the prediction function and, by model, its arguments in each stochastic pass over candidates."""
        binding = self.bind_prediction(config, round.iteration)
        passes = range(self.num_predictions)
        return binding.func, {
            model: [self._arguments(binding, self._given(round, "prediction", model, index)) for index in passes]
            for model in models
        }

    def together(self, models: Iterable[str], config: LearnerConfig, iteration: int) -> Stage:
        """Return the stage of a task in which all these models predict, one after the other, all passes."""
        stages = [stage_for(self.prediction, config, iteration, model) for model in models]
        return together(stages, self.num_predictions)

    def _given(self, round: RoundId, stage: str, model: str, index: int) -> dict[str, Any]:
        return {**round.given(stage, model, index), "model_name": model, "pass_index": index}

    def _arguments(self, binding: Binding, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that travel with each task; True stands for the large ones, filled in by the worker."""
        return binding.arguments(**given, model=True, X=True)
