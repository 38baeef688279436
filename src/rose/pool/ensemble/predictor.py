"""Predict with an ensemble where its run is gone: in results, and in programs that did not make it."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rose import portable
from rose.arrays import as_array
from rose.errors import ConfigurationError, PoolError, PredictionError
from rose.loop.saved.directory import versions_here
from rose.loop.saved.prediction import Asked, Prediction
from rose.pool.candidates.frames import is_frame
from rose.pool.ensemble._refitting import cross_intervals
from rose.pool.ensemble.members import Ensemble, RoundId
from rose.pool.ensemble.passes import Passed, mapped
from rose.pool.ensemble.predictions import Predicted, predict, usable
from rose.pool.ensemble.truth import intervals, member_mean, scores_against
from rose.pool.scoring_rule import Scoring, score_passes
from rose.scoring import Metric, get_metric
from rose.scoring.calibration.holdout import Scores, scores_of
from rose.stages.binding import Binding
from rose.stages.config import LearnerConfig
from rose.stages.reporting import class_names
from rose.stages.stage import Reduction

_MOST = 16 << 20  # bytes of what predicts that a round's record takes


@dataclass(frozen=True)
class Predictor:
    """Predict with the models of a round; hold all that it takes but the models.

    Attributes:
        round: which trained them.
        binding: the prediction function, and what it asks for.
        passes: stochastic passes of each model.
        classes: the label of each column, where they are declared.
        normalise: whether probabilities are divided by their sums.
        metric_name: what the uncertainty is called.
        metric: what scores: the name of a built-in metric, or one of the user's; None: a task of the run did.
        reduction: how scores of several outputs become one.
        task: "classification" or "regression", where that is known.
        arrays: whether candidates are rows of an array.
        conformal: how far off predictions of the hold-out were, in plain arrays; None: there is none.
    """

    round: RoundId
    binding: Binding
    passes: int
    classes: tuple[Any, ...] | None
    normalise: bool
    metric_name: str
    metric: str | Metric | None
    reduction: Reduction | None
    task: str | None
    arrays: bool
    conformal: Mapping[str, Any] | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls, round: RoundId, ensemble: Ensemble, scoring: Scoring, config: LearnerConfig, arrays: bool
    ) -> Predictor | None:
        """Return what predicts with the members of a round; None: a command does, or there are none."""
        stage, metric = ensemble.prediction, scoring.metric
        if stage.as_executable or not ensemble.members:
            return None
        return cls(
            round=round,
            binding=ensemble.bind_prediction(config, round.iteration),
            passes=ensemble.num_predictions,
            classes=stage.classes,
            normalise=stage.normalise,
            metric_name=scoring.rule.metric_name,
            metric=metric.name if metric is not None and metric.built_in else metric,
            reduction=scoring.rule.reduction,
            task=scoring.task,
            arrays=arrays,
            conformal=ensemble.conformal,
        )

    def __call__(self, models: Mapping[str, Any], X: Any, asked: Asked | None = None) -> Prediction:
        """Predict samples as the prediction function takes them, `[n, ...]`.

        Raises:
            PoolError: if `X` holds nothing, or is no array where candidates were rows of one.
            PredictionError: if what the models say cannot be used, or the uncertainty was a task of the run.
            ConfigurationError: if intervals are asked for, and nothing tells how far off predictions are.
        """
        predicted = self.predicted(models, X)
        metric = get_metric(self.metric) if isinstance(self.metric, str) else self.metric
        if metric is None:
            raise PredictionError(
                f"the uncertainty {self.metric_name!r} is a task of the run, which has ended; use `.models`"
            )
        mean = member_mean(predicted)
        scores = score_passes(predicted.ordered, metric, self.reduction)
        several = predicted.task == "regression" and mean.ndim == 2
        each = _of_each_output(predicted.ordered, metric, mean.shape[1]) if several else None
        ends = {} if asked is None else self._ends(models, X, asked, predicted)
        return Prediction(mean, scores, predicted.classes, each, **ends)

    def _ends(self, models: Mapping[str, Any], X: Any, asked: Asked, predicted: Predicted) -> dict[str, Any]:
        if asked.labelled is None or asked.calibration is not None:
            return intervals(asked, predicted, self._calibrated(models, asked))
        if asked.by_class:
            raise ConfigurationError("by_class=True needs a hold-out, or calibration=(X, y)")
        return cross_intervals(self.predicted, models, asked.labelled, X, predicted, asked.level)

    def _calibrated(self, models: Mapping[str, Any], asked: Asked) -> Scores:
        """Return how far off predictions of the samples that calibrate were."""
        if asked.calibration is not None:
            X, labels = asked.calibration
            y = as_array(labels, "calibration's labels")
            if not y.ndim or len(y) != len(X):
                raise ConfigurationError(f"calibration: {len(X)} samples need as many labels, not {y.shape}")
            return scores_against(y, self.predicted(models, X))
        if self.conformal is None:
            raise ConfigurationError(
                f"level={asked.level}: nothing tells how far off predictions are. Give the pool a hold-out, "
                "Pool(holdout=(X, y)), or here calibration=(X, y): samples that no model has learned from, drawn at "
                "random, as those to be predicted are; or pool=X, the candidates, to cross-validate on the labels"
            )
        return scores_of(self.conformal)

    def predicted(self, models: Mapping[str, Any], X: Any) -> Predicted:
        """Return what all models say of samples, checked and in one form.

        Raises:
            PoolError: if `X` holds nothing, or is no array where candidates were rows of one.
            PredictionError: if what the models say cannot be used.
        """
        if self.arrays and not is_frame(X):
            X = as_array(X, "X", PoolError)
        try:
            count = len(X)
        except TypeError:
            raise PoolError(f"predict: X must hold samples, [n, ...], got {reprlib.repr(X)}") from None
        if not count:
            raise PoolError("predict: X holds no samples")
        passes = {
            name: [
                one
                for index in range(self.passes)
                for one in predict(self.binding.func, model, X, self._arguments(name, index))
            ]
            for name, model in models.items()
        }
        classes = {name: class_names(one) if self.classes is None else self.classes for name, one in models.items()}
        return usable(passes, classes, count, self.task, "predict", self.normalise)

    def _arguments(self, model: str, index: int) -> dict[str, Any]:
        given = self.round.given("predict", model, index)
        return self.binding.arguments(**given, model_name=model, pass_index=index, model=True, X=True)

    def at(self, iteration: int, conformal: Mapping[str, Any] | None = None) -> Predictor:
        """Return what predicts with the models of another iteration, which were so far off on the hold-out."""
        return replace(self, round=replace(self.round, iteration=iteration), conformal=conformal)

    def alike(self, other: Predictor | None) -> bool:
        """Return whether another one predicts as this one does, but for the round."""
        if other is None or self.round.workflow != other.round.workflow:
            return False
        mine, others = self.binding.configured, other.binding.configured
        same = mine.keys() == others.keys() and all(mine[name] is others[name] for name in mine)
        return (
            same
            and replace(self, round=other.round, binding=other.binding) == other
            and (self.binding.func is other.binding.func and self.binding.names == other.binding.names)
        )


def _of_each_output(passes: list[Passed], metric: Metric, outputs: int) -> np.ndarray:
    """Return the uncertainty of each output by itself, `[n, D]`."""
    each = [[mapped(one, lambda array, d=d: array[:, d]) for one in passes] for d in range(outputs)]  # type: ignore[misc]
    return np.stack([score_passes(of_one, metric, None) for of_one in each], axis=1)


@dataclass
class PredictorLog:
    """Say in the records of rounds what predicts, each time that it is another than was said last."""

    _said: Predictor | None = None

    async def said(self, predictor: Predictor | None) -> dict[str, Any]:
        """Return what a round's record says of its predictor, in plain values: nothing where it is the last one's."""
        if predictor is None or predictor.alike(self._said):
            return {}
        self._said = predictor
        try:
            data = await asyncio.to_thread(portable.dumps, replace(predictor, conformal=None))
        except Exception as error:
            return {"unkept": f"its prediction function cannot be pickled: {type(error).__name__}: {error}"}
        if len(data) > _MOST:
            return {"unkept": f"its prediction function holds {len(data) >> 20} MB, which are not kept in each run"}
        return {"predictor": data, "versions": dict(await asyncio.to_thread(versions_here))}
