"""Choose what will reduce the variance of the predictions of the whole pool the most: active learning Cohn (ALC).

Cohn 1996, "Neural Network Exploration Using Optimal Experiment Design"; Seo, Wallat, Graepel & Obermayer 2000 for
Gaussian processes, where it is the IMSE criterion of Sacks et al. 1989. A label of candidate i, of noise variance s,
reduces the variance of candidate j by c_ij ** 2 / (c_ii + s); the choice is greedy, each label counted before the next.

Few members tell little of a covariance, so it is shrunk towards one of nearness (as Ledoit & Wolf 2004 shrink theirs):
a Gaussian process over the features that has seen what is labelled. Members that are sure and wrong cannot keep the
choice from a region that nobody has looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rose.acquisition._options import at_least, positive
from rose.acquisition.methods._greedy import Greedy
from rose.acquisition.methods.geometry import Walk, blocks
from rose.acquisition.problem import Floats, Index, Problem
from rose.acquisition.registry import register_acquisition

_LANDMARKS = 128  # candidates that the nearness of all is told by
_SAMPLE = 512  # candidates that the typical distance is told by
_COLUMNS = 256  # of predictions; more (members times classes) are projected
_ROUNDING = 1e-9


@register_acquisition(
    "alc",
    needs=("mc_preds|features",),
    uses=("scores", "features", "labelled", "pending"),
    stochastic=True,
    min_samples=2,
    prefilter=500.0,
    ranks_only=True,  # and where there is one member, `Problem.utility` refuses infinite scores
    aliases=("expected_variance_reduction", "imse", "cohn"),
    reference="Cohn 1996; Seo et al. 2000; Ledoit & Wolf 2004",
)
def alc(problem: Problem, *, noise: float = 0.01, shrinkage: float = 4.0, explore: float = 0.25) -> Index:
    """Again and again the candidate whose label reduces the variance of all candidates' predictions the most.

    The covariance is the members' own, mixed with one of nearness in the features, where there are some, of the same
    mean variance: that has the share `shrinkage / (shrinkage + S)`, and never less than `explore`. With one member
    there is nearness alone, and the scores say how uncertain each candidate is. With costs: the largest reduction per
    unit of cost.

    Args:
        problem: the question.
        noise: the variance of a label's noise, as a share of the candidates' mean variance.
        shrinkage: how many members the features are worth.
        explore: the least share of the features, from 0 to 1.

    >>> from rose.acquisition import acquire
    >>> x = [[0.0], [0.4], [0.5], [0.6], [1.0], [9.0]]
    >>> acquire(features=x, k=2, method="alc", labelled=[4])
    array([1, 5])
    """
    noise, shrinkage = positive("noise", noise), at_least("shrinkage", 0, shrinkage)
    explore = min(1.0, at_least("explore", 0, explore))
    greedy, walk = Greedy.of(problem), Walk.over(problem.available, problem.size)
    model = _Reduction(_factors(problem, walk.rows, noise, shrinkage, explore), noise)
    while not greedy.done:
        pick = greedy.best(walk.drawn(model.gain), _ROUNDING)
        greedy.take(pick)
        model.observe(int(np.searchsorted(walk.rows, problem.available[pick])))
    return greedy.result(problem)


class _Reduction:
    """Hold how much a label of each row would reduce the mean variance of all rows, `[n]`.

    A covariance of rows is an inner product of their factors `[n, D]`, and the matrix of all of them never exists.
    """

    def __init__(self, factors: Floats, noise: float) -> None:
        self._factors, self._noise = factors, noise
        self._weights = np.eye(factors.shape[1])
        self._mean = factors.T @ factors / len(factors)
        self._variance, self._effect = np.empty(len(factors)), np.empty(len(factors))
        for block in _blocks(factors):
            some = factors[block]
            self._variance[block] = np.einsum("nd,nd->n", some, some)
            self._effect[block] = np.einsum("nd,nd->n", some @ self._mean, some)

    @property
    def gain(self) -> Floats:
        """Return `[n]` reductions of the mean variance."""
        return np.maximum(self._effect, 0.0) / (np.maximum(self._variance, 0.0) + self._noise)

    def observe(self, position: int) -> None:
        """Take in a label of the row at this position (Sherman & Morrison 1950)."""
        direction = self._weights @ self._factors[position]
        shrink = 1.0 / (self._noise + max(float(self._variance[position]), 0.0))
        own = self._mean @ direction
        covariance, cross = self._factors @ direction, self._factors @ (self._weights @ own)
        self._effect += (shrink * covariance) ** 2 * float(direction @ own) - 2.0 * shrink * covariance * cross
        self._variance -= shrink * covariance**2
        self._weights -= shrink * np.outer(direction, direction)


def _factors(problem: Problem, rows: Index, noise: float, shrinkage: float, explore: float) -> Floats:
    """Return `[n, D]` factors of the rows' covariance, of mean variance 1."""
    predictions, share = problem.predictions, 1.0
    if predictions is not None:
        shrunk = shrinkage / (shrinkage + predictions.members)
        share = 0.0 if problem.features is None else max(explore, shrunk)
    parts = []
    if share > 0:
        near = _nearness(problem, rows, noise)
        if predictions is None and problem.scores is not None:
            places = Walk.over(problem.available, problem.size).places
            utility = problem.utility if problem.cost is None else problem.utility * problem.cost[problem.available]
            near = near * np.sqrt(utility[places])[:, None] if utility.max() > 0 else near
        parts.append(np.sqrt(share) * _scaled(near))
    if share < 1 and predictions is not None:
        points = predictions.centred(np.concatenate([rows, problem.pending])).astype(np.float64)
        if points.shape[1] > _COLUMNS:
            mixed = problem.rng.normal(size=(points.shape[1], _COLUMNS)) / np.sqrt(_COLUMNS)
            points = points @ mixed
        points = _scaled(points, len(rows))
        parts.append(np.sqrt(1.0 - share) * _seen(points[: len(rows)], points[len(rows) :], noise))
    return np.hstack(parts)


