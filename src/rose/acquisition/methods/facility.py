"""Choose by facility location: the batch that, with what is labelled, stands for most of the uncertainty.

Wei, Iyer & Bilmes 2015, "Submodularity in Data Subset Selection and Active Learning": filtered active submodular
selection (filter by uncertainty, then cover). Here the uncertainty also weighs what is covered, and what is labelled
covers too. Greedy choices reach at least 1 - 1/e of the best coverage (Nemhauser, Wolsey & Fisher 1978).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rose.acquisition._options import at_least, positive
from rose.acquisition.methods._greedy import Greedy, first_of_largest
from rose.acquisition.methods.geometry import known_centres
from rose.acquisition.problem import Floats, Index, Problem, largest_first
from rose.acquisition.registry import register_acquisition

_CELLS = 1 << 20  # similarities computed at a time
_SAMPLE = 512
_LOOK = 16  # gains brought up to date at a time
_ROUNDING = 1e-9  # similarities that differ by less are equal, and gains by this part of them


@register_acquisition(
    "facility_location",
    needs=("scores", "features|mc_preds"),
    uses=("labelled", "pending"),
    min_samples=2,
    prefilter=20.0,
    aliases=("facility", "coverage"),
    reference="Wei, Iyer & Bilmes 2015, Submodularity in Data Subset Selection and Active Learning",
)
def facility_location(problem: Problem, *, beta: float = 20.0, width: float = 0.3) -> Index:
    """Again and again the candidate that is most like the uncertain ones which nothing labelled or chosen is like yet.

    Maximises sum_i u_i max_j s_ij over the beta * k most uncertain candidates i, where u is the utility and j runs over
    all that is labelled, pending or chosen. The similarity s_ij = exp(-d_ij / (width * d)) falls with the squared
    distance d_ij, of median d, on the features (without any, on the centred stacked predictions). With costs: the
    largest gain per unit of cost. What is left when nothing more can be covered goes by its score.

    Unlike "diverse", it knows what is labelled and draws among equals only; an outlier, which stands for nobody else,
    comes late.

    Args:
        problem: the question.
        beta: how many times k candidates are looked at; 1 is "top_k", in another order.
        width: how far similarity reaches, in median squared distances.

    >>> from rose.acquisition import acquire
    >>> x = [[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]]
    >>> acquire([0.7, 0.9, 0.8, 0.7, 0.6, 0.9], k=2, features=x, method="facility_location", labelled=[5])
    array([1, 3])
    """
    beta, width = at_least("beta", 1, beta), positive("width", width)
    count = min(len(problem.available), math.ceil(beta * problem.k))
    order = largest_first(problem.ranking, len(problem.available) if problem.budget is not None else count)
    short = order[:count]
    known = known_centres(problem)
    points = problem.embedding(np.concatenate([problem.available[short], known])).astype(np.float64)
    points -= points[:count].mean(axis=0)  # distances by inner products lose fewer digits near the origin
    reach = width * _typical_distance(points[:count])
    return _greedily(problem, order, _Cover(points[:count], points[count:], _weights(problem, short), reach))


def _typical_distance(points: Floats) -> float:
    """Return the median squared distance, which outliers do not move; where points are many, of a sample."""
    some = points[:: max(1, len(points) // _SAMPLE)]
    squares = (some * some).sum(axis=1)
    squared = (squares[:, None] + squares - 2.0 * (some @ some.T))[np.triu_indices(len(some), 1)]
    if not len(squared):
        return 0.0
    median = float(np.median(squared))
    return median if median > 1e-14 * squares.max() else float(squared.mean())  # else most are copies of each other


def _weights(problem: Problem, short: Index) -> Floats:
    """Return the weights of what there is to cover: utility, whatever it costs; all equal where there is none."""
    utility = problem.utility if problem.cost is None else problem.utility * problem.cost[problem.available]
    most = utility[short].max()
    return utility[short] / most if most > 0 else np.ones(len(short))


def _greedily(problem: Problem, order: Index, cover: _Cover) -> Index:
    """Choose greedily and lazily (Minoux 1978): a gain only falls as others are chosen: an old one is a bound."""
    greedy = Greedy.of(problem)
    short, rest = order[: cover.size], order[cover.size :]
    cost = np.ones(cover.size) if greedy.cost is None else greedy.cost[short]
    bound, fresh = cover.gains(np.arange(cover.size)) / cost, np.ones(cover.size, dtype=bool)
    while not greedy.done:
        open_ = greedy.open[short]
        if not open_.any():
            greedy.take(int(rest[np.argmax(greedy.open[rest])]))
            continue
        bound[~open_] = -np.inf
        while not fresh[best := first_of_largest(bound, _ROUNDING)]:  # the first of equals has the higher score
            look = largest_first(np.where(fresh, -np.inf, bound), min(_LOOK, cover.size))
            bound[look] = np.where(open_[look], cover.gains(look) / cost[look], -np.inf)
            fresh[look] = True
        greedy.take(int(short[best]))
        cover.add(best)
        fresh[:] = False
    return greedy.result(problem)


class _Cover:
    """Measure how far `n` candidates are covered: `covered [n]` is the similarity to the nearest of what covers."""

    def __init__(self, points: Floats, known: Floats, weights: Floats, reach: float) -> None:
        self._points, self._weights, self._reach = points, weights, reach
        self._squares = (points * points).sum(axis=1)
        self.size = len(points)
        self.covered = np.zeros(self.size)
        rows = max(1, _CELLS // self.size)
        for low in range(0, len(known), rows):
            np.maximum(self.covered, self._similar(known[low : low + rows]).max(axis=0), out=self.covered)

    def gains(self, index: Index) -> Floats:
        """Return `[len(index)]` what each of these would add."""
        out = np.empty(len(index))
        rows = max(1, _CELLS // self.size)
        for low in range(0, len(index), rows):
            more = self._similar(self._points[index[low : low + rows]]) - self.covered
            out[low : low + rows] = np.where(more > _ROUNDING, more, 0.0) @ self._weights
        return out

    def add(self, position: int) -> None:
        """Count one candidate among those that cover."""
        np.maximum(self.covered, self._similar(self._points[position : position + 1])[0], out=self.covered)

    def _similar(self, rows: NDArray[np.float64]) -> Floats:
        """Return `[len(rows), n]` similarities to the candidates."""
        squared = (rows * rows).sum(axis=1)[:, None] - 2.0 * (rows @ self._points.T)
        squared += self._squares
        np.maximum(squared, 0.0, out=squared)
        if self._reach > 0:
            squared /= -self._reach
        similar: Floats = np.exp(squared, out=squared)
        return similar
