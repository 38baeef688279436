"""ROSE's own surface: `UQScorer`, `register_uq` and `UQ_REGISTRY`, over the same declarations as everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt

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
from rose.scoring import registry
from rose.scoring.inputs import Predictions, predictions
from rose.scoring.ranking import Indices
from rose.scoring.registry import Array, Direction, Metric, Task, add, documented, get_metric
from rose.scoring.scores import score, top_k

UQFunction = Callable[..., Any]


class UQScorer:
    """Scores stacked predictions of one task type, as ROSE's class of the same name.

    Args:
        task_type: "classification" (`mc_preds` is `[S, N, C]`) or "regression" (`[S, N]`).

    Raises:
        ConfigurationError: for any other task type.

    Wherever `mc_preds` is taken, extra axes of length 1 are dropped if there are too many dimensions, and lists are
    accepted. See `rose.scoring.score` for shapes, dtypes and errors.

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
        """Entropy of the mean prediction, `[N]`, in nats."""
        return self._score(mc_preds, PREDICTIVE_ENTROPY)

    def mutual_information(self, mc_preds: object) -> Array:
        """Mutual information of prediction and member (BALD), `[N]`, in nats; never negative."""
        return self._score(mc_preds, MUTUAL_INFORMATION)

    def variation_ratio(self, mc_preds: object) -> Array:
        """Share of members that do not vote for the most popular class, `[N]`."""
        return self._score(mc_preds, VARIATION_RATIO)

    def margin(self, mc_preds: object) -> Array:
        """Lead of the most likely class in the mean prediction, `[N]`; small is uncertain."""
        return self._score(mc_preds, MARGIN)

    def predictive_variance(self, mc_preds: object) -> Array:
        """Population variance of the members' predictions, `[N]`."""
        return self._score(mc_preds, PREDICTIVE_VARIANCE)

    def predictive_interval_width(self, mc_preds: object, quantile: float = 0.95) -> Array:
        """Width of the central interval that holds the share `quantile` of the predictions, `[N]`."""
        return self._score(mc_preds, PREDICTIVE_INTERVAL_WIDTH, level=quantile)

    def negative_log_likelihood(self, mc_preds: object, y_true: npt.ArrayLike) -> Array:
        """Negative log-likelihood of the truth, `[N]`, in nats."""
        return self._score(mc_preds, NEGATIVE_LOG_LIKELIHOOD, y_true=self._targets(y_true))

    # --- all, and the most uncertain -----------------------------------------------------------------------------

    def compute_uncertainty(self, mc_preds: object, y_true: npt.ArrayLike | None = None) -> dict[str, Array]:
        """All registered metrics that fit this task type and what is given, from one read of the predictions.

        Metrics of the other task type, those that need `y_true` or variances that are not given, and those that need
        more members than there are, are left out.
        """
        found = self._predictions(mc_preds)
        targets = self._targets(y_true)
        given = {"probabilities", "values"} | ({"targets"} if targets is not None else set())
        names = [
            m.name
            for m in registry.metrics(self.task_type)
            if m.needs <= given and found.shape[0] >= self._smallest_s(m)
        ]
        return score(found, names, y_true=targets) if names else {}

    def select_top_uncertain(
        self, mc_preds: object, k: int = 10, metric: str | Metric | None = None, y_true: npt.ArrayLike | None = None
    ) -> tuple[Indices, Array]:
        """The `k` most uncertain candidates by a metric's declared direction.

        Args:
            mc_preds: stacked predictions.
            k: how many; 0 gives empty arrays.
            metric: by default predictive entropy (classification) or variance (regression).
            y_true: needed by metrics such as negative_log_likelihood only.

        Returns:
            indices and scores, both `[k]`, most uncertain first; equal scores: lower index first.

        Raises:
            ConfigurationError: if `k` is negative or larger than N, or the metric is of the other task type.
            UnknownMetricError: for a name nobody registered.

        >>> import numpy as np
        >>> p = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.9, 0.1], [0.5, 0.5]]])
        >>> UQScorer("classification").select_top_uncertain(p, k=1, metric="margin")[0]
        array([1])
        """
        if metric is None:
            metric = PREDICTIVE_ENTROPY if self.task_type == "classification" else PREDICTIVE_VARIANCE
        chosen = self._metric(metric)
        return top_k(self._predictions(mc_preds), k, chosen, y_true=self._targets(y_true))

    # --- what ROSE accepts ---------------------------------------------------------------------------------------

    def _score(self, mc_preds: object, name: str, **options: Any) -> Array:
        return score(self._predictions(mc_preds), self._metric(name), **options)

    def _metric(self, name: str | Metric) -> Metric:
        metric = get_metric(name)
        if not metric.serves(self.task_type):
            fitting = ", ".join(m.name for m in registry.metrics(self.task_type))
            raise ConfigurationError(
                f"{metric.name} is a {metric.task} metric; for {self.task_type} there are: {fitting}"
            )
        return metric

    def _smallest_s(self, metric: Metric) -> int:
        likelihood = metric.name == NEGATIVE_LOG_LIKELIHOOD and self.task_type == "regression"
        return 2 if likelihood else metric.min_samples

    def _predictions(self, mc_preds: object) -> Predictions:
        wanted = 3 if self.task_type == "classification" else 2
        if not isinstance(mc_preds, (list, tuple, Predictions)):
            array = np.asarray(mc_preds)
            mc_preds = array if array.ndim == wanted else np.squeeze(array)
        elif isinstance(mc_preds, (list, tuple)) and not (mc_preds and isinstance(mc_preds[0], str)):
            mc_preds = _squeezed_list(mc_preds, wanted)
        found = predictions(mc_preds)
        if len(found.shape) != wanted:
            shape = "[S, N, C]" if wanted == 3 else "[S, N]"
            raise PredictionError(f"for {self.task_type}, mc_preds must be {shape}, not of shape {found.shape}")
        return found

    def _targets(self, y_true: npt.ArrayLike | None) -> npt.NDArray[Any] | None:
        if y_true is None:
            return None
        targets = np.asarray(y_true)
        return targets if targets.ndim == 1 else np.atleast_1d(np.squeeze(targets))


