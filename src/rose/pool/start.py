"""Choose the candidates that are simulated first, before there is a model to ask: spread over the pool.

"maximin" is farthest-first from the middle (Gonzalez 1985; Kennard and Stone 1969), "lhs" what lies nearest to a Latin
hypercube (McKay, Beckman and Conover 1979), "stratified" one candidate of each of as many clusters. All but the last
measure in ranks: each coordinate is as wide as the pool is there, whatever its scale and its outliers.
"""

from __future__ import annotations

import numpy as np

from rose.acquisition import kmeans
from rose.errors import PoolError, near_miss
from rose.pool._coordinates import Coordinates

STARTS = ("maximin", "lhs", "stratified", "random")
LHS, RANDOM, _DEFAULT = "lhs", "random", "stratified"

_LOOKED_AT = 20_000  # candidates that are looked at; of larger pools, so many drawn by the seed
_CLUSTERED = 4_000  # ... and in clustering
_NUMBERS = 4_000_000  # numbers in those that are looked at: wide candidates are fewer
_DESIGNS = 20  # Latin hypercubes, of which the one whose points lie farthest apart is taken


def check_start(start: str | None, near: Coordinates | None) -> str:
    """Return how a pool starts: as asked, else as its candidates allow.

    Raises:
        PoolError: for a start that there is not, or one that needs coordinates where there are none.

    >>> check_start(None, None)
    'random'
    """
    if start is not None and start not in STARTS:
        raise PoolError(f"start={start!r}; {near_miss(str(start), STARTS)}")
    if near is None and start not in (None, RANDOM):
        raise PoolError(
            f"start={start!r} spreads the first candidates by their coordinates, and these are no numbers: give "
            "Pool(features=), or start='random'"
        )
    if start is None:
        return _DEFAULT if near is not None and near.narrow else RANDOM
    return start


def first_of(
    start: str, near: Coordinates | None, among: np.ndarray, count: int, seed: int, known: np.ndarray
) -> np.ndarray:
    """Return `count` distinct candidates to begin with, in the order in which they were chosen.

    Args:
        start: one of `STARTS`.
        near: the candidates' coordinates; not needed for "random".
        among: indices that may be chosen, ascending.
        count: how many, `len(among)` at most.
        seed: of all that is drawn.
        known: indices of candidates that have a label, which the others keep away from.

    >>> line = Coordinates(np.arange(9.0)[:, None], 1)
    >>> first_of("maximin", line, np.arange(9), 3, 0, np.array([], dtype=int))
    array([4, 0, 8])
    """
    rng = np.random.default_rng(seed)
    if start == RANDOM or near is None or count == 0:
        drawn: np.ndarray = np.sort(rng.choice(among, size=count, replace=False))
        return drawn
    most = max(count, min(_CLUSTERED if start == "stratified" else _LOOKED_AT, _NUMBERS // near.width))
    if len(among) > most:
        among = np.sort(rng.choice(among, size=most, replace=False))
    rows = np.asarray(near.of(np.concatenate([among, known])), dtype=np.float64)
    here, ranks = slice(len(among)), _ranks(rows)
    if start == "stratified":
        chosen = _stratified(rows[here], rows[len(among) :], count, rng)
    elif start == LHS:
        chosen = _nearest(ranks[here], _latin_hypercube(count, ranks[len(among) :], rng))
    else:
        chosen = _farthest(ranks[here], ranks[len(among) :], count)
    found: np.ndarray = among[chosen]
    return found


def _ranks(rows: np.ndarray) -> np.ndarray:
    """Return each column's ranks, from 0 to 1; equals share theirs.

    >>> _ranks(np.array([[5.0], [1.0], [1e9], [5.0]])).ravel()
    array([0.5  , 0.125, 0.875, 0.5  ])
    """
    out = np.empty(rows.shape)
    for column in range(rows.shape[1]):
        _, place, counts = np.unique(rows[:, column], return_inverse=True, return_counts=True)
        out[:, column] = ((np.cumsum(counts) - counts / 2) / len(rows))[place]
    return out


def _farthest(points: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    nearest = np.full(len(points), np.inf)
    for one in known:
        np.minimum(nearest, _squared(points, one), out=nearest)
    middle = int(np.argmin(_squared(points, points.mean(axis=0)))) if not len(known) else int(np.argmax(nearest))
    chosen = [middle]
    while len(chosen) < count:
        np.minimum(nearest, _squared(points, points[chosen[-1]]), out=nearest)
        nearest[chosen[-1]] = -1.0  # a copy of it may come, but not itself again
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen, dtype=np.int64)


def _latin_hypercube(count: int, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return of several the one whose points lie farthest apart, and from those known (Johnson et al. 1990)."""
    width = known.shape[1]

    def draw() -> np.ndarray:
        strata = np.stack([rng.permutation(count) for _ in range(width)], axis=1)
        return np.asarray((strata + rng.random((count, width))) / count)

    def apart(design: np.ndarray) -> float:
        every = np.concatenate([design, known])
        pairs = range(min(count, len(every) - 1))
        return min((float(_squared(every[i + 1 :], every[i]).min()) for i in pairs), default=0.0)

    return max((draw() for _ in range(_DESIGNS)), key=apart)


def _nearest(points: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Return for each point of a design the nearest of `points` that is not taken yet."""
    taken = np.zeros(len(points), dtype=bool)
    chosen = []
    for one in design:
        chosen.append(int(np.argmin(np.where(taken, np.inf, _squared(points, one)))))
        taken[chosen[-1]] = True
    return np.array(chosen, dtype=np.int64)


def _stratified(points: np.ndarray, known: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return of each cluster the point nearest to its centre; if there are too few, then what is farthest from them."""
    cluster, distance = kmeans(points, count, np.ones(len(points)), rng, fixed=known)
    by_distance = np.argsort(distance, kind="stable")
    found, first = np.unique(cluster[by_distance], return_index=True)
    chosen = by_distance[np.sort(first[found >= 0])]
    if len(chosen) == count:
        return np.asarray(chosen)
    rest = np.setdiff1d(np.arange(len(points)), chosen)
    more = _farthest(points[rest], np.concatenate([points[chosen], known]), count - len(chosen))
    return np.concatenate([chosen, rest[more]])


def _squared(points: np.ndarray, one: np.ndarray) -> np.ndarray:
    return np.asarray(((points - one) ** 2).sum(axis=1))
