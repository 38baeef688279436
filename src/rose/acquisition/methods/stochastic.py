"""Choose stochastic batches: the scores, perturbed. Nearly free, and hard to beat on redundant pools.

Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron & Gal (2021/2023), "Stochastic Batch Acquisition: A Simple
Baseline for Deep Active Learning". Adding Gumbel noise to log-weights and taking the k largest draws k candidates
without replacement, each draw in proportion to the weights (Vieira 2014; Kool et al. 2019).
"""

from __future__ import annotations

import numpy as np

from rose.acquisition._options import positive
from rose.acquisition.problem import Floats, Index, Problem, largest_first
from rose.acquisition.registry import register_acquisition

_PAPER = "Kirsch et al. 2021, Stochastic Batch Acquisition"


_NEVER = -1e9  # a log-weight below that of all positive numbers: what bears it comes last, in random order


def _power_keys(problem: Problem) -> Floats | None:
    end = problem.range[problem.direction == "lower"] if problem.range is not None else np.inf
    if not np.isfinite(end):
        return None  # the utility is then a distance to the least uncertain of all candidates
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(problem.utility), _NEVER) + problem.rng.gumbel(size=len(problem.available))


def _softmax_keys(problem: Problem) -> Floats:
    return problem.ranking + problem.rng.gumbel(size=len(problem.available))  # a shift of all scores changes nothing


@register_acquisition(
    "power", needs=("scores",), stochastic=True, aliases=("powerbald",), reference=_PAPER, keys=_power_keys
)
def power(problem: Problem, *, beta: float = 1.0) -> Index:
    """Draw k candidates in proportion to utility ** beta.

    Right where a score near its least uncertain end means "nothing to learn here", as for mutual information, entropy
    or variance. The utility is the distance from that end (`Problem.utility`), per unit of cost. Candidates of
    utility 0 come last, in random order.

    >>> from rose.acquisition import acquire
    >>> acquire([0.0, 1e9, 0.0, 1e-9], k=2, method="power")
    array([1, 3])
    """
    with np.errstate(divide="ignore"):
        return _draw(problem, positive("beta", beta) * np.log(problem.utility))


@register_acquisition(
    "softmax", needs=("scores",), stochastic=True, aliases=("softmaxbald",), reference=_PAPER, keys=_softmax_keys
)
def softmax(problem: Problem, *, beta: float = 1.0) -> Index:
    """Draw k candidates in proportion to exp(beta * score), or exp(-beta * score) where lower is more uncertain.

    Makes no assumption on where the scores' zero lies, but `beta` must suit their scale. With costs, the utility per
    unit of cost (`Problem.utility`) takes the score's place.

    >>> from rose.acquisition import acquire
    >>> acquire([0.0, 100.0, 0.0, 50.0], k=2, method="softmax")
    array([1, 3])
    """
    return _draw(problem, positive("beta", beta) * problem.utility)


@register_acquisition(
    "softrank", needs=("scores",), stochastic=True, aliases=("softrankbald",), reference=_PAPER, ranks_only=True
)
def softrank(problem: Problem, *, beta: float = 1.0) -> Index:
    """Draw k candidates in proportion to rank ** -beta, the most uncertain having rank 1.

    Uses nothing but the order, so it suits any score. Ties get consecutive ranks, in an order that the seed draws. With
    costs, the rank is that of the utility per unit of cost.

    >>> from rose.acquisition import acquire
    >>> acquire([0.1, 0.4, 0.2, 0.3], k=2, method="softrank", beta=50.0)
    array([1, 3])
    """
    order = largest_first(problem.ranking, len(problem.available))
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    return _draw(problem, -positive("beta", beta) * np.log(rank))


def _draw(problem: Problem, log_weight: Floats) -> Index:
    """Draw by Gumbel top-k; a log-weight of -inf comes after all others, in random order."""
    noise = problem.rng.gumbel(size=len(log_weight))
    keys = log_weight + noise
    order = np.lexsort((-noise, -keys))  # the second key orders those at -inf
    return problem.available[problem.within_budget(order)]
