"""What one member says of some samples in one stochastic pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Gaussian(NamedTuple):
    """A prediction function that returns `(mean, variance)` tells how sure the member itself is: `[n]` each."""

    mean: np.ndarray
    variance: np.ndarray


# `[n, C]` probabilities, `[n]` values (`[n, D]` with several outputs), or a mean and a variance of each value.
Passed = np.ndarray | Gaussian


def as_passed(result: Any) -> Passed:
    """What a prediction function or command gave: a tuple of two is a mean and a variance."""
    if isinstance(result, tuple) and len(result) == 2:
        return Gaussian(np.asarray(result[0]), np.asarray(result[1]))
    return np.asarray(result)


def joined(blocks: Sequence[Passed]) -> Passed:
    """The blocks of one pass as one."""
    if len(blocks) == 1:
        return blocks[0]
    spreads = variances(blocks)
    mean = np.concatenate(means(blocks))
    return mean if spreads is None else Gaussian(mean, np.concatenate(spreads))


def means(passes: Sequence[Passed]) -> list[np.ndarray]:
    """The predictions themselves."""
    return [one.mean if isinstance(one, Gaussian) else one for one in passes]


def variances(passes: Sequence[Passed]) -> list[np.ndarray] | None:
    """The members' own variances, where all give them."""
    spreads = [one.variance for one in passes if isinstance(one, Gaussian)]
    return spreads if len(spreads) == len(passes) else None


def first_rows(one: Passed, count: int) -> Passed:
    """The first `count` samples of a pass."""
    return Gaussian(one.mean[:count], one.variance[:count]) if isinstance(one, Gaussian) else one[:count]
