"""Greedy D-optimal batches: the k candidates whose joint predictive covariance has the largest determinant.

The greedy choice maximises the information (nats) that noisy labels of the batch give about a Gaussian model: Krause,
Singh & Guestrin 2008, "Near-Optimal Sensor Placements in Gaussian Processes". For deep ensembles and networks:
Holzmueller et al. 2023 (MaxDet) and Kirsch et al. 2019 (it is BatchBALD for Gaussians).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.greedy import Greedy
from rose.acquisition.options import positive
from rose.acquisition.problem import Floats, Index, Problem
from rose.acquisition.registry import register_acquisition

_BLOCK = 1 << 13


@register_acquisition(
    "maxdet",
    needs=("mc_preds|features",),
    uses=("labelled", "pending"),
    aliases=("max_det", "d_optimal", "determinant"),
    reference="Krause et al. 2008; Holzmueller et al. 2023",
)
def maxdet(problem: Problem, *, noise: float | None = None) -> Index:
    """Again and again the candidate whose prediction is the least certain, given the batch so far.

    The predictions' covariance is the ensemble's, which has seen the labels; pending and chosen candidates are added to
    it. Without an ensemble, it is that of a Bayesian linear model of the features (weights of variance 1) that has seen
    what is labelled, pending and chosen: take a network's last layer, for in raw inputs it would ask for corners.
    With costs: the largest information 1/2 log(1 + variance / noise), in nats, per unit of cost.

    Args:
        problem: the question.
        noise: the variance of a label's noise, in the units of a squared feature (or prediction); 1 % of the mean
            candidate's prior variance if not given. Small noise spreads the batch, large noise repeats good questions.

    >>> from rose.acquisition import acquire
    >>> acquire(features=[[3.0, 0.0], [2.9, 0.0], [0.0, 1.0]], k=2, method="maxdet")
    array([0, 2])
    """
    ensemble = problem.predictions
    points = problem.embedding() if ensemble is None else ensemble.centred(np.arange(problem.size))
    candidates = problem.available
    greedy = Greedy.of(problem)
    if noise is None:
        noise = 0.01 * float(np.einsum("nd,nd->n", points, points, dtype=np.float64)[candidates].mean()) or 1.0
    noise = positive("noise", noise)
    seen = problem.pending if ensemble is not None else np.concatenate([problem.labelled, problem.pending])
    covariance = posterior(points[seen], noise)
    variance = _quadratic(points, candidates, covariance)
    while not greedy.done:
        pick = greedy.best(np.log1p(variance / noise))
        greedy.take(pick)
        # Sherman-Morrison: what one more noisy label does to the weights' covariance, and with it to all variances
        direction = covariance @ points[candidates[pick]].astype(np.float64)
        shrink = 1.0 / (noise + variance[pick])
        covariance -= shrink * np.outer(direction, direction)
        variance -= shrink * project(points, candidates, direction) ** 2
        np.maximum(variance, 0.0, out=variance)
    return greedy.result(problem)


def posterior(seen: NDArray[Any], noise: float) -> Floats:
    """`[D, D]` covariance of the weights of a Bayesian linear model (prior: identity) after labels at rows `[m, D]`."""
    rows = seen.astype(np.float64)
    precision = np.eye(rows.shape[1]) + rows.T @ rows / noise
    return np.asarray(np.linalg.inv(precision), dtype=np.float64)


def project(points: NDArray[Any], index: Index, direction: Floats) -> Floats:
    """`[len(index)]` inner products with one vector, in float64 and without a copy of the points."""
    out = np.empty(len(index))
    for low in range(0, len(index), _BLOCK):
        out[low : low + _BLOCK] = points[index[low : low + _BLOCK]].astype(np.float64) @ direction
    return out


def _quadratic(points: NDArray[Any], index: Index, covariance: Floats) -> Floats:
    out = np.empty(len(index))
    for low in range(0, len(index), _BLOCK):
        rows = points[index[low : low + _BLOCK]].astype(np.float64)
        out[low : low + _BLOCK] = np.einsum("nd,nd->n", rows @ covariance, rows)
    return out
