"""Choose which candidates to label next: `acquire`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rose.acquisition import _check as check
from rose.acquisition._check import Seed
from rose.acquisition.by_task import for_task
from rose.acquisition.methods.geometry import blocks
from rose.acquisition.methods.top import top_k
from rose.acquisition.predictions import Predictions
from rose.acquisition.problem import Direction, Index, Problem
from rose.acquisition.registry import Acquisition
from rose.acquisition.ties import candidate_keys, drawn_order
from rose.arrays import as_array
from rose.errors import ConfigurationError


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
    ids: ArrayLike | None = None,
    warn: bool | Callable[[str], None] = True,
    **options: Any,
) -> Index:
    """Choose `k` candidates to label, most wanted first.

    Never returns what is labelled or pending, nor anything twice; the same seed and inputs give the same choice. Among
    equals the seed draws. Arrays may be of any library: NumPy, lists, pandas, torch, CuPy, JAX (`rose.arrays`).

    Where all members predict exactly alike, methods that look at how predictions differ go by the features, or without
    any by the score and then by the seed, and a `UserWarning` says so; as where all scores or features are equal.

    Args:
        scores: `[N]` uncertainty scores; or stacked predictions as in `mc_preds`, told apart by the number of axes.
        k: how many. Fewer come back only where the budget does not pay for more.
        mc_preds: stacked predictions of the whole pool, `[S, N]` values or `[S, N, C]` probabilities: an array, or a
            list of S arrays.
        method: a name from `acquisitions()`.
        direction: which end of the scores is the more uncertain, "higher" or "lower" (as for the margin).
        range: the metric's (lowest, highest) possible score, where known; `Problem.utility` says what for. One value
            twice is no range, unless all scores are equal.
        features: `[N, F]` coordinates of the whole pool in which near candidates are alike (inputs, or better a model's
            last layer). Scale matters.
        labelled: indices (or a mask `[N]`) of candidates that have a label.
        pending: indices (or a mask) of candidates being labelled now. The methods that look at more than scores count
            them as part of the batch.
        cost: what labelling each candidate costs, `[N]`. Methods then maximise what they maximise *per unit of cost*.
        budget: the most that the batch may cost. A candidate that no longer fits is passed over.
        seed: an int, `numpy.random.SeedSequence` or `Generator`.
        ids: `[N]` whole numbers that tell candidates apart (their positions if not given): who of equals goes first is
            drawn by the seed and the id alone, so that part of a pool, with its ids, settles ties as the whole does.
        warn: whether to warn where members predict alike, all scores or features are equal, or "batchbald" has nothing
            left to learn; or a function that is told instead, a text each.
        **options: the method's own, see `get_acquisition(method).options`.

    Returns:
        int64 indices into the pool, at most `k`.

    Raises:
        UnknownAcquisitionError: for a method nobody registered.
        ConfigurationError: if inputs disagree, are missing, too few members or of the wrong kind for the method, not
            finite, or `k` is more than there are.
        PredictionError: for stacked predictions that are no such thing, or not finite.

    >>> acquire([0.1, 0.9, 0.5, 0.7], k=2, method="top_k", labelled=[1])
    array([3, 2])
    >>> acquire([0.1, 0.9, 0.5, 0.7], k=2, method="top_k", direction="lower")
    array([0, 2])
    """
    span, rng = check.as_scale(direction, range), check.as_generator(seed)
    values, predictions = check.scores_or_predictions(scores, mc_preds)
    chosen = for_task(method, None if predictions is None else predictions.task)
    chosen.check_options(options)
    array, costs = check.as_features(features), check.as_costs(cost)
    names = None if ids is None else as_array(ids, "ids")
    there = _there(scores=values, mc_preds=predictions, features=array)
    _check_needs(chosen, predictions, there)
    size = check.pool_size(scores=values, mc_preds=predictions, features=array, cost=costs, ids=names)
    keys = candidate_keys(rng, size, names)
    known, waiting = check.as_mask("labelled", labelled, size), check.as_mask("pending", pending, size)
    free = ~(known | waiting)
    count = check.as_count(k, int(free.sum()))
    check.check_scores(values, free, span)
    costs, limit = check.as_budget(costs, budget, size)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    said: list[tuple[str, type[Warning]]] = []
    problem = Problem(
        k=count,
        size=size,
        available=drawn_order(keys, free),
        labelled=drawn_order(keys, known),
        pending=drawn_order(keys, waiting),
        rng=rng,
        scores=values,
        direction=direction,
        range=span,
        predictions=predictions,
        features=array,
        cost=costs,
        budget=limit,
        say=lambda message, category: said.append((message, category)),
    )
    answer = _select(chosen, problem, there, options, bool(warn))
    for message, category in said:
        if callable(warn):
            warn(message)
        elif warn:
            warnings.warn(message, category, stacklevel=2)
    return _checked(chosen.name, answer, problem, free)


def _there(**inputs: object) -> set[str]:
    return {name for name, value in inputs.items() if value is not None}


def _check_needs(method: Acquisition, predictions: Predictions | None, there: set[str]) -> None:
    task, members = (None, None) if predictions is None else (predictions.task, predictions.members)
    objection = method.objection(task, members, there)
    if objection is not None:
        raise ConfigurationError(objection)


def _select(method: Acquisition, problem: Problem, there: set[str], options: dict[str, Any], warn: bool) -> Any:
    """Let the method choose; where it looks at how predictions differ and they do not, by what else there is."""
    warn = warn and problem.k < len(problem.available)
    if warn:
        _say_if_equal(method, problem, there)
    predictions = problem.predictions
    if predictions is None or method.min_samples == 1:
        return method.select(problem, **options)
    samples = predictions.members
    alike = method.takes("mc_preds", there, samples) and predictions.alike(problem.available)
    if alike or samples < method.min_samples:
        problem = replace(problem, predictions=None)
    serves = method.objection(None, 1 if alike else samples, there) is None
    if alike and method.task == "classification":
        predictions.mean(problem.available)  # raises where they are no probabilities
    if alike and warn:
        _say_alike(method, problem, "the features" if serves else "the score" if "scores" in there else "", there)
    return method.select(problem, **options) if serves else _by_score(problem)


def _by_score(problem: Problem) -> Index:
    return top_k(problem if problem.scores is not None else replace(problem, scores=np.zeros(problem.size)))


def _say_alike(method: Acquisition, problem: Problem, by: str, there: set[str]) -> None:
    features = method.wants("features") and "features" not in there
    problem.say(
        f"all members predict alike: {method.name!r} sees no difference between predictions, and goes by "
        f"{by + ', then by ' if by else ''}the seed. Give members that differ (other seeds, bootstraps or kinds of "
        f"model){', or features (the candidates themselves, say)' if features else ''}",
        UserWarning,
    )


def _say_if_equal(method: Acquisition, problem: Problem, there: set[str]) -> None:
    """Say if scores or features are equal: that is no failure, but whoever has given them should know."""
    n = len(problem.available)
    if method.needs == ("scores",) and not method.uses and _all_equal(problem.scores, problem.available):
        problem.say(f"the scores of all {n} candidates are equal: {method.name!r} goes by the seed", UserWarning)
    if method.takes("features", there) and _all_equal(problem.features, problem.available):
        problem.say(f"the features of all {n} candidates are equal: they tell {method.name!r} nothing", UserWarning)


def _all_equal(values: NDArray[Any] | None, index: Index) -> bool:
    """Tell whether these rows are copies of one; where they are not, it hardly takes more than a look."""
    if values is None:
        return False
    return all((values[index[block]] == values[index[0]]).all() for block in blocks(index, values[:1].size))


def _checked(name: str, answer: Any, problem: Problem, free: Any) -> Index:
    """Check that what a method chose, of another package too, keeps the contract."""
    chosen = as_array(answer, f"what acquisition {name!r} returned")
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
