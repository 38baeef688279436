"""Choose by what serves the task: the default of learners with a pool."""

from __future__ import annotations

import numpy as np

from rose.acquisition.problem import Index, Problem
from rose.acquisition.registry import Acquisition, get_acquisition, register_acquisition

AUTO = "auto"

_FOR = {"regression": "alc", "classification": "exploring"}


@register_acquisition(
    AUTO,
    needs=("mc_preds|features",),
    uses=("scores", "features", "labelled", "pending"),
    stochastic=True,
    min_samples=2,
    prefilter=500.0,
    aliases=("default",),
    reference="docs/guide/choosing.md",
)
def auto(problem: Problem) -> Index:
    """Choose by what serves the task: "alc" for values, "exploring" for classes.

    >>> from rose.acquisition import acquire
    >>> x = [[0.0], [0.4], [0.5], [0.6], [1.0], [9.0]]
    >>> acquire(features=x, k=2, method="auto", labelled=[4])
    array([1, 5])
    """
    found = problem.predictions if problem.scores is not None else None
    task = "regression" if found is None else found.task
    return np.asarray(for_task(AUTO, task).select(problem))


def for_task(method: str | Acquisition, task: str | None) -> Acquisition:
    """Return a method by name, and for "auto" what it stands for where the task is known.

    >>> [for_task("auto", task).name for task in ("classification", "regression", None)]
    ['exploring', 'alc', 'auto']
    """
    found = get_acquisition(method)
    return get_acquisition(_FOR[task]) if found.name == AUTO and task in _FOR else found
