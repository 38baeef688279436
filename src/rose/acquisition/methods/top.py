"""Choose by the two baselines: the most uncertain candidates, and any candidates."""

from __future__ import annotations

from rose.acquisition.problem import Floats, Index, Problem, largest_first
from rose.acquisition.registry import register_acquisition


@register_acquisition(
    "top_k",
    needs=("scores",),
    aliases=("topk", "top", "greedy"),
    reference="Lewis & Gale 1994",
    prefilter=1.0,
    ranks_only=True,
)
def top_k(problem: Problem) -> Index:
    """Take the k most uncertain candidates.

    Among equals the seed draws. The batch may hold k copies of one question: on redundant pools prefer "diverse" or a
    stochastic method. With costs: the largest utility per unit of cost first.

    >>> from rose.acquisition import acquire
    >>> acquire([0.2, 0.8, 0.9], k=2, method="top_k")
    array([2, 1])
    """
    wanted = problem.k if problem.budget is None else len(problem.available)
    return problem.available[problem.within_budget(largest_first(problem.ranking, wanted))]


def _any(problem: Problem) -> Floats:
    return problem.rng.random(len(problem.available))


@register_acquisition("random", needs=(), stochastic=True, aliases=("uniform",), keys=_any, ranks_only=True)
def random(problem: Problem) -> Index:
    """Any k candidates, each as likely as the others.

    Costs do not change how likely a candidate is; under a budget, one that no longer fits is passed over.

    >>> from rose.acquisition import acquire
    >>> len(acquire([0.2, 0.9, 0.9], k=2, method="random"))
    2
    """
    return problem.available[problem.within_budget(problem.rng.permutation(len(problem.available)))]
