"""Run acquisitions by seeds side by side, with common labels, first samples and first models: `rose.compare`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rose import metrics
from rose.acquisition import get_acquisition
from rose.comparison._curves import Comparison
from rose.errors import ConfigurationError
from rose.learners.uq import UQLearner
from rose.paths import expanded
from rose.pool.ensemble.columns import task_of_labels
from rose.pool.judging.holdout import check_holdout_metric
from rose.pool.pool import Pool
from rose.stages.config import UQLearnerConfig
from rose.stages.stage import Registered, StopCriterion

Ways = Mapping[str, str | UQLearnerConfig]


def compare(
    learner: UQLearner[Any],
    acquisitions: Sequence[str] | Ways | None = None,
    *,
    seeds: int | Sequence[int] = 5,
    metric: str | None = None,
    control: str = "random",
    model_names: Sequence[str] | None = None,
    num_predictions: int = 1,
    max_iter: int = 0,
    budget: int | None = None,
    run_dir: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Compare ways to choose, on a learner with a pool: each with each seed, all in one run on the learner's engine.

    A candidate is simulated once for all. Workflows of one seed begin with the same samples (where the pool draws them)
    and the same models, so that they differ in nothing but how they choose: differences are paired by seed. Nothing
    stops early: the learner's criterion is measured, and its thresholds do not count.

    Args:
        learner: what is compared on; it stays as it is. An engine that it was given is closed at the end, as by `run`.
        acquisitions: names from `rose.acquisition.acquisitions()`; or by any names, an acquisition or the configuration
            of a workflow, which may have its own metric and query size. None: the learner's own.
        seeds: how many, or which.
        metric: of the hold-out, such as "model_accuracy"; None: the learner's stop criterion; without one, accuracy or
            the root mean squared error.
        control: what all are compared with; it is added where it is not among them.
        model_names, num_predictions: as in `learner.run`.
        max_iter, budget: where the curves end; one of them is needed.
        run_dir: where the run is kept, and resumed; None: a temporary directory, not the learner's own.

    Returns:
        The curves, a table of them (`print(comparison)`, `to_frame()`) and a picture (`picture(path)`).

    Raises:
        ConfigurationError and its kinds: if there is no pool, nothing to measure or no end, and as `learner.run`.
        RunFailedError: when all have ended, if a workflow failed.

    Example:
        >>> import numpy as np, rose
        >>> from sklearn.neighbors import KNeighborsRegressor
        >>> X = np.linspace(0.0, 1.0, 60)[:, None]
        >>> pool = rose.Pool(X, initial=6, holdout=(X[::3], X[::3, 0] ** 3))
        >>> learner = rose.SeqUQLearner(1, pool=pool)
        >>> learner.models(a=KNeighborsRegressor(1), b=KNeighborsRegressor(2))
        >>> @learner.simulation_task(as_executable=False)
        ... def simulate(x):
        ...     return float(x[0]) ** 3
        >>> _ = learner.uncertainty_quantification(uq_metric_name="predictive_variance", query_size=3)
        >>> found = rose.compare(learner, ["top_k"], seeds=2, max_iter=2)
        >>> [row.name for row in found.rows()], found.labels.tolist()
        (['top_k', 'random'], [6, 9])
    """
    if not isinstance(learner, UQLearner) or not isinstance(learner.pool, Pool):
        raise ConfigurationError("compare needs an uncertainty-driven learner with a pool: ParallelUQLearner(pool=...)")
    if not max_iter and budget is None:
        raise ConfigurationError("compare needs to know where the curves end: give max_iter or budget")
    ways, numbers = _ways(learner, acquisitions, control), _seeds(seeds)
    registered = _measured(learner.registered(), learner.pool, metric)
    assert registered.criterion is not None
    configs = {
        workflow_of(name, seed): way.model_copy(update={"seed": seed, "threshold": None})
        for name, way in ways.items()
        for seed in numbers
    }
    metric_name = registered.criterion.metric_name
    workflows = {name: [workflow_of(name, seed) for seed in numbers] for name in ways}
    plan = learner.several(
        configs,
        registered,
        model_names,
        num_predictions=num_predictions,
        max_iter=max_iter,
        budget=budget,
        noted={"comparison": {"metric": metric_name, "control": control, "workflows": workflows}},
    )
    results = learner.run_planned(plan, None if run_dir is None else expanded(run_dir, "run_dir"))
    return Comparison(
        results=results,
        metric=metric_name,
        higher_is_better=registered.criterion.operator.startswith(">"),
        control=control,
        seeds=numbers,
        workflows=workflows,
    )


