"""Choose greedy D-optimal batches: the k candidates whose joint predictive covariance has the largest determinant.

The greedy choice maximises the information (nats) that noisy labels of the batch give about a Gaussian model: Krause,
Singh & Guestrin 2008, "Near-Optimal Sensor Placements in Gaussian Processes". For deep ensembles and networks:
Holzmueller et al. 2023 (MaxDet) and Kirsch et al. 2019 (it is BatchBALD for Gaussians).
"""

from __future__ import annotations

import numpy as np

from rose.acquisition._options import positive
from rose.acquisition.methods._greedy import Greedy
from rose.acquisition.methods.gaussian import variances
from rose.acquisition.methods.geometry import Walk
from rose.acquisition.problem import Index, Problem
from rose.acquisition.registry import register_acquisition
from rose.errors import ConfigurationError

_LEAST_NOISE = 1e-12  # of the mean prior variance
_ROUNDING = 1e-9  # gains that differ by less, relatively, are equal


@register_acquisition(
    "maxdet",
    needs=("mc_preds|features",),
    uses=("labelled", "pending"),
    min_samples=2,
    ranks_only=True,
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

    Raises:
        ConfigurationError: for noise that is not positive, or less than 1e-12 of that variance.

    >>> from rose.acquisition import acquire
    >>> acquire(features=[[3.0, 0.0], [2.9, 0.0], [0.0, 1.0]], k=2, method="maxdet")
    array([0, 2])
    """
    candidates, greedy = problem.available, Greedy.of(problem)
    walk = Walk.over(candidates, problem.size)
    if problem.predictions is None:
        points, rows = problem.embedding(), walk.rows
        seen = np.concatenate([problem.labelled, problem.pending])
    else:  # the ensemble has seen what is labelled
        points = problem.predictions.centred(np.concatenate([walk.rows, problem.pending]))
        rows, seen = np.arange(len(walk.rows)), np.arange(len(walk.rows), len(points))
    prior = float(np.einsum("nd,nd->n", points, points, dtype=np.float64)[rows].mean())
    noise = 0.01 * prior or 1.0 if noise is None else positive("noise", noise)
    if noise < _LEAST_NOISE * prior:
        raise ConfigurationError(
            f"noise={noise:g} is lost in the rounding of the candidates' variance, {prior:g} in the mean; "
            f"give at least {_LEAST_NOISE * prior:.1g}"
        )
    model = variances(points, rows, seen, noise, problem.k)
    while not greedy.done:
        pick = greedy.best(walk.drawn(np.log1p(model.variance / noise)), _ROUNDING)
        greedy.take(pick)
        model.observe(int(np.searchsorted(walk.rows, candidates[pick])))
    return greedy.result(problem)
