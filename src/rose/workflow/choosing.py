"""From stacked predictions to the next batch: score, decide whether that is certain enough, choose."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.acquisition import acquire, get_acquisition
from rose.errors import ConfigurationError, NotANumberError, PredictionError, TaskFailedError
from rose.metrics import compare
from rose.scoring import Metric, check_predictions, get_metric, most_uncertain, score
from rose.workflow.binding import PROVIDED
from rose.workflow.calling import bind_stage, run_stage
from rose.workflow.config import LearnerConfig
from rose.workflow.ensemble import Ensemble, Round
from rose.workflow.member_tasks import with_rows
from rose.workflow.overrides import stage_for
from rose.workflow.passes import Passed, first_rows, means, variances
from rose.workflow.pool import take
from rose.workflow.runner import Runner
from rose.workflow.seeds import derive_seed
from rose.workflow.shared import Shared
from rose.workflow.stages import Reduction, Stage, UncertaintyRule, check_query_size


@dataclass(frozen=True)
class Scoring:
    """A workflow's uncertainty rule with its metric looked up. `metric` is None where the user's function scores
    under a name of its own: then higher means more uncertain."""

    rule: UncertaintyRule
    metric: Metric | None
    acquisition: str

    @property
    def direction(self) -> str:
        """Which end of the scores is the more uncertain."""
        return self.metric.direction if self.metric else "higher"

    @property
    def operator(self) -> str:
        """How the uncertainty compares with the threshold when it is low enough."""
        return self.rule.operator or (self.metric.threshold_operator if self.metric else "<")

    def certain(self, uncertainty: float) -> bool:
        """Whether the threshold, if there is one, is met."""
        return self.rule.threshold is not None and compare(uncertainty, self.operator, self.rule.threshold)


def make_scoring(rule: UncertaintyRule, config: LearnerConfig, acquisition: str) -> Scoring:
    """The learner's rule, with what a workflow's own configuration says instead.

    Raises:
        UnknownMetricError: if no metric has that name and no function of the user's replaces it.
        UnknownAcquisitionError: if no acquisition method has that name.
        ConfigurationError: if the workflow's query_size is not 1, 2, 3, ..., or the metric needs labels.
    """
    name = getattr(config, "uq_metric_name", None) or rule.metric_name
    query_size, threshold = getattr(config, "query_size", None), getattr(config, "threshold", None)
    rule = UncertaintyRule(
        name,
        rule.query_size if query_size is None else check_query_size(query_size),
        rule.threshold if threshold is None else threshold,
        rule.operator,
        rule.stage,
        rule.reduction,
    )
    method = getattr(config, "acquisition", None) or acquisition
    get_acquisition(method)
    return Scoring(rule, _metric(rule), method)


def _metric(rule: UncertaintyRule) -> Metric | None:
    try:
        metric = get_metric(rule.metric_name)
    except KeyError:
        if rule.stage is None:
            raise
        return None
    if rule.stage is None and "targets" in metric.needs:
        raise ConfigurationError(
            f"metric {metric.name!r} needs the true labels, which candidates do not have; choose another"
        )
    return metric


def score_passes(passes: Sequence[Passed], metric: Metric, reduction: Reduction | None) -> np.ndarray:
    """`[N]` scores of stacked predictions; several outputs are reduced as said.

    Raises:
        PredictionError, ConfigurationError: if the predictions do not fit the metric.
    """
    spreads = variances(passes) if "variances" in metric.needs else None
    return np.asarray(score(means(passes), metric, reduction=reduction, variances=spreads))


@dataclass(frozen=True)
class Candidates:
    """The unlabelled candidates of a round and what the ensemble says of them.

    Attributes:
        rows: pool indices of the rows of the predictions: the candidates first, then (where the acquisition method
            looks at them) the labelled.
        count: how many of the rows are candidates.
        passes: S predictions of the rows, members in order, each with all its passes.
        X: the shared pool.
    """

    rows: Shared
    count: int
    passes: Sequence[Passed]
    X: Shared

    @property
    def indices(self) -> np.ndarray:
        """Pool indices of the candidates."""
        rows: np.ndarray = self.rows.value
        return rows[: self.count]

    @property
    def mc_preds(self) -> list[np.ndarray]:
        """Stacked predictions of the candidates alone: S arrays `[N, C]` or `[N]`."""
        return means(self.candidates)

    @property
    def candidates(self) -> list[Passed]:
        """The predictions of the candidates alone."""
        return [first_rows(one, self.count) for one in self.passes]


def check_members(
    ensemble: Ensemble, round: Round, passes: Mapping[str, Sequence[Passed]], rows: int, task: str
) -> None:
    """Check every prediction's shape, range and sum, and that variances are none below 0.

    Raises:
        PredictionError: naming the model and the iteration.
    """
    shapes = {}
    for model, predicted in passes.items():
        for index, one in enumerate(predicted):
            where = f"model {model!r}, iteration {round.iteration} of workflow {round.workflow!r}"
            where += f", pass {index}" if ensemble.num_predictions > 1 else ""
            array, spread = means([one])[0], variances([one])
            if array.ndim == 0 or len(array) != rows:
                raise PredictionError(f"{where}: predicted an array of shape {array.shape} for {rows} samples")
            try:
                check_predictions([array], task)
            except PredictionError as error:
                raise PredictionError(f"{where}: {str(error).removeprefix('member 0, ')}") from error
            if spread is not None and (spread[0].shape != array.shape or not (spread[0] >= 0).all()):
                raise PredictionError(
                    f"{where}: a tuple is (mean, variance), of one shape and with no variance below 0 or NaN; got "
                    f"shapes {array.shape} and {spread[0].shape}"
                )
            shapes[where] = (array.shape, "with variances" if spread else "without variances")
    if len(set(shapes.values())) > 1:
        raise PredictionError(f"the members' predictions differ in form: {shapes}")


class Chooser:
    """Scores and chooses for one workflow."""

    def __init__(self, runner: Runner, active_learn: Stage | None, features: np.ndarray | None) -> None:
        self._runner = runner
        self._active_learn = active_learn
        self._features = features

    def looks_at_labelled(self, scoring: Scoring) -> bool:
        """Whether the choice needs predictions of the labelled candidates too."""
        return self._active_learn is None and get_acquisition(scoring.acquisition).wants("labelled")

    async def scores(self, round: Round, scoring: Scoring, found: Candidates, config: LearnerConfig) -> np.ndarray:
        """`[N]` scores of the candidates, by the metric or the user's function.

        Raises:
            PredictionError: if the predictions do not fit the metric.
            NotANumberError: if a score is NaN.
        """
        stage = scoring.rule.stage
        if stage is None:
            assert scoring.metric is not None
            return await asyncio.to_thread(score_passes, found.candidates, scoring.metric, scoring.rule.reduction)
        given = {"mc_preds": np.stack(found.mc_preds), **self._given(round, "uncertainty", scoring, found)}
        result = np.asarray(await self._call(stage, round.key("uncertainty"), found, given, config), dtype=np.float64)
        if result.shape != (found.count,):
            raise PredictionError(
                f"task {round.key('uncertainty')}: {stage.name} must return one score a candidate, [{found.count}]; "
                f"it returned an array of shape {result.shape}"
            )
        if np.isnan(result).any():
            candidate = found.indices[np.argmax(np.isnan(result))]
            raise NotANumberError(f"task {round.key('uncertainty')}: the score of candidate {candidate} is NaN")
        return result

    def uncertainty(self, scoring: Scoring, scores: np.ndarray) -> float:
        """The mean score of the `query_size` most uncertain candidates: what the threshold is compared with."""
        k = min(scoring.rule.query_size, len(scores))
        return float(np.mean(scores[most_uncertain(scores, k, scoring.direction)]))

    async def choose(
        self,
        round: Round,
        scoring: Scoring,
        found: Candidates,
        scores: np.ndarray,
        k: int,
        config: LearnerConfig,
        more: Mapping[str, Any],
    ) -> np.ndarray:
        """Pool indices of the next batch of `k` (the user's own function may choose another number).

        `more` holds what else the user's function may ask for.
        """
        if self._active_learn is not None:
            return await self._ask(round, scoring, found, scores, k, config, more)
        padded = np.concatenate([scores, np.zeros(len(found.rows.value) - found.count)])
        features = None if self._features is None else self._features[found.rows.value]
        chosen = await asyncio.to_thread(
            acquire,
            padded,
            k,
            mc_preds=means(found.passes),
            method=scoring.acquisition,
            direction=scoring.direction,  # type: ignore[arg-type]
            range=scoring.metric.range if scoring.metric else None,
            features=features,
            labelled=np.arange(found.count, len(padded)),
            seed=derive_seed(round.seed, str(round.key("acquisition"))),
        )
        return np.asarray(found.rows.value[chosen])

    async def _ask(
        self,
        round: Round,
        scoring: Scoring,
        found: Candidates,
        scores: np.ndarray,
        k: int,
        config: LearnerConfig,
        more: Mapping[str, Any],
    ) -> np.ndarray:
        stage = self._active_learn
        assert stage is not None
        given = {
            **more,
            **self._given(round, "active_learn", scoring, found),
            "scores": scores,
            "mc_preds": np.stack(found.mc_preds),
            "query_size": k,
        }
        key = round.key("active_learn")
        places = np.asarray(await self._call(stage, key, found, given, config))
        if places.ndim != 1 or places.size == 0 or places.dtype.kind not in "iu" or len(places) > found.count:
            raise TaskFailedError(
                f"{stage.name} must return the places of the chosen candidates in `scores`, as whole numbers; "
                f"it returned {places.dtype} of shape {places.shape}",
                str(key),
            )
        if places.min() < 0 or places.max() >= found.count or len(np.unique(places)) != len(places):
            raise TaskFailedError(f"{stage.name} must return distinct places from 0 to {found.count - 1}", str(key))
        chosen: np.ndarray = found.indices[places]
        return chosen

    def _given(self, round: Round, stage: str, scoring: Scoring, found: Candidates) -> dict[str, Any]:
        return {"candidates": found.indices, "query_size": scoring.rule.query_size, **round.given(stage)}

    async def _call(
        self, stage: Stage, key: Any, found: Candidates, given: Mapping[str, Any], config: LearnerConfig
    ) -> Any:
        binding = bind_stage(stage, PROVIDED[stage.kind], config, key.iteration)
        stage = stage_for(stage, config, key.iteration)
        if stage.as_executable or "X" not in binding.names:
            samples = {"X": take(found.X.value, found.indices)} if "X" in binding.names else {}
            return await run_stage(self._runner, stage, key, binding, {**given, **samples})
        arguments = binding.arguments(**given)
        return await self._runner.function(key, stage, with_rows, binding.func, found.X, found.indices, **arguments)
