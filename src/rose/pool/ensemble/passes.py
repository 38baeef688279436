"""Hold what one member says of some samples in one stochastic pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rose.arrays import as_array, probability_tolerance
from rose.errors import PredictionError
from rose.stages.estimators import Members


class Gaussian(NamedTuple):
    """Hold what a prediction function says that returns `(mean, variance)`, so how sure the member is: `[n]` each."""

    mean: np.ndarray
    variance: np.ndarray


# `[n, C]` probabilities, `[n]` values (`[n, D]` with several outputs), or a mean and a variance of each value.
Passed = np.ndarray | Gaussian


def as_passed(result: Any, name: str = "the prediction") -> Passed | Members:
    """Return what a prediction function or command gave, as NumPy's arrays: a tuple of two is a mean and a variance.

    Raises:
        PredictionError: if it is no array, or members' predictions are not one array for all of them; messages call it
            `name`.
    """
    if isinstance(result, Members):
        values, spread = np.asarray(result.values), result.variances
        if values.ndim not in (2, 3) or not len(values) or (spread is not None and np.shape(spread) != values.shape):
            raise PredictionError(
                f"{name}: predict_members must give [S, n, C] probabilities or [S, n] (or [S, n, D]) values, and "
                f"variances of the same shape; got {list(values.shape)}"
            )
        return Members(values, None if spread is None else np.asarray(spread))
    if isinstance(result, tuple) and len(result) == 2:
        return Gaussian(_array(result[0], f"{name} (its mean)"), _array(result[1], f"{name} (its variance)"))
    return _array(result, name)


def _array(value: Any, name: str) -> np.ndarray:
    array = as_array(value, name, PredictionError)
    return _exactly(array, probability_tolerance(value)) if "bfloat16" in str(getattr(value, "dtype", "")) else array


def _exactly(array: np.ndarray, tolerance: float) -> np.ndarray:
    """Return probabilities of a type which NumPy lacks, with the rounding of that type taken out.

    What looks at them later cannot know that they are so coarse.
    """
    if array.ndim != 2 or array.size == 0:
        return array
    sums = array.sum(axis=1, keepdims=True)
    probable = bool((array >= -tolerance).all() and (np.abs(sums - 1.0) <= tolerance).all())
    return np.asarray(array / sums) if probable else array


def by_member(one: Passed | Members) -> list[Passed]:
    """Return a pass of each member of a model that is an ensemble; of another model, its pass."""
    if not isinstance(one, Members):
        return [one]
    if one.variances is None:
        return list(one.values)
    return [Gaussian(*both) for both in zip(one.values, one.variances, strict=True)]


def joined(blocks: Sequence[list[Passed]]) -> list[Passed]:
    """Return the blocks of one pass, of each member, as one."""
    return [_joined(of_member) for of_member in zip(*blocks, strict=True)]


def _joined(blocks: Sequence[Passed]) -> Passed:
    if len(blocks) == 1:
        return blocks[0]
    spreads = variances(blocks)
    mean = np.concatenate(means(blocks))
    return mean if spreads is None else Gaussian(mean, np.concatenate(spreads))


def means(passes: Sequence[Passed]) -> list[np.ndarray]:
    """Return the predictions themselves, without variances."""
    return [one.mean if isinstance(one, Gaussian) else one for one in passes]


def variances(passes: Sequence[Passed]) -> list[np.ndarray] | None:
    """Return the members' own variances, where all give them."""
    spreads = [one.variance for one in passes if isinstance(one, Gaussian)]
    return spreads if passes and len(spreads) == len(passes) else None


def mapped(one: Passed, change: Callable[[np.ndarray], np.ndarray]) -> Passed:
    """Return a pass with its arrays changed alike."""
    return Gaussian(change(one.mean), change(one.variance)) if isinstance(one, Gaussian) else change(one)


def first_rows(one: Passed, count: int) -> Passed:
    """Return the first `count` samples of a pass."""
    return mapped(one, lambda array: array[:count])


def alike(passes: Sequence[Passed]) -> bool:
    """Return whether all say exactly the same of every sample: their disagreement then says nothing.

    One pass is alike by itself.
    """
    first, *others = means(passes)
    some = slice(_LOOK)  # those that differ mostly do so in the first rows
    return all(np.array_equal(first[some], other[some]) for other in others) and all(
        np.array_equal(first, other) for other in others
    )


_LOOK = 64