def _squeezed_list(mc_preds: list[Any] | tuple[Any, ...], wanted: int) -> object:
    """A list of members as it is, if each has the right number of axes; otherwise stacked and squeezed."""
    arrays = [m if hasattr(m, "ndim") else None for m in mc_preds]
    if arrays and all(a is not None and a.ndim == wanted - 1 for a in arrays):
        return mc_preds
    try:
        stacked = np.asarray(mc_preds)
    except ValueError:
        return mc_preds  # ragged: `predictions` says which member
    return stacked if stacked.ndim == wanted or stacked.dtype.kind not in "fiu" else np.squeeze(stacked)


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

    def decorate(function: UQFunction) -> UQFunction:
        add(
            Metric(
                name, task, direction, range, frozenset(needs), min_samples, (),
                *documented(function), kind="whole", definition=function,
            )
        )  # fmt: skip
        return function

    return decorate


class _Registry(MutableMapping[str, UQFunction]):
    """The registered metrics as ROSE's dictionary: name -> function `(self, mc_preds[, y_true])`."""

    def __getitem__(self, name: str) -> UQFunction:
        metric = get_metric(name)
        return metric.definition if metric.kind == "whole" else _as_function(metric)

    def __setitem__(self, name: str, function: UQFunction) -> None:
        register_uq(name)(function)

    def __delitem__(self, name: str) -> None:
        get_metric(name)
        registry.remove(name)

    def __iter__(self) -> Iterator[str]:
        return iter([m.name for m in registry.metrics()])

    def __len__(self) -> int:
        return len(registry.metrics())

    def __repr__(self) -> str:
        return f"UQ_REGISTRY({', '.join(self)})"


def _as_function(metric: Metric) -> UQFunction:
    def function(self: UQScorer, mc_preds: object, y_true: npt.ArrayLike | None = None) -> Array:
        return self._score(mc_preds, metric.name, y_true=self._targets(y_true))

    function.__name__ = metric.name
    function.__doc__ = metric.summary
    return function


UQ_REGISTRY: MutableMapping[str, UQFunction] = _Registry()