def _nearness(problem: Problem, rows: Index, noise: float) -> Floats:
    """Return factors of a Gaussian process's covariance (Matern 5/2) that has seen what is labelled and pending.

    It is as wide as candidates typically lie apart, and known by its landmarks (Nystrom; Williams & Seeger 2001).
    """
    known = np.concatenate([problem.labelled, problem.pending])
    points = problem.embedding(np.concatenate([rows, known])).astype(np.float64)
    points = points - points.mean(axis=0)
    some = problem.rng.permutation(len(rows))
    landmarks, sample = points[np.sort(some[:_LANDMARKS])], points[np.sort(some[:_SAMPLE])]
    apart = _distances(sample, sample)
    reach = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    values, vectors = np.linalg.eigh(_matern(_distances(landmarks, landmarks) / reach))
    kept = values > 1e-8 * values[-1]
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    factors = np.empty((len(points), int(kept.sum())))
    for block in _blocks(points):
        factors[block] = _matern(_distances(points[block], landmarks) / reach) @ whiten
    return _seen(factors[: len(rows)], factors[len(rows) :], noise)


def _seen(factors: Floats, labelled: Floats, noise: float) -> Floats:
    """Return factors of the covariance after labels of some rows."""
    if not len(labelled):
        return factors
    values, vectors = np.linalg.eigh(np.eye(factors.shape[1]) + labelled.T @ labelled / noise)
    return np.asarray(factors @ (vectors / np.sqrt(values)))


def _scaled(factors: Floats, count: int | None = None) -> Floats:
    """Return factors by which the first `count` rows have a mean variance of 1."""
    mean = float(np.einsum("nd,nd->", factors[:count], factors[:count])) / len(factors[:count])
    return factors / np.sqrt(mean) if mean > 0 else factors


def _distances(points: Floats, others: Floats) -> Floats:
    squared = (points * points).sum(axis=1)[:, None] - 2.0 * points @ others.T + (others * others).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def _matern(distance: Floats) -> Floats:
    scaled = np.sqrt(5.0) * distance
    return np.asarray((1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled))


def _blocks(rows: NDArray[np.float64]) -> list[slice]:
    return list(blocks(np.arange(len(rows)), max(rows.shape[1], _LANDMARKS)))
