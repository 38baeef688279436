"""Find how many of an audit may be predicted badly, so that a statement about the pool holds with its confidence.

An audit grows until it shows something, so the bound holds for every size at once: the chance that a pool which is too
bad ever passes is computed exactly, as of a random walk. (A Clopper-Pearson bound at each of the sizes, with its share
of the confidence, would take more labels: the sizes share most of their labels.) Each ensemble that is looked at has
its own part of the error probability; together they spend all of it (Bonferroni).
"""

from __future__ import annotations

import functools
import math

import numpy as np

# How much of a look's error probability is spent by the first passing sizes: with no candidate predicted badly, with
# one, with two, ...; what is in between two of them is bound by the first.
_BY_FAILURES = np.cumsum([0.45, 0.2, 0.12, 0.08, 0.05, 0.04, 0.02, 0.02, 0.01, 0.01])
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
def sizes(population: int, bad: int, alpha: float) -> tuple[int, ...]:
    """Return how large an audit must be to pass with 0, 1, 2, ... of its candidates predicted badly.

    Args:
        population: how many candidates it is drawn from, without replacement.
        bad: so many of them must not be predicted badly.
        alpha: how likely a population of which so many (or more) are may ever pass.

    >>> sizes(1_000_000, 100_000, 0.05)[:3], sizes(900, 100, 0.05)[:3]
    ((37, 56, 74), (32, 50, 65))
    """
    if bad > population:
        return (0,)  # there are not so many
    below = np.zeros(len(_BY_FAILURES))  # how likely it has so many failures, and has not passed
    below[0] = 1.0
    failures = np.arange(len(below))
    found: list[int] = []
    spent = 0.0
    for size in range(1, population + 1):
        next_bad = np.clip((bad - failures) / (population - size + 1), 0.0, 1.0)
        moved = below * next_bad
        below = below - moved
        below[1:] += moved[:-1]
        most = len(found)
        passing = float(below[: most + 1].sum())
        if size > most and spent + passing <= alpha * _BY_FAILURES[most]:
            found.append(size)
            spent += passing
            below[: most + 1] = 0.0
            if len(found) == len(below):
                break
    return tuple(found)


def fewest(bad: float, alpha: float) -> int:
    """Return the smallest audit of a large pool that can pass at the first look: none of it is predicted badly."""
    return math.ceil(math.log(alpha * spent_by(0) * _BY_FAILURES[0]) / math.log1p(-bad) - 1e-9)
