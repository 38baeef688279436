"""Find how many of an audit may be predicted badly, so that a statement about the pool holds with its confidence.

An audit grows until it shows something, so the bound holds for every size at once: the chance that a pool which is too
bad ever passes is computed exactly, as of a random walk. (A Clopper-Pearson bound at each of the sizes, with its share
of the confidence, would take more labels: the sizes share most of their labels.) Each ensemble that is looked at has
its own part of the error probability; together they spend all of it (Bonferroni).
"""

from __future__ import annotations

import functools

import numpy as np

# How much of a look's error probability is spent by the first passing sizes: with no candidate predicted badly, with
# one, with two, ...; what is in between two of them is bound by the first.
_BY_FAILURES = np.cumsum([0.55, 0.2, 0.1, 0.06, 0.04, 0.02, 0.01, 0.01, 0.005, 0.005])
_BY_LOOK = (0.55, 0.2, 0.1, 0.06, 0.04, 0.02, 0.015, 0.01)  # what each look may spend; the later ones halve


def spent_by(look: int) -> float:
    """Return the part of the error probability that a look (from 0) may spend; all together they spend less than 1.

    >>> spent_by(0), sum(map(spent_by, range(100))) < 1
    (0.55, True)
    """
    if look < len(_BY_LOOK):
        return _BY_LOOK[look]
    return 0.0025 * 0.5 ** (look - len(_BY_LOOK))


@functools.lru_cache(maxsize=1024)
def sizes(bad: float, alpha: float) -> tuple[int, ...]:
    """Return how large an audit must be to pass with 0, 1, 2, ... of its candidates predicted badly.

    Args:
        bad: the share of the pool that must not be predicted badly, between 0 and 1.
        alpha: how likely a pool of which that share or more is predicted badly may ever pass.

    >>> sizes(0.1, 0.05)[:3]
    (35, 55, 76)
    """
    below = np.zeros(len(_BY_FAILURES))  # how likely it has so many failures, and has not passed
    below[0] = 1.0
    found: list[int] = []
    size, spent = 0, 0.0
    while len(found) < len(below):
        size += 1
        below[1:] = below[1:] * (1.0 - bad) + below[:-1] * bad
        below[0] *= 1.0 - bad
        failures = len(found)
        passing = float(below[: failures + 1].sum())
        if size > failures and spent + passing <= alpha * _BY_FAILURES[failures]:
            found.append(size)
            spent += passing
            below[: failures + 1] = 0.0
    return tuple(found)


def fewest(bad: float, alpha: float) -> int:
    """Return the smallest audit that can pass at the first look."""
    return sizes(round(bad, 12), round(alpha * spent_by(0), 12))[0]
