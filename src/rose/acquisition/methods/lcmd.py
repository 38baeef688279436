"""Choose by LCMD: of the largest cluster, the candidate at the maximum distance.

Holzmueller, Zaverkin, Kaestner & Steinwart 2023 (JMLR 24), "A Framework and Benchmark for Deep Batch Active Learning
for Regression": LCMD in its TP mode, in which the labelled points are the first centres. The best of those compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.compiled import kernels, workers
from rose.acquisition.methods._greedy import Greedy
from rose.acquisition.methods.geometry import Walk, coordinates, known_centres, longest, squared_distances
from rose.acquisition.problem import Floats, Index, Problem
from rose.acquisition.registry import register_acquisition

_ROWS = 1 << 14  # rows a thread takes at a time


@register_acquisition(
    "lcmd",
    needs=("features|mc_preds",),
    uses=("scores", "labelled", "pending"),
    min_samples=2,
    ranks_only=True,
    aliases=("largest_cluster_maximum_distance",),
    reference="Holzmueller et al. 2023, Deep Batch Active Learning for Regression",
)
def lcmd(problem: Problem) -> Index:
    """Again and again: of the largest cluster around a labelled, pending or chosen point, the farthest candidate.

    A candidate belongs to its nearest centre; a cluster is as large as the sum of its squared distances. Unlike
    k-center, which chases outliers, this covers where there is much to cover. Distances are Euclidean, on the features
    (without any, on the centred stacked predictions). With costs: the largest distance per unit of cost within the
    largest cluster; what no longer fits the budget does not count for a cluster's size. Where nothing is labelled it
    begins with the most uncertain candidate; without scores, with the longest vector. Among equals the seed draws.

    >>> from rose.acquisition import acquire
    >>> x = [[0.0], [4.0], [4.1], [4.2], [4.3], [-5.0]]
    >>> acquire(features=x, k=2, method="lcmd", labelled=[0])
    array([5, 4])
    """
    points = coordinates(problem)
    greedy = Greedy.of(problem)
    centres = known_centres(problem)
    if not len(centres) and not greedy.done:
        greedy.take(greedy.first(longest(problem, points) if problem.scores is None else problem.ranking))
        centres = greedy.result(problem)
    compiled = kernels()
    if compiled is None or problem.cost is not None:
        split(points, problem.available, centres, greedy)
    else:
        _split_fast(compiled, points, Walk.over(problem.available, problem.size), centres, greedy)
    return greedy.result(problem)


def split(points: NDArray[Any], candidates: Index, centres: Index, greedy: Greedy) -> None:
    """Split as defined, in plain NumPy."""
    nearest = np.full(len(candidates), np.inf)
    owner = np.zeros(len(candidates), dtype=np.int64)
    count = 0
    for centre in centres:
        count = _offer(points, candidates, centre, nearest, owner, count)
    while not greedy.done:
        gain = np.where(owner == _largest(nearest, owner, greedy, count), np.sqrt(nearest), -1.0)
        pick = greedy.best(gain)
        greedy.take(pick)
        count = _offer(points, candidates, candidates[pick], nearest, owner, count)


def _offer(points: NDArray[Any], candidates: Index, centre: int, nearest: Floats, owner: Index, count: int) -> int:
    distance = squared_distances(points, candidates, points[centre])
    closer = distance < nearest
    nearest[closer] = distance[closer]
    owner[closer] = count
    return count + 1


def _largest(nearest: Floats, owner: Index, greedy: Greedy, count: int) -> int:
    members = np.bincount(owner[greedy.open], minlength=count)
    sizes = np.bincount(owner[greedy.open], weights=nearest[greedy.open], minlength=count)
    return int(np.argmax(np.where(members > 0, sizes, -1.0)))


def _split_fast(compiled: Any, points: NDArray[Any], walk: Walk, known: Index, greedy: Greedy) -> None:
    """Make the picks of `split`, faster: each block meets the new centre and measures its clusters in one pass."""
    n, count = len(walk.rows), len(known)
    centres = np.empty((count + greedy.wanted, points.shape[1]), points.dtype)
    centres[:count] = points[known]
    nearest = np.full(n, np.inf)
    nearest[np.isin(walk.places, greedy.picks)] = -1.0
    owner = np.zeros(n, dtype=np.int32)
    shape = (-(-n // _ROWS), len(centres))
    sizes, radius, rim = np.empty(shape), np.empty(shape), np.zeros(shape, dtype=np.int64)
    first = 0
    with workers() as run:
        while not greedy.done:

            def measure(block: int, low: int, high: int, first: int = first, count: int = count) -> None:
                compiled.join_clusters(
                    points, walk.rows, walk.places, low, high, centres, first, count, nearest, owner,
                    sizes[block], radius[block], rim[block],
                )  # fmt: skip

            run(measure, n, _ROWS)
            farthest = radius.max(axis=0)
            cluster = int(np.argmax(np.where(farthest >= 0, sizes.sum(axis=0), -1.0)))
            equals = rim[radius[:, cluster] == farthest[cluster], cluster]  # one of each block
            step = equals[np.argmin(walk.places[equals])]
            greedy.take(int(walk.places[step]))
            nearest[step] = -1.0
            centres[count] = points[walk.rows[step]]
            first, count = count, count + 1
