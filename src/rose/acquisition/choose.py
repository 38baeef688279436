"""`acquire`: which candidates to label next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from rose.acquisition import check
from rose.acquisition.problem import Direction, Index, Problem
from rose.acquisition.registry import Acquisition, get_acquisition
from rose.errors import ConfigurationError

Seed = int | np.random.SeedSequence | np.random.Generator


def acquire(
    scores: ArrayLike | Sequence[ArrayLike] | None = None,
    k: SupportsIndex | None = None,
    *,
    mc_preds: ArrayLike | Sequence[ArrayLike] | None = None,
    method: str | Acquisition = "diverse",
    direction: Direction = "higher",
    range: tuple[float, float] | None = None,
    features: ArrayLike | None = None,
    labelled: ArrayLike | None = None,
    pending: ArrayLike | None = None,
    cost: ArrayLike | None = None,
    budget: float | None = None,
    seed: Seed = 0,
    **options: Any,
) -> Index:
    """Choose `k` candidates to label, most wanted first.

    Never returns what is labelled or pending, nor anything twice; the same seed and inputs give the same choice.

    Args:
        scores: `[N]` uncertainty scores; or stacked predictions as in `mc_preds`, told apart by the number of axes.
        k: how many. Fewer come back only where the budget does not pay for more.
        mc_preds: stacked predictions of the whole pool, `[S, N]` values or `[S, N, C]` probabilities: an array, or a
            list of S arrays.
        method: a name from `acquisitions()`.
        direction: which end of the scores is the more uncertain, "higher" or "lower" (as for the margin).
        range: the metric's (lowest, highest) possible score, where known; `Problem.utility` says what for.
        features: `[N, F]` coordinates of the whole pool in which near candidates are alike (inputs, or better a model's
            last layer). Scale matters.
        labelled: indices (or a mask `[N]`) of candidates that have a label.
        pending: indices (or a mask) of candidates being labelled now. The methods that look at more than scores count
            them as part of the batch.
        cost: what labelling each candidate costs, `[N]`. Methods then maximise what they maximise *per unit of cost*.
        budget: the most that the batch may cost. A candidate that no longer fits is passed over.
        seed: an int, `numpy.random.SeedSequence` or `Generator`.
        **options: the method's own, see `get_acquisition(method).options`.

    Returns:
        int64 indices into the pool, at most `k`.

    Raises:
        UnknownAcquisitionError: for a method nobody registered.
        ConfigurationError: if inputs disagree, are missing, not finite, or `k` is more than there are.
        PredictionError: for stacked predictions that are no such thing, or not finite.

    >>> acquire([0.1, 0.9, 0.5, 0.7], k=2, method="top_k", labelled=[1])
    array([3, 2])
    >>> acquire([0.1, 0.9, 0.5, 0.7], k=2, method="top_k", direction="lower")
    array([0, 2])
    """
    chosen = get_acquisition(method)
    chosen.check_options(options)
    span, rng = check.as_scale(direction, range), check.as_generator(seed)
    values, predictions = check.scores_or_predictions(scores, mc_preds)
    array = check.as_features(features)
    given = {"scores": values, "mc_preds": predictions, "features": array}
    _check_needs(chosen, {name for name, value in given.items() if value is not None})
    sizes = {name: len(value) for name, value in (("scores", values), ("features", array)) if value is not None}
    if predictions is not None:
        sizes["mc_preds"] = predictions.candidates
    if cost is not None and np.ndim(cost) > 0:
        sizes["cost"] = len(np.asarray(cost))
    size = check.pool_size(sizes)
    known, waiting = check.as_index("labelled", labelled, size), check.as_index("pending", pending, size)
    free = np.ones(size, dtype=bool)
    free[known] = free[waiting] = False
    available = np.flatnonzero(free).astype(np.int64)
    count = check.as_count(k, len(available))
    check.check_scores(values, available)
    costs, limit = check.as_cost(cost, budget, size)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    problem = Problem(
        k=count,
        size=size,
        available=available,
        labelled=known,
        pending=waiting,
        rng=rng,
        scores=values,
        direction=direction,
        range=span,
        predictions=predictions,
        features=array,
        cost=costs,
        budget=limit,
    )
    return _checked(chosen.name, np.asarray(chosen.select(problem, **options)), problem, free)


def _check_needs(method: Acquisition, given: set[str]) -> None:
    for need in method.needs:
        alternatives = need.split("|")
        if given.isdisjoint(alternatives):
            hint = "rose.scoring computes them from mc_preds" if need == "scores" else "'top_k' and 'power' do without"
            raise ConfigurationError(f"{method.name!r} needs {' or '.join(alternatives)} ({hint})")


def _checked(name: str, chosen: Any, problem: Problem, free: Any) -> Index:
    """Hold every method, those of other packages too, to the contract."""
    if chosen.size == 0:
        return np.empty(0, dtype=np.int64)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or len(chosen) > problem.k:
        raise ConfigurationError(
            f"acquisition {name!r} must return at most {problem.k} indices; it returned {chosen.dtype}{chosen.shape}"
        )
    index: Index = chosen.astype(np.int64)
    if index.min() < 0 or index.max() >= problem.size or not free[index].all() or len(np.unique(index)) < len(index):
        raise ConfigurationError(f"acquisition {name!r} returned a duplicate or an unavailable candidate: {index[:20]}")
    return index
