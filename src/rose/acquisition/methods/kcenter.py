"""Choose by greedy k-center: cover the pool with as small balls as possible around what is labelled.

Sener & Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach"; the greedy choice is at
most twice the best radius (Gonzalez 1985).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.compiled import kernels
from rose.acquisition.methods._greedy import Greedy
from rose.acquisition.methods.geometry import (
    Walk,
    coordinates,
    known_centres,
    longest,
    most_central,
    squared_distances,
)
from rose.acquisition.problem import Index, Problem
from rose.acquisition.registry import register_acquisition


@register_acquisition(
    "kcenter",
    needs=("features|mc_preds",),
    uses=("scores", "labelled", "pending"),
    min_samples=2,
    ranks_only=True,
    aliases=("k_center", "coreset", "core_set"),
    reference="Sener & Savarese 2018, A Core-Set Approach",
)
def kcenter(problem: Problem) -> Index:
    """Again and again the candidate farthest from everything labelled, pending or chosen.

    Distances are Euclidean, on the features (without any, on the centred stacked predictions). With costs: the largest
    distance per unit of cost. Where nothing is labelled it begins with the most uncertain candidate; without scores,
    with the most central one. Among equals the seed draws.

    >>> from rose.acquisition import acquire
    >>> acquire(features=[[0.0], [1.0], [5.0], [9.0]], k=2, method="kcenter", labelled=[0])
    array([3, 2])
    """
    points = coordinates(problem)
    greedy = Greedy.of(problem)
    centres = known_centres(problem)
    if not len(centres) and not greedy.done:
        greedy.take(_first(problem, points, greedy))
        centres = greedy.result(problem)
    compiled = kernels()
    if compiled is None or problem.cost is not None:
        cover(points, problem.available, centres, greedy)
    else:
        _cover_lazily(compiled, points, Walk.over(problem.available, problem.size), centres, greedy)
    return greedy.result(problem)


def _first(problem: Problem, points: NDArray[Any], greedy: Greedy) -> int:
    if problem.scores is not None:
        return greedy.first(problem.ranking)
    # The best single centre of features is a central one; of centred predictions, whose middle means "no disagreement",
    # it would be the least useful.
    return greedy.first(longest(problem, points) if problem.features is None else most_central(problem, points))


def cover(points: NDArray[Any], candidates: Index, centres: Index, greedy: Greedy) -> None:
    """Cover as defined: one pass over all candidates for each centre."""
    nearest = np.full(len(candidates), np.inf)
    for centre in centres:
        np.minimum(nearest, squared_distances(points, candidates, points[centre]), out=nearest)
    while not greedy.done:
        pick = greedy.best(np.sqrt(nearest))
        greedy.take(pick)
        np.minimum(nearest, squared_distances(points, candidates, points[candidates[pick]]), out=nearest)


def _cover_lazily(compiled: Any, points: NDArray[Any], walk: Walk, known: Index, greedy: Greedy) -> None:
    """Make the picks of `cover`, with distances computed only where they could matter."""
    count = len(known)
    centres = np.empty((count + greedy.wanted, points.shape[1]), points.dtype)
    centres[:count] = points[known]
    nearest = np.full(len(walk.rows), np.inf)
    nearest[np.isin(walk.places, greedy.picks)] = -1.0
    seen = np.zeros(len(walk.rows), dtype=np.int32)
    while not greedy.done:
        step = compiled.farthest(points, walk.rows, walk.places, centres, count, nearest, seen)
        greedy.take(int(walk.places[step]))
        nearest[step] = -1.0
        centres[count] = points[walk.rows[step]]
        count += 1
