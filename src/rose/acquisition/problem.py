"""Describe what a method is given: a checked question, with the arithmetic that many methods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.predictions import Predictions
from rose.errors import ConfigurationError

Direction = Literal["higher", "lower"]
Index = NDArray[np.int64]
Floats = NDArray[np.float64]


def unsaid(message: str, category: type[Warning]) -> None:
    """Drop a message."""


@dataclass(frozen=True)
class Problem:
    """Ask which `k` of the `available` candidates to choose. Built and checked by `acquire`; read by the methods.

    Everything of shape `[N]` or `[N, ...]` covers the whole pool, labelled candidates too; `available`, `labelled` and
    `pending` are indices into it, each in an order that the seed has drawn (`ties.tie_keys`): a method that takes the
    first of equals settles ties fairly, and repeatably. `k` is never above `len(available)`.

    `say` takes what the caller should know, a text and the kind of warning; `acquire` passes it on as it was asked to.
    """

    k: int
    size: int
    available: Index
    labelled: Index
    pending: Index
    rng: np.random.Generator
    scores: Floats | None = None
    direction: Direction = "higher"
    range: tuple[float, float] | None = None
    predictions: Predictions | None = None
    features: NDArray[Any] | None = None
    cost: Floats | None = None
    budget: float | None = None
    say: Callable[[str, type[Warning]], None] = unsaid

    @cached_property
    def ranking(self) -> Floats:
        """Return `[n]` keys of the available candidates, larger = wanted more; only their order means something.

        The scores, turned over where lower is more uncertain; with costs, `utility`.
        """
        if self.cost is not None:
            return self.utility
        scores = self._available_scores()
        return scores if self.direction == "higher" else -scores

    @cached_property
    def utility(self) -> Floats:
        """Return the available candidates' uncertainty `[n]`, >= 0, larger is more uncertain; per unit of cost.

        A score's distance from the *least* uncertain end of its scale. That end is the metric's declared one where
        `range` gives a finite one. Otherwise, for scores where higher is more uncertain, it is 0, or the smallest
        score of an available candidate if that is negative; where lower is, the largest.

        Raises:
            ConfigurationError: for infinite scores, scores outside `range`, or so large that differences overflow.
        """
        scores = self._available_scores()
        if not np.isfinite(scores).all():
            bad = self.available[~np.isfinite(scores)].min()
            raise ConfigurationError(
                f"the score of candidate {bad} is infinite, and here its size counts, not its rank alone: take a "
                'finite metric (such as "mutual_information"), or acquisition="top_k" without costs, which only ranks'
            )
        with np.errstate(over="ignore"):
            utility = _above_least_uncertain(scores, self.direction, self.range)
            utility = utility if self.cost is None else utility / self.cost[self.available]
            if not np.isfinite(utility.sum()):
                raise ConfigurationError("the scores (per unit of cost) are so large that sums overflow; rescale them")
        return utility

    def embedding(self, index: Index | None = None) -> NDArray[Any]:
        """Return coordinates for distances: the features, or without any the centred stacked predictions.

        `[len(index), D]`, or `[N, D]` of the whole pool: then not to be written to, it may be the caller's own array.

        Raises:
            ConfigurationError: for features that are not finite, or whose squares are not.
            PredictionError: for predictions that are not finite.
        """
        if self.features is None:
            assert self.predictions is not None  # acquire() checked the method's declared needs
            return self.predictions.centred(np.arange(self.size) if index is None else index)
        rows: NDArray[Any] = self.features if index is None else self.features[index]
        with np.errstate(all="ignore"):
            total = np.einsum("nd,nd->", rows, rows, dtype=np.float64)  # allocates nothing
        if not np.isfinite(total):
            finite = np.isfinite(rows).all(axis=1)
            if finite.all():
                raise ConfigurationError("the features are so large that distances overflow; rescale them")
            bad = (np.arange(self.size) if index is None else index)[~finite].min()
            raise ConfigurationError(f"features of candidate {bad} are not finite")
        return rows

    def within_budget(self, order: Index) -> Index:
        """Return the first `k` positions of `order` (into `available`) that fit the budget; others are skipped."""
        if self.budget is None or self.cost is None:
            return order[: self.k]
        costs = self.cost[self.available]
        left, cheapest = self.budget, float(costs.min(initial=np.inf))
        taken: list[int] = []
        for position, cost in zip(order.tolist(), costs[order].tolist(), strict=True):
            if len(taken) == self.k or left < cheapest:
                break
            if cost <= left:
                taken.append(position)
                left -= cost
        return np.array(taken, dtype=np.int64)

    def _available_scores(self) -> Floats:
        assert self.scores is not None  # acquire() checked the method's declared needs
        return self.scores[self.available]


def largest_first(keys: Floats, k: int) -> Index:
    """Return positions of the `k` largest keys, largest first, ties by the lower position; O(n + k log k).

    Of the keys of `Problem.available`, whose order the seed has drawn, that is a fair draw among equals.

    >>> largest_first(np.array([1.0, 3.0, 3.0, 2.0]), 3)
    array([1, 2, 3])
    """
    if k <= 0:
        return np.empty(0, dtype=np.int64)
    n = len(keys)
    positions = np.arange(n)
    if k < n:
        kth = np.partition(keys, n - k)[n - k]
        above = np.flatnonzero(keys > kth)
        positions = np.concatenate([above, np.flatnonzero(keys == kth)[: k - len(above)]])
    return positions[np.argsort(-keys[positions], kind="stable")].astype(np.int64)


def _above_least_uncertain(scores: Floats, direction: Direction, span: tuple[float, float] | None) -> Floats:
    low, high = (-np.inf, np.inf) if span is None else span
    slack = 1e-3 * max([1.0, *(abs(end) for end in (low, high) if np.isfinite(end))])
    if len(scores) and (scores.min() < low - slack or scores.max() > high + slack):
        raise ConfigurationError(
            f"scores run from {scores.min():g} to {scores.max():g}, outside range=({low:g}, {high:g})"
        )
    if direction == "higher":
        end = low if np.isfinite(low) else min(0.0, float(scores.min(initial=0.0)))
        return np.maximum(scores - end, 0.0)
    end = high if np.isfinite(high) else float(scores.max(initial=-np.inf))
    return np.maximum(end - scores, 0.0)
