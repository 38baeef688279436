"""Keep of each part of a pool what a batch needs to be chosen of all parts together."""

from __future__ import annotations

import math

import numpy as np

from rose.acquisition.problem import Direction, Floats, Problem
from rose.acquisition.registry import Acquisition


def kept_of_part(method: Acquisition, k: int) -> int:
    """Return how many of its most uncertain candidates a part keeps for a batch of `k`.

    >>> from rose.acquisition import get_acquisition
    >>> kept_of_part(get_acquisition("top_k"), 5), kept_of_part(get_acquisition("diverse"), 5)
    (5, 50)
    """
    return math.ceil(method.prefilter * k)


def keys_of_part(
    method: Acquisition, scores: Floats, direction: Direction, range: tuple[float, float] | None, seed: int
) -> Floats | None:
    """Return a key for each candidate of a part, `[n]`: the k largest of all parts are the batch.

    None: the method has none, and chooses among the most uncertain.

    Args:
        method: the method.
        scores: `[n]` scores of the part.
        direction: which end of them is the more uncertain.
        range: the metric's (lowest, highest) possible score.
        seed: of this part alone.

    >>> from rose.acquisition import get_acquisition
    >>> keys_of_part(get_acquisition("lcmd"), np.ones(3), "higher", None, 0) is None
    True
    """
    if method.keys is None:
        return None
    n = len(scores)
    nobody = np.empty(0, dtype=np.int64)
    rng = np.random.default_rng(seed)
    return method.keys(
        Problem(
            k=n, size=n, available=np.arange(n), labelled=nobody, pending=nobody, rng=rng, scores=scores,
            direction=direction, range=range,
        )
    )  # fmt: skip


def draws_by_keys(method: Acquisition, direction: Direction, range: tuple[float, float] | None) -> bool:
    """Tell whether a method gives the candidates of a part keys, for scores of this direction and range.

    >>> from rose.acquisition import get_acquisition
    >>> power = get_acquisition("power")
    >>> draws_by_keys(power, "higher", (0.0, math.inf)), draws_by_keys(power, "higher", None)
    (True, False)
    """
    ends = [end for end in range or () if math.isfinite(end)]
    return keys_of_part(method, np.array([*ends, 0.0][:1]), direction, range, 0) is not None
