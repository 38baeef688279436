"""Choose what is uncertain, but some candidates for being far from everything that is known: the guard against lock-in.

A classifier that is sure and wrong somewhere is never asked there by its own uncertainty. A share of the labels goes
to the farthest candidates (Sener & Savarese 2018), the others to facility location (Wei, Iyer & Bilmes 2015).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from rose.acquisition._options import at_least
from rose.acquisition.methods.facility import facility_location
from rose.acquisition.methods.kcenter import kcenter
from rose.acquisition.problem import Index, Problem
from rose.acquisition.registry import register_acquisition


@register_acquisition(
    "exploring",
    needs=("scores", "features|mc_preds"),
    uses=("labelled", "pending"),
    min_samples=2,
    prefilter=100.0,
    reference="Wei, Iyer & Bilmes 2015; Sener & Savarese 2018",
)
def exploring(problem: Problem, *, explore: float = 0.25, beta: float = 20.0, width: float = 0.3) -> Index:
    """Choose by "facility_location", and a share of the labels by "kcenter": farthest from all that is known.

    The share is of all labels so far, so that batches of one explore as often as large ones. Without features all
    are chosen by "facility_location": far by the predictions is where these differ already. With a budget, each part
    has its share of it first.

    Args:
        problem: the question.
        explore: the share of labels that goes to the farthest candidates, from 0 to 1.
        beta: an option of "facility_location".
        width: an option of "facility_location".

    >>> from rose.acquisition import acquire
    >>> x = [[0.0], [0.1], [0.2], [5.0], [5.1], [9.0], [99.0]]
    >>> acquire([0.7, 0.9, 0.8, 0.7, 0.6, 0.9, 0.0], k=3, features=x, method="exploring", labelled=[5])
    array([1, 3, 6])
    """
    explore = min(1.0, at_least("explore", 0, explore))
    known = len(problem.labelled) + len(problem.pending)
    far = math.floor((known + problem.k) * explore) - math.floor(known * explore)
    if problem.features is None or not far:
        return facility_location(problem, beta=beta, width=width)
    budget = None if problem.budget is None else problem.budget * (1.0 - explore)
    near = replace(problem, k=problem.k - far, budget=budget)
    chosen = facility_location(near, beta=beta, width=width) if near.k else np.empty(0, dtype=np.int64)
    left = None
    if problem.budget is not None and problem.cost is not None:
        left = problem.budget - float(problem.cost[chosen].sum())
    rest = replace(
        problem,
        k=problem.k - len(chosen),
        available=problem.available[~np.isin(problem.available, chosen)],
        pending=np.concatenate([problem.pending, chosen]),
        budget=left,
    )
    return np.concatenate([chosen, kcenter(rest)])
