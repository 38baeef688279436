"""Offer ROSE's own surface: `UQScorer`, `register_uq` and `UQ_REGISTRY`, over the declarations that all else uses."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.arrays import as_array
from rose.errors import ConfigurationError, PredictionError
from rose.metrics import (
    MARGIN,
    MUTUAL_INFORMATION,
    NEGATIVE_LOG_LIKELIHOOD,
    PREDICTIVE_ENTROPY,
    PREDICTIVE_INTERVAL_WIDTH,
    PREDICTIVE_VARIANCE,
    VARIATION_RATIO,
)
from rose.scoring._request import check_level
from rose.scoring.inputs import BOTH_COLUMNS, StackedPredictions, predictions
from rose.scoring.ranking import Indices, check_k, most_uncertain
from rose.scoring.registry import METRICS, Array, Direction, Metric, Task, documented, get_metric, metrics
from rose.scoring.scores import score, top_k

UQFunction = Callable[..., Any]


class UQScorer:
    """Score stacked predictions of one task type, as ROSE's class of this name does.

    Args:
        task_type: "classification" (`mc_preds` is `[S, N, C]`) or "regression" (`[S, N]`).

    Raises:
        ConfigurationError: for any other task type.

    Wherever `mc_preds` is taken, lists are, too; of too many axes, last ones of length 1 are dropped (values
    `[S, N, 1]` are `[S, N]`), members and candidates never. See `rose.scoring.score` for shapes, dtypes and errors. As
    in ROSE, a single member (S = 1) gives 0 where disagreement is measured; here with a warning.

    >>> import numpy as np
    >>> scorer = UQScorer("regression")
    >>> scorer.predictive_variance(np.array([[1.0, 2.0], [1.0, 4.0]]))
    array([0., 1.])
    """

    def __init__(self, task_type: str) -> None:
        if task_type not in ("classification", "regression"):
            raise ConfigurationError(f"task_type must be 'classification' or 'regression', not {task_type!r}")
        self.task_type = task_type

    # --- one metric each -----------------------------------------------------------------------------------------

    def predictive_entropy(self, mc_preds: object) -> Array:
        """Return the entropy of the mean prediction, `[N]`, in nats."""
        return self._score(mc_preds, PREDICTIVE_ENTROPY)

    def mutual_information(self, mc_preds: object) -> Array:
        """Return the mutual information of prediction and member (BALD), `[N]`, in nats; never negative."""
        return self._score(mc_preds, MUTUAL_INFORMATION)

    def variation_ratio(self, mc_preds: object) -> Array:
        """Return the share of members that do not vote for the most popular class, `[N]`."""
        return self._score(mc_preds, VARIATION_RATIO)

    def margin(self, mc_preds: object) -> Array:
        """Return the lead of the most likely class in the mean prediction, `[N]`; small is uncertain."""
        return self._score(mc_preds, MARGIN)

    def predictive_variance(self, mc_preds: object) -> Array:
        """Return the population variance of the members' predictions, `[N]`."""
        return self._score(mc_preds, PREDICTIVE_VARIANCE)

    def predictive_interval_width(self, mc_preds: object, quantile: float = 0.95) -> Array:
        """Return the width of the central interval that holds the share `quantile` of the predictions, `[N]`."""
        return self._score(mc_preds, PREDICTIVE_INTERVAL_WIDTH, level=check_level(quantile, "quantile"))

    def negative_log_likelihood(self, mc_preds: object, y_true: object) -> Array:
        """Return the negative log-likelihood of the truth, `[N]`, in nats."""
        return self._score(mc_preds, NEGATIVE_LOG_LIKELIHOOD, y_true=self._targets(y_true))

    # --- all, and the most uncertain -----------------------------------------------------------------------------

    def compute_uncertainty(self, mc_preds: object, y_true: object = None) -> dict[str, Array]:
        """Return all registered metrics that fit this task type and what is given, from one read of the predictions.

        Metrics of the other task type, those that need `y_true` or variances that are not given, and those of more
        members than there are, are left out; with S = 1, measures of disagreement are 0.
        """
        found, targets = self._predictions(mc_preds), self._targets(y_true)
        given = {"probabilities", "values"} | ({"targets"} if targets is not None else set())
        fitting = [m for m in metrics(self.task_type) if m.needs <= given]
        names = [m.name for m in fitting if found.shape[0] >= m.smallest(False, self.task_type)]
        scores = score(found, names, y_true=targets) if names else {}
        alone = [m.name for m in fitting if self._is_zero(m, found)]
        if alone:
            _warn_of_one_member(alone, stacklevel=3)
        zeros = dict.fromkeys(alone, np.zeros(found.shape[1]))
        return {m.name: {**scores, **zeros}[m.name].copy() for m in fitting if m.name in {*scores, *zeros}}

    def select_top_uncertain(
        self, mc_preds: object, k: int = 10, metric: str | Metric | None = None, y_true: object = None
    ) -> tuple[Indices, Array]:
        """Return the `k` most uncertain candidates by a metric's declared direction.

        Args:
            mc_preds: stacked predictions.
            k: how many; 0 gives empty arrays, more than N gives N with a warning.
            metric: by default predictive entropy (classification) or variance (regression).
            y_true: needed by metrics such as negative_log_likelihood only.

        Returns:
            indices and scores, both `[k]`, most uncertain first; equal scores: lower index first.

        Raises:
            ConfigurationError: if `k` is negative or no integer, or the metric is of the other task type.
            UnknownMetricError: for a name nobody registered.

        >>> import numpy as np
        >>> p = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.9, 0.1], [0.5, 0.5]]])
        >>> UQScorer("classification").select_top_uncertain(p, k=1, metric="margin")[0]
        array([1])
        """
        if metric is None:
            metric = PREDICTIVE_ENTROPY if self.task_type == "classification" else PREDICTIVE_VARIANCE
        chosen, found = self._metric(metric), self._predictions(mc_preds)
        n = found.shape[1]
        k = check_k(k, sys.maxsize)
        if k > n:
            warnings.warn(f"k={k} is more than the {n} candidates there are: all are given", stacklevel=2)
            k = n
        if not self._is_zero(chosen, found):
            return top_k(found, k, chosen, y_true=self._targets(y_true))
        scores = self._score(found, chosen)
        indices = most_uncertain(scores, k, chosen.direction)
        return indices, scores[indices]

    # --- what ROSE accepts ---------------------------------------------------------------------------------------

    def _validate_inputs(
        self, mc_preds: object, y_true: object = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
        """Return `mc_preds` as one array `[S, N, C]` or `[S, N]`, and `y_true` as one `[N]`: for metrics of one's own.

        Raises:
            PredictionError: for predictions of another shape, or that are no numbers.
        """
        return self._predictions(mc_preds).whole(), self._targets(y_true)

    def _score(self, mc_preds: object, name: str | Metric, **options: Any) -> Array:
        found, metric = self._predictions(mc_preds), self._metric(name)
        if self._is_zero(metric, found):
            _warn_of_one_member([metric.name])
            return np.zeros(found.shape[1])
        return score(found, metric, **options)

    def _is_zero(self, metric: Metric, found: StackedPredictions) -> bool:
        """Tell whether the metric measures disagreement, of which a single member has none."""
        compares = metric.built_in and "targets" not in metric.needs and "variances" not in metric.needs
        return compares and found.shape[0] == 1 < metric.smallest(False, self.task_type)

    def _metric(self, name: str | Metric) -> Metric:
        metric = get_metric(name)
        if not metric.serves(self.task_type):
            fitting = ", ".join(m.name for m in metrics(self.task_type))
            raise ConfigurationError(
                f"{metric.name} is a {metric.task} metric; for {self.task_type} there are: {fitting}"
            )
        return metric

    def _predictions(self, mc_preds: object) -> StackedPredictions:
        axes, shape = (3, "[S, N, C]") if self.task_type == "classification" else (2, "[S, N]")
        found = predictions(mc_preds, axes=axes)
        if len(found.shape) != axes:
            raise PredictionError(
                f"for {self.task_type}, mc_preds must be {shape}, not of shape {found.shape}"
                + (BOTH_COLUMNS if len(found.shape) < axes else "")
            )
        return found

    def _targets(self, y_true: object) -> npt.NDArray[Any] | None:
        if y_true is None:
            return None
        targets = as_array(y_true, "y_true")
        while targets.ndim > 1 and targets.shape[-1] == 1:
            targets = targets[..., 0]
        return targets


def _warn_of_one_member(names: list[str], stacklevel: int = 4) -> None:
    warnings.warn(
        f"{', '.join(names)}: one member (S = 1) does not disagree with itself, so all scores are 0 and rank nothing; "
        "give several members or passes",
        stacklevel=stacklevel,
    )


def register_uq(
    name: str, *, task: Task = "any", direction: Direction = "higher",
    range: tuple[float, float] = (-math.inf, math.inf), needs: tuple[str, ...] = (), min_samples: int = 1,
) -> Callable[[UQFunction], UQFunction]:  # fmt: skip
    """Register a function `(self, mc_preds) -> [N]` as a metric, as in ROSE; `self` is a `UQScorer`.

    It is handed all of `mc_preds` at once (and `y_true` third, if `needs` names "targets"). To be scored block by
    block in bounded memory, use `rose.scoring.register_metric`.

    Args:
        name: the metric's name.
        task: the task type it serves; "any" (ROSE's behaviour) means both.
        direction: "higher" (ROSE's behaviour) or "lower": which end is more uncertain.

    Raises:
        ConfigurationError: if the name belongs to a built-in metric.

    >>> @register_uq("spread", task="regression")
    ... def spread(self, mc_preds):
    ...     return mc_preds.max(axis=0) - mc_preds.min(axis=0)
    >>> UQScorer("regression").select_top_uncertain([[1.0, 2.0], [1.0, 3.0]], k=1, metric="spread")
    (array([1]), array([1.]))
    >>> del UQ_REGISTRY["spread"]
    """

    def declared(function: UQFunction) -> Metric:
        return Metric(
            name, task, direction, range, frozenset(needs), min_samples, (),
            *documented(function), kind="whole", definition=function, scorer=UQScorer,
        )  # fmt: skip

    return METRICS.register(name, declared)


class _Registry(MutableMapping[str, UQFunction]):
    """Offer the registered metrics as ROSE's dictionary: name -> function `(self, mc_preds[, y_true])`."""

    def __getitem__(self, name: str) -> UQFunction:
        metric = get_metric(name)
        return metric.definition if metric.kind == "whole" else _as_function(metric)

    def __setitem__(self, name: str, function: UQFunction) -> None:
        register_uq(name)(function)

    def __delitem__(self, name: str) -> None:
        get_metric(name)
        METRICS.remove(name)

    def __iter__(self) -> Iterator[str]:
        return iter([m.name for m in metrics()])

    def __len__(self) -> int:
        return len(metrics())

    def __repr__(self) -> str:
        return f"UQ_REGISTRY({', '.join(self)})"


def _as_function(metric: Metric) -> UQFunction:
    def function(self: UQScorer, mc_preds: object, y_true: object = None) -> Array:
        return self._score(mc_preds, metric.name, y_true=self._targets(y_true))

    function.__name__ = metric.name
    function.__doc__ = metric.summary
    return function


UQ_REGISTRY: MutableMapping[str, UQFunction] = _Registry()
