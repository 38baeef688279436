"""Cluster some hundreds to thousands of points by weighted k-means.

scikit-learn's adds up its centres in the order in which threads finish, so that the last digits, and now and then a
choice, differ between runs; a run that resumes must choose as it did. This one is sequential and float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.problem import Floats, Index

_MAX_ITERATIONS = 100


def kmeans(
    points: NDArray[Any],
    k: int,
    weights: Floats,
    rng: np.random.Generator,
    restarts: int = 1,
    fixed: NDArray[Any] | None = None,
) -> tuple[Index, Floats]:
    """Cluster `[n, D]` points with weights `[n]` >= 0 around k centres, and some `[m, D]` that stay where they are.

    Returns:
        the cluster of each point `[n]` (-1: around a fixed centre), and each point's squared distance to its centre
        `[n]`; the best of some restarts. There may be fewer than k clusters where there are fewer distinct points.

    >>> cluster, _ = kmeans(np.array([[0.0], [0.1], [5.0]]), 2, np.ones(3), np.random.default_rng(0))
    >>> bool(cluster[0] == cluster[1] != cluster[2])
    True
    """
    x = np.asarray(points, dtype=np.float64)
    middle = x.mean(axis=0)
    x = x - middle  # distances by inner products lose fewer digits near the origin
    still = np.empty((0, x.shape[1])) if fixed is None else np.asarray(fixed, dtype=np.float64) - middle
    best: tuple[float, Index, Floats] | None = None
    for _ in range(restarts):
        cluster, distance = _lloyd(x, _spread_seeds(x, k, weights, rng, still), weights, still)
        inertia = float(weights @ distance)
        if best is None or inertia < best[0]:
            best = inertia, cluster, distance
    assert best is not None
    return best[1], best[2]


def _spread_seeds(x: Floats, k: int, weights: Floats, rng: np.random.Generator, still: Floats) -> Floats:
    """Draw k-means++ seeds (Arthur & Vassilvitskii 2007): by weight x squared distance to the others."""
    seeds: list[int] = []
    nearest = np.full(len(x), np.inf)
    for centre in still:
        nearest = np.minimum(nearest, _squared(x, centre[None])[:, 0])
    while len(seeds) < k:
        mass = weights * nearest if np.isfinite(nearest[0]) else weights
        if not mass.sum() > 0:
            mass = np.minimum(nearest, 1.0)  # what is left has no weight; a zero weight is still a distinct point
        if not mass.sum() > 0:
            break  # fewer than k distinct points
        seeds.append(_draw(mass, rng))
        nearest = np.minimum(nearest, _squared(x, x[seeds[-1:]])[:, 0])
    return x[seeds].copy()


def _draw(mass: Floats, rng: np.random.Generator) -> int:
    total = np.cumsum(mass)
    if not total[-1] > 0:
        return int(rng.integers(len(mass)))
    # side="right": an item without mass is never drawn
    return min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), len(mass) - 1)


def _lloyd(x: Floats, centres: Floats, weights: Floats, still: Floats) -> tuple[Index, Floats]:
    cluster = np.full(len(x), -1, dtype=np.int64)
    for _ in range(_MAX_ITERATIONS):
        moved = np.argmin(_squared(x, np.concatenate([centres, still])), axis=1)
        if np.array_equal(moved, cluster):
            break
        cluster = moved
        mass = np.bincount(cluster, weights, minlength=len(centres))[: len(centres)]
        full = mass > 0  # an empty cluster keeps its centre
        centres[full] = _sums(weights[:, None] * x, cluster, len(centres))[full] / mass[full, None]
    distance = ((x - np.concatenate([centres, still])[cluster]) ** 2).sum(axis=1)
    return np.where(cluster < len(centres), cluster, -1), distance


def _sums(rows: Floats, cluster: Index, k: int) -> Floats:
    """Return `[k, D]` sums of each cluster's rows, always added up in the same order."""
    order = np.argsort(cluster, kind="stable")
    present, starts = np.unique(cluster[order], return_index=True)
    out = np.zeros((max(k, int(present[-1]) + 1), rows.shape[1]))
    out[present] = np.add.reduceat(rows[order], starts, axis=0)
    return out[:k]


def _squared(x: Floats, centres: Floats) -> Floats:
    """Return `[n, K]` squared distances. To a single centre, identical rows are at exactly 0: seeding counts on it."""
    if len(centres) == 1:
        apart: Floats = ((x - centres) ** 2).sum(axis=1, keepdims=True)
        return apart
    expanded: Floats = (x * x).sum(axis=1)[:, None] - 2 * (x @ centres.T) + (centres * centres).sum(axis=1)
    return np.maximum(expanded, 0.0)
