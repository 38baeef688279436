"""Hold what is left of a pool that was screened: the candidates of all its parts that may be chosen."""

from __future__ import annotations

import math

import numpy as np

from rose.acquisition import tie_keys
from rose.errors import PredictionError
from rose.pool.screening.part import Bar, Bars, Screened, within

_ROOM = 1024  # candidates beyond twice what is kept that are gathered before they are sorted


class _Best:
    """Keep the candidates with the `count` smallest keys of all that it has seen, in whatever order they come.

    Of equal keys it keeps those that the seed puts first. So what is kept does not depend on which part of the pool was
    screened first.
    """

    def __init__(self, count: int, tie_seed: int) -> None:
        self._count = count
        self._tie_seed = tie_seed
        self.bar = Bar()  # the last of those that are kept, once there are so many: what is beyond it is not
        self._indices = np.empty(0, dtype=np.int64)
        self._keys = np.empty(0)
        self._ties = np.empty(0, dtype=np.uint64)

    def add(self, indices: np.ndarray, keys: np.ndarray) -> None:
        ties = tie_keys(self._tie_seed, indices)
        near = within(keys, ties, self.bar)
        self._indices = np.concatenate([self._indices, indices[near]])
        self._keys = np.concatenate([self._keys, keys[near]])
        self._ties = np.concatenate([self._ties, ties[near]])
        if len(self._keys) > 2 * self._count + _ROOM:
            self.settle()

    def forget(self, start: int, stop: int) -> None:
        """Drop the candidates of a part."""
        self._keep((self._indices < start) | (self._indices >= stop))

    def ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """Return indices and keys, smallest key first."""
        self.settle()
        return self._indices, self._keys

    def settle(self) -> None:
        """Keep no more than asked for; now the bar is where it belongs."""
        order = np.lexsort((self._ties, self._keys))[: self._count]
        self._keep(order)
        if 0 < len(order) == self._count:
            self.bar = Bar(float(self._keys[-1]), int(self._ties[-1]))

    def _keep(self, which: np.ndarray) -> None:
        self._indices, self._keys, self._ties = self._indices[which], self._keys[which], self._ties[which]


class Shortlist:
    """Merge, as the parts of a screened pool come, the candidates that may be chosen.

    Args:
        query_size: how many are chosen.
        count: how many of the most uncertain are kept.
        direction: which end of the scores is the more uncertain.
        tie_seed: what puts candidates with equal keys in order.
    """

    def __init__(self, query_size: int, count: int, direction: str, tie_seed: int) -> None:
        self._sign = 1.0 if direction == "lower" else -1.0
        self._uncertain = _Best(count, tie_seed)
        self._drawn = _Best(query_size, tie_seed)
        self._lowest, self._highest = math.inf, -math.inf
        self._form: tuple[str, tuple[int, int]] | None = None
        self._held_back: dict[tuple[int, int], Bars] = {}
        self.silent = True  # whether members that all predict the same are asked what they differ in

    def add(self, found: Screened) -> None:
        """Merge another part; what was known of it is replaced.

        Raises:
            PredictionError: if the members' predictions of this part look otherwise than those of the others.
        """
        if self._form is None:
            self._form = found.form, found.part
        if found.form != self._form[0]:
            raise PredictionError(
                f"the predictions of candidates {found.part[0]} to {found.part[1] - 1} are {found.form}, but those of "
                f"candidates {self._form[1][0]} to {self._form[1][1] - 1} are {self._form[0]}"
            )
        if self._held_back.pop(found.part, None) is not None:
            self._uncertain.forget(*found.part)
            self._drawn.forget(*found.part)
        if min(found.held_back) < Bar():
            self._held_back[found.part] = found.held_back
        self._uncertain.add(found.indices, self._sign * found.scores)
        self._drawn.add(found.drawn, -found.keys)
        self.silent &= found.silent
        self._lowest, self._highest = min(self._lowest, found.lowest), max(self._highest, found.highest)

    def lacking(self) -> list[tuple[int, int]]:
        """Return the parts that have held back candidates which may be among the first of all parts."""
        self._uncertain.settle()
        self._drawn.settle()
        bars = self.bars
        return [
            part
            for part, held in self._held_back.items()
            if any(last < Bar() and last <= bar for last, bar in zip(held, bars, strict=True))
        ]

    @property
    def bars(self) -> Bars:
        """Return the bars beyond which no part needs to send candidates any more."""
        return Bars(self._uncertain.bar, self._drawn.bar)

    @property
    def uncertain(self) -> tuple[np.ndarray, np.ndarray]:
        """Return pool indices and scores of the most uncertain candidates, ascending by index."""
        indices, keys = self._uncertain.ordered()
        order = np.argsort(indices)
        return indices[order], self._sign * keys[order] + 0.0  # + 0.0: no negative zero

    @property
    def drawn(self) -> np.ndarray:
        """Return pool indices of those with the largest keys, largest first; none where the method knows no keys."""
        return self._drawn.ordered()[0]

    @property
    def level(self) -> bool:
        """Return whether all scores of the pool are equal."""
        return self._lowest == self._highest

    def range(self, declared: tuple[float, float]) -> tuple[float, float]:
        """Return the range of the scores; where the metric declares no end, the whole pool's scores give it."""
        low, high = declared
        return low if math.isfinite(low) else min(0.0, self._lowest), high if math.isfinite(high) else self._highest
