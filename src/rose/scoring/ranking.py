"""Rank scores, the most uncertain first: stable, and the only place that knows how directions rank."""

from __future__ import annotations

import operator
import threading

import numpy as np
import numpy.typing as npt

from rose.arrays import as_vector
from rose.errors import ConfigurationError, NotANumberError

Indices = npt.NDArray[np.intp]
Array = npt.NDArray[np.float64]


def check_k(k: int, n: int) -> int:
    """Return `k` as an int between 0 and `n`.

    Raises:
        ConfigurationError: if `k` is no integer, negative, or more than there are candidates.

    >>> check_k(0, 5)
    0
    """
    try:
        count = operator.index(k)
    except TypeError:
        raise ConfigurationError(f"k={k!r} must be an integer") from None
    if count < 0:
        raise ConfigurationError(f"k={count} is negative; ask for 0 or more candidates")
    if count > n:
        raise ConfigurationError(f"k={count} is more than the {n} candidates there are")
    return count


def most_uncertain(scores: object, k: int, direction: str = "higher") -> Indices:
    """Return indices `[k]` of the most uncertain candidates, most uncertain first; equal scores: lower index first.

    `k=0` gives an empty array. Costs O(N + k log k).

    Raises:
        ConfigurationError: for a `k` that is negative, no integer, or larger than N.
        NotANumberError: if a score is NaN, which has no rank.

    >>> most_uncertain([0.1, 0.9, 0.9, 0.4], 3)
    array([1, 2, 3])
    """
    values = as_vector(scores, "scores").astype(np.float64)
    if values.ndim != 1:
        raise ConfigurationError(f"scores must be one number per candidate [N], not of shape {values.shape}")
    if direction not in ("higher", "lower"):
        raise ConfigurationError(f"direction={direction!r} must be 'higher' or 'lower'")
    k = check_k(k, len(values))
    if np.isnan(values).any():
        raise NotANumberError(f"the score of candidate {int(np.flatnonzero(np.isnan(values))[0])} is NaN")
    if k == 0:
        return np.empty(0, dtype=np.intp)
    keys = values if direction == "lower" else -values
    if k < len(keys):
        last = np.partition(keys, k - 1)[k - 1]
        among = np.flatnonzero(keys <= last)  # in index order, so that the stable sort keeps ties right
    else:
        among = np.arange(len(keys))
    return among[np.argsort(keys[among], kind="stable")[:k]]


class Leaders:
    """Keep the `k` most uncertain of all scores seen so far, whatever the order in which blocks arrive; thread-safe."""

    def __init__(self, k: int, direction: str) -> None:
        self._k = k
        self._sign = 1.0 if direction == "lower" else -1.0
        self._keys = np.empty(0)
        self._indices = np.empty(0, dtype=np.intp)
        self._bar = np.inf  # what the k-th best had: anything beyond it need not be kept
        self._lock = threading.Lock()

    def offer(self, start: int, scores: Array) -> None:
        """Take in the scores of candidates `start`, `start + 1`, ..."""
        if np.isnan(scores).any():
            raise NotANumberError(f"the score of candidate {start + int(np.flatnonzero(np.isnan(scores))[0])} is NaN")
        if self._k == 0:
            return
        keys = self._sign * scores
        good = np.flatnonzero(keys <= self._bar)
        if not len(good):
            return
        with self._lock:
            self._keys = np.concatenate([self._keys, keys[good]])
            self._indices = np.concatenate([self._indices, good + start])
            if len(self._keys) > 2 * self._k + 1024:
                self._settle()

    def _settle(self) -> None:
        order = np.lexsort((self._indices, self._keys))[: self._k]
        self._keys, self._indices = self._keys[order], self._indices[order]
        if 0 < len(order) == self._k:
            self._bar = float(self._keys[-1])

    def result(self) -> tuple[Indices, Array]:
        """Return indices and scores, most uncertain first."""
        with self._lock:
            self._settle()
            return self._indices, self._sign * self._keys + 0.0  # + 0.0: no negative zero
