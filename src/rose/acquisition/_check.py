"""Turn a caller's arguments into a `Problem`, or into an error that says what to change."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rose.acquisition.predictions import Predictions, as_floats
from rose.acquisition.problem import Direction, Floats
from rose.arrays import as_array, as_numbers
from rose.errors import ConfigurationError

Seed = int | np.random.SeedSequence | np.random.Generator


def scores_or_predictions(first: Any, mc_preds: Any) -> tuple[Floats | None, Predictions | None]:
    """Tell `[N]` scores from `[S, N]` / `[S, N, C]` stacked predictions by their number of axes.

    Raises:
        ConfigurationError: for anything else, or predictions given twice.
    """
    scores: Floats | None = None
    if first is not None:
        axes = _axes(first)
        if axes == 1:
            scores = _reals("scores", first)
        elif axes not in (2, 3):
            raise ConfigurationError(
                f"the first argument has {axes} axes; give [N] scores, or [S, N] or [S, N, C] stacked predictions"
            )
        elif mc_preds is not None:
            raise ConfigurationError("stacked predictions given twice: as the first argument and as mc_preds=")
        else:
            mc_preds = first
    return scores, None if mc_preds is None else Predictions.of(mc_preds)


def _reals(name: str, given: ArrayLike) -> Floats:
    return as_numbers(given, name).astype(np.float64, copy=False)


def _axes(first: Any) -> int:
    if isinstance(first, list | tuple):
        return 1 + (_axes(first[0]) if first else 0)  # of a list of arrays, Predictions compares the shapes
    axes = getattr(first, "ndim", None)
    return axes if isinstance(axes, int) else as_array(first, "the first argument").ndim


def as_features(features: ArrayLike | None) -> NDArray[Any] | None:
    """Return `[N, F]`, float32 or float64; further axes (images, time series) are flattened.

    Raises:
        ConfigurationError: if there are no axes or it is no array of numbers.
    """
    if features is None:
        return None
    array = as_numbers(features, "features")
    if array.ndim == 0:
        raise ConfigurationError(f"features must be [N, F] numbers, not one number, {array}")
    if 0 in array.shape[1:]:
        raise ConfigurationError(f"features of shape {array.shape} have no columns: nothing tells candidates apart")
    array = as_floats(array)
    return array.reshape(len(array), int(np.prod(array.shape[1:])))


def pool_size(**inputs: Any) -> int:
    """Return N, on which all inputs that have one must agree.

    Raises:
        ConfigurationError: if they do not, or nothing was given.
    """
    given: dict[str, int] = {}
    for name, value in inputs.items():
        if isinstance(value, Predictions):
            given[name] = value.candidates
        elif value is not None and _axes(value) > 0:
            given[name] = len(value)
    if not given:
        raise ConfigurationError("nothing says how many candidates there are: give scores, mc_preds, features or cost")
    if len(set(given.values())) > 1:
        sizes = ", ".join(f"{name} has {n}" for name, n in given.items())
        raise ConfigurationError(f"the inputs disagree on the number of candidates: {sizes}")
    return next(iter(given.values()))


def as_mask(name: str, given: ArrayLike | None, size: int) -> NDArray[np.bool_]:
    """Tell which candidates are meant `[size]`, by indices or by a boolean mask `[N]`.

    Raises:
        ConfigurationError: if an index is out of range, or the array is no list of integers.
    """
    mask = np.zeros(size, dtype=bool)
    if given is None:
        return mask
    array = as_array(given, name)
    if array.dtype.kind == "O":  # a column that has room for what is missing
        array = np.array(array.tolist())
    if array.dtype == bool:
        if array.shape != (size,):
            raise ConfigurationError(f"{name} is a mask of shape {array.shape}; there are {size} candidates")
        return array
    if array.size == 0:
        return mask
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ConfigurationError(
            f"{name} must be a list of indices or a mask [N], not {array.dtype} of shape {array.shape}"
        )
    outside = array[(array < 0) | (array >= size)]
    if len(outside):
        raise ConfigurationError(f"{name} holds index {outside[0]}; there are {size} candidates (0 to {size - 1})")
    mask[array] = True
    return mask


def as_count(k: SupportsIndex | None, available: int) -> int:
    """Return how many to choose.

    Raises:
        ConfigurationError: if it is no whole number, negative, or more than there are.
    """
    if k is None or isinstance(k, bool):
        raise ConfigurationError(f"k={k!r}; say how many candidates to choose")
    try:
        count = operator.index(k)
    except TypeError:
        raise ConfigurationError(f"k={k!r} is no whole number") from None
    if count < 0:
        raise ConfigurationError(f"k={count} is negative")
    if count > available:
        raise ConfigurationError(f"k={count}, but only {available} candidates are neither labelled nor pending")
    return count


def check_scores(scores: Floats | None, free: NDArray[np.bool_], span: tuple[float, float] | None) -> None:
    """Refuse NaN scores of candidates that could be chosen, and a range of one value where theirs differ.

    Raises:
        ConfigurationError: naming the first such candidate, or the range.
    """
    if scores is None or not free.any():
        return
    nan = free & np.isnan(scores)
    if nan.any():
        raise ConfigurationError(f"the scores of {nan.sum()} candidates are NaN, the first is {np.argmax(nan)}")
    if span is not None and span[0] == span[1] and scores[free].min() < scores[free].max():
        raise ConfigurationError(
            f"range={span!r} must be the lowest and the highest possible score; it is one value, and the scores differ"
        )


def as_costs(cost: ArrayLike | None) -> Floats | None:
    """Return what each candidate costs (`[N]`, or one number for all), if anything.

    Raises:
        ConfigurationError: if it is no number, and no list of them.
    """
    costs = None if cost is None else _reals("cost", cost)
    if costs is not None and costs.ndim > 1:
        raise ConfigurationError(f"cost must be one number a candidate, [N], not of shape {costs.shape}")
    return costs


def as_budget(costs: Floats | None, budget: float | None, size: int) -> tuple[Floats | None, float | None]:
    """Return what each candidate costs, `[size]`, and what may be spent.

    Raises:
        ConfigurationError: if a cost is not positive and finite, or there is a budget but no cost.
    """
    if costs is None:
        if budget is not None:
            raise ConfigurationError("budget= needs cost=, what each candidate costs")
        return None, None
    costs = np.broadcast_to(costs, (size,))
    wrong = ~(np.isfinite(costs) & (costs > 0))
    if wrong.any():
        at = np.flatnonzero(wrong)[0]
        raise ConfigurationError(f"cost of candidate {at} is {costs[at]}; costs must be positive and finite")
    if budget is not None and not (isinstance(budget, Real) and budget >= 0):
        raise ConfigurationError(f"budget={budget!r} must be 0 or more")
    return costs, None if budget is None else float(budget)


def as_scale(direction: Direction, span: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the scores' direction, and their (lowest, highest) possible value, as floats.

    Raises:
        ConfigurationError: if the direction is no direction, or the range no range.
    """
    if direction not in ("higher", "lower"):
        raise ConfigurationError(f"direction={direction!r}; say 'higher' or 'lower'")
    if span is None:
        return None
    try:
        low, high = (float(end) for end in span)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (low < high or (low == high and np.isfinite(low))):  # one value: of scores that are all equal
        raise ConfigurationError(f"range={span!r} must be the lowest and the highest possible score")
    return low, high


def as_generator(seed: Seed) -> np.random.Generator:
    """Return what draws, from whatever seeds it.

    Raises:
        ConfigurationError: for None (a choice must be repeatable), negative numbers, and what is no seed.
    """
    try:
        if seed is None:
            raise TypeError
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"seed={seed!r} must be a whole number of 0 or more, a SeedSequence or a Generator"
        ) from None