def workflow_of(name: str, seed: int) -> str:
    """Return what the workflow of a way and a seed is called.

    >>> workflow_of("diverse", 3)
    'diverse-3'
    """
    return f"{name}-{seed}"


def _ways(learner: UQLearner[Any], given: Sequence[str] | Ways | None, control: str) -> dict[str, UQLearnerConfig]:
    if given is None:
        given = [learner.acquisition]
    if isinstance(given, str) or not isinstance(given, (Mapping, Sequence)):
        raise ConfigurationError(f"acquisitions={given!r} must be a list of names, or a dict {{name: configuration}}")
    named: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {name: name for name in given}
    named.setdefault(control, control)
    ways = {}
    for name, way in named.items():
        if isinstance(way, str):
            get_acquisition(way)
            way = UQLearnerConfig(acquisition=way)
        if not isinstance(way, UQLearnerConfig):
            raise ConfigurationError(f"acquisitions[{name!r}] must be a name or a UQLearnerConfig, got {way!r}")
        ways[name] = way
    if len(ways) < 2:
        raise ConfigurationError(f"there is nothing to compare: acquisitions names {control!r}, the control, alone")
    return ways


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    given = seeds
    if isinstance(seeds, (int, np.integer)) and not isinstance(seeds, bool):
        seeds = range(int(seeds))
    numbers = [] if isinstance(seeds, (str, bool)) or not isinstance(seeds, Sequence) else list(seeds)
    whole = all(isinstance(one, (int, np.integer)) and not isinstance(one, bool) and one >= 0 for one in numbers)
    if not numbers or not whole or len({*numbers}) < len(numbers):
        raise ConfigurationError(f"seeds={given!r} must be how many, 1 or more, or a list of distinct whole numbers")
    return [int(one) for one in numbers]


def _measured(registered: Registered, pool: Pool, metric: str | None) -> Registered:
    """Return what is registered, with a criterion that is measured and never met, and no threshold.

    Raises:
        ConfigurationError: if there is nothing to measure by.
    """
    criterion = registered.criterion
    if metric is not None or criterion is None:
        if pool.holdout is None:
            raise ConfigurationError(
                "compare needs to measure how good the models are: give the pool a hold-out, Pool(X, holdout=(X_test, "
                "y_test)), or the learner a stop criterion"
            )
        metric = metric or _usual_metric(registered, pool.holdout[1])
        check_holdout_metric(metric)
        criterion = StopCriterion(metric, 0.0, metrics.LEARNING_METRICS[metric])
    never = math.inf if criterion.operator.startswith(">") else -math.inf
    rule = None if registered.rule is None else replace(registered.rule, threshold=None)
    return replace(registered, criterion=replace(criterion, threshold=never), rule=rule)


def _usual_metric(registered: Registered, y_test: np.ndarray) -> str:
    task = registered.task_type or task_of_labels(y_test)
    if task is None:
        raise ConfigurationError(
            "the hold-out's labels, whole numbers, may be classes or values: say metric='model_accuracy' or "
            "metric='root_mean_squared_error_rmse'"
        )
    return metrics.MODEL_ACCURACY if task == "classification" else metrics.ROOT_MEAN_SQUARED_ERROR_RMSE
