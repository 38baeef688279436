"""Score candidates by a workflow's uncertainty rule, with the metric looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rose.acquisition import Acquisition, for_task, get_acquisition
from rose.errors import ConfigurationError, PredictionError
from rose.metrics import compare
from rose.pool.ensemble.passes import Passed, alike, means, variances
from rose.scoring import Metric, get_metric, score
from rose.stages.config import LearnerConfig, setting
from rose.stages.stage import Reduction, UncertaintyRule, check_query_size, check_threshold


@dataclass(frozen=True)
class Scoring:
    """Hold a workflow's uncertainty rule with its metric looked up.

    `metric` is None where the user's function scores under a name of its own: then higher means more uncertain. `task`
    is "classification" or "regression", where that is known without predictions.
    """

    rule: UncertaintyRule
    metric: Metric | None
    acquisition: str
    task: str | None = None

    @property
    def method(self) -> Acquisition:
        """Return how a batch is chosen; what serves the task where nothing else is said and the task is known."""
        return for_task(self.acquisition, self.task)

    @property
    def direction(self) -> str:
        """Return which end of the scores is the more uncertain."""
        return self.metric.direction if self.metric else "higher"

    @property
    def operator(self) -> str:
        """Return how the uncertainty compares with the threshold when it is low enough."""
        return self.rule.operator or (self.metric.threshold_operator if self.metric else "<")

    @property
    def by_candidate(self) -> bool:
        """Return whether each candidate's score depends on its own predictions alone.

        Then a part of a pool can be scored without the rest. A function of the user's sees all of them.
        """
        return self.rule.stage is None and self.metric is not None and self.metric.kind != "whole"

    def certain(self, uncertainty: float) -> bool:
        """Return whether the threshold, if there is one, is met."""
        return self.rule.threshold is not None and compare(uncertainty, self.operator, self.rule.threshold)


def make_scoring(
    rule: UncertaintyRule, config: LearnerConfig, acquisition: str, iteration: int, task: str | None = None
) -> Scoring:
    """Return the learner's rule in one iteration, with what a workflow's own configuration says instead.

    `task` is what the models do, where that is known; the metric and the reduction tell it, too.

    Raises:
        UnknownMetricError: if no metric has that name and no function of the user's replaces it.
        UnknownAcquisitionError: if no acquisition method has that name.
        ConfigurationError: if the query_size is not 1, 2, 3, ..., the threshold NaN, or the metric needs labels.
    """
    query_size, threshold = setting(config, "query_size", iteration), setting(config, "threshold", iteration)
    threshold = rule.threshold if threshold is None else threshold
    where = f"a learner with a pool, iteration {iteration},"
    rule = UncertaintyRule(
        setting(config, "uq_metric_name", iteration) or rule.metric_name,
        check_query_size(rule.query_size if query_size is None else query_size, where),
        None if threshold is None else check_threshold(threshold, where),
        rule.operator,
        rule.stage,
        rule.reduction,
    )
    method = setting(config, "acquisition", iteration) or acquisition
    get_acquisition(method)
    metric = _metric(rule)
    if metric is not None and metric.task != "any":
        task = metric.task
    elif rule.reduction is not None:
        task = "regression"
    return Scoring(rule, metric, method, task)


def _metric(rule: UncertaintyRule) -> Metric | None:
    try:
        metric = get_metric(rule.metric_name)
    except KeyError:
        if rule.stage is None:
            raise
        return None
    if rule.stage is None and "targets" in metric.needs:
        raise ConfigurationError(
            f"metric {metric.name!r} needs the true labels, which candidates do not have; choose another"
        )
    return metric


def score_passes(passes: Sequence[Passed], metric: Metric, reduction: Reduction | None) -> np.ndarray:
    """Return `[N]` scores of stacked predictions; several outputs are reduced as the rule says.

    Raises:
        PredictionError, ConfigurationError: if the predictions do not fit the metric.
    """
    if metric.built_in and silent(passes, metric, reduction):
        least = metric.range[0] if metric.direction == "higher" else metric.range[1]
        return np.full(len(means(passes)[0]), least)  # exactly: rounding would make them differ
    spreads = variances(passes) if "variances" in metric.needs | metric.takes else None
    if spreads is None and "variances" in metric.needs:
        raise PredictionError(
            f"{metric.name} needs variances: the members' own, from prediction functions that return (mean, variance), "
            "or from estimators with `return_std`; or choose a metric of disagreement, such as predictive_variance"
        )
    return np.asarray(score(means(passes), metric, reduction=reduction, variances=spreads))


def silent(passes: Sequence[Passed], metric: Metric, reduction: Reduction | None) -> bool:
    """Return whether a metric of what members differ in is asked of members that all predict the same."""
    task = "classification" if means(passes)[0].ndim == 2 and reduction is None else "regression"
    least = metric.smallest(variances(passes) is not None, task)
    return 1 < least <= len(passes) and alike(passes)
