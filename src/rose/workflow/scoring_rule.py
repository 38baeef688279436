"""How a workflow scores candidates: its uncertainty rule, with the metric looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rose.acquisition import get_acquisition
from rose.errors import ConfigurationError
from rose.metrics import compare
from rose.scoring import Metric, get_metric, score
from rose.workflow.config import LearnerConfig, setting
from rose.workflow.passes import Passed, means, variances
from rose.workflow.stages import Reduction, UncertaintyRule, check_query_size, check_threshold


@dataclass(frozen=True)
class Scoring:
    """A workflow's uncertainty rule with its metric looked up. `metric` is None where the user's function scores
    under a name of its own: then higher means more uncertain."""

    rule: UncertaintyRule
    metric: Metric | None
    acquisition: str

    @property
    def direction(self) -> str:
        """Which end of the scores is the more uncertain."""
        return self.metric.direction if self.metric else "higher"

    @property
    def operator(self) -> str:
        """How the uncertainty compares with the threshold when it is low enough."""
        return self.rule.operator or (self.metric.threshold_operator if self.metric else "<")

    @property
    def by_candidate(self) -> bool:
        """Whether each candidate's score depends on its own predictions alone, so that a part of a pool can be scored
        without the rest. A function of the user's sees all of them."""
        return self.rule.stage is None and self.metric is not None and self.metric.kind != "whole"

    def certain(self, uncertainty: float) -> bool:
        """Whether the threshold, if there is one, is met."""
        return self.rule.threshold is not None and compare(uncertainty, self.operator, self.rule.threshold)


def make_scoring(rule: UncertaintyRule, config: LearnerConfig, acquisition: str, iteration: int) -> Scoring:
    """The learner's rule, with what a workflow's own configuration says instead in this iteration.

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
    return Scoring(rule, _metric(rule), method)


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
    """`[N]` scores of stacked predictions; several outputs are reduced as said.

    Raises:
        PredictionError, ConfigurationError: if the predictions do not fit the metric.
    """
    spreads = variances(passes) if "variances" in metric.needs else None
    return np.asarray(score(means(passes), metric, reduction=reduction, variances=spreads))
