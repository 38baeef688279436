"""Choose uncertain *and* spread out: cluster the most uncertain candidates, take one of each cluster."""

from __future__ import annotations

import math

import numpy as np

from rose.acquisition._options import at_least, whole
from rose.acquisition.methods.kmeans import kmeans
from rose.acquisition.problem import Index, Problem, largest_first
from rose.acquisition.registry import register_acquisition


@register_acquisition(
    "diverse",
    needs=("scores", "features|mc_preds"),
    uses=("pending",),
    stochastic=True,
    min_samples=2,
    aliases=("kmeans", "cluster"),
    reference="Zhdanov 2019, Diverse mini-batch Active Learning",
)
def diverse(problem: Problem, *, beta: float = 10.0, weighted: bool = True, restarts: int = 1) -> Index:
    """One candidate of each of k clusters of the beta * k most uncertain ones.

    Prefilters by score, clusters what is left by k-means on the features (without any, on the centred stacked
    predictions) and takes the candidate nearest to each centre; most uncertain first. Pending candidates are centres
    that stay where they are, and answer for what is around them. With costs, utility per unit of cost takes the score's
    place throughout. Where there are fewer than k distinct candidates, or the budget passes some over, the most
    uncertain of the rest fill up.

    Args:
        problem: the question.
        beta: how many times k candidates enter the clustering; 1 is "top_k".
        weighted: weigh candidates by their utility in the clustering.
        restarts: k-means runs, of which the best counts.

    >>> from rose.acquisition import acquire
    >>> x = [[0.0], [0.1], [5.0], [5.1], [9.0]]
    >>> sorted(acquire([0.9, 0.8, 0.7, 0.6, 0.0], k=2, features=x, beta=2).tolist())
    [0, 2]
    """
    beta, restarts = at_least("beta", 1, beta), whole("restarts", restarts)
    count = min(len(problem.available), math.ceil(beta * problem.k))
    order = largest_first(problem.ranking, len(problem.available) if problem.budget is not None else count)
    short = order[:count]
    if count == problem.k:
        return problem.available[problem.within_budget(order)]
    weights = problem.utility[short] if weighted else np.ones(count)
    weights = weights / weights.max() if weights.max() > 0 else np.ones(count)
    points = problem.embedding(np.concatenate([problem.available[short], problem.pending]))
    cluster, distance = kmeans(points[:count], problem.k, weights, problem.rng, restarts, fixed=points[count:])
    # `short` is sorted by preference: the first of equals is the most uncertain, then the one that the seed prefers
    by_distance = np.argsort(distance, kind="stable")
    found, first = np.unique(cluster[by_distance], return_index=True)
    chosen = np.zeros(count, dtype=bool)
    chosen[by_distance[first[found >= 0]]] = True
    return problem.available[problem.within_budget(np.concatenate([short[chosen], short[~chosen], order[count:]]))]
