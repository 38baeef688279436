"""Metrics that users add: how their functions are called, and what they may return."""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.arrays import as_vector
from rose.errors import PredictionError
from rose.scoring.inputs import Rows
from rose.scoring.probabilities import below_0, without_signs
from rose.scoring.registry import Array, Metric
from rose.scoring.request import Request


def of_block(metric: Metric, rows: Rows, targets: Any, spread: Rows | None) -> Array:
    """The scores of a block of candidates, by a function of such."""
    extra: dict[str, Any] = {}
    if "targets" in metric.needs | metric.takes:
        extra["y_true"] = targets
    if "variances" in metric.needs | metric.takes:
        extra["variances"] = None if spread is None else np.stack(spread)
    return _checked(metric, metric.definition(np.stack(rows), **extra), len(rows[0]))


def fill_whole(request: Request, results: list[Array]) -> None:
    """Users' metrics that see all candidates at once."""
    from rose.scoring.scorer import UQScorer  # such functions take a scorer as their `self`

    for metric, out in zip(request.metrics, results, strict=True):
        if metric.kind == "whole":
            scorer = UQScorer("classification" if request.task == "classification" else "regression")
            extra = [request.targets] if "targets" in metric.needs else []
            everything = request.found.whole()
            if request.task == "classification" and below_0(everything):
                everything = without_signs(everything, request.found.tolerance)
            out[:] = _checked(metric, metric.definition(scorer, everything, *extra), request.n)


def _checked(metric: Metric, values: object, n: int) -> Array:
    """Return what a user's metric gave, as float64 `[n]`.

    Raises:
        PredictionError: if it is anything else.
    """
    try:
        scores = as_vector(values, "what it returned", PredictionError).astype(np.float64)
    except PredictionError as error:
        raise PredictionError(f"metric {metric.name!r} must return numbers, one per candidate: {error}") from error
    if scores.shape != (n,):
        raise PredictionError(f"metric {metric.name!r} must return shape ({n},), not {scores.shape}")
    return scores
