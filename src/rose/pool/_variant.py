"""Hold what is known of a pool's workflows that have the same stages, and find what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rose.errors import ConfigurationError
from rose.loop import checks
from rose.loop.identity import check_configured
from rose.loop.protocol import RunRequest
from rose.pool._checks import Ensembles, LabelCheck, check_query_sizes, check_scoring
from rose.pool.ensemble.columns import task_of_labels
from rose.pool.judging.holdout import check_holdout_metric
from rose.pool.pool import Pool
from rose.pool.scoring_rule import Scoring, make_scoring
from rose.pool.stopping.checks import check_rules, ends_runs
from rose.scoring import get_metric
from rose.stages.binding import bind_stage
from rose.stages.config import LearnerConfig, set_iterations, stage_for, together
from rose.stages.estimators import decided, gives_variances, gives_zeros, is_of_estimators, member_count, target_widths
from rose.stages.stage import Registered, Stage, StopCriterion, UncertaintyRule


class Variant:
    """Check the workflows called `names`, which are registered alike.

    Args:
        names: the workflows.
        registered: their stages, criterion and rule.
        request: what was asked for.
        pool: the candidates.
        acquisition: how a batch is chosen, unless a configuration says otherwise.

    Raises:
        ConfigurationError and its kinds, UnknownMetricError, UnknownAcquisitionError: for all that can be known to be
            wrong before anything has run.
    """

    def __init__(
        self,
        names: Sequence[str],
        registered: Registered,
        request: RunRequest,
        pool: Pool,
        acquisition: str,
    ) -> None:
        checks.check_stages(registered.stages, ("simulation", "training", "prediction"))
        if registered.rule is None:
            raise ConfigurationError(
                "no uncertainty rule: call learner.uncertainty_quantification(uq_metric_name=..., query_size=...)"
            )
        self.names = names
        _check_numbers(registered, pool)
        self.registered = registered = decided(registered, _task_said(registered, pool))
        self.rule: UncertaintyRule = self.registered.rule  # type: ignore[assignment]  # as above
        self.stages = registered.all_stages()
        self._request = request
        self._pool = pool
        self._acquisition = acquisition
        self.known = self._ensembles()
        self._check_criterion(registered.criterion)
        check_rules(registered, pool, request.limits.budget, self.known.task)
        for name in names:
            self._check_workflow(name, request.configs[name])
        self.labels = self._label_check()
        checks.check_workdirs(self.stages.values())
        checks.check_waits(self.stages)

    @cached_property
    def options(self) -> dict[str, Stage]:
        """Return the stages as their tasks may see them, by name."""
        pool, request = self._pool, self._request
        configs = {name: request.configs[name] for name in self.names}
        found = checks.check_options(self.stages.values(), configs, request.model_names)
        if len(pool) > pool.block:
            for name, config in configs.items():
                members = [stage_for(self.stages["prediction"], config, 0, model) for model in request.model_names]
                what = f"workflow {name!r}, all models' predictions of a part of the pool, which one task makes,"
                found[what] = together(members)
        return found

    def _ensembles(self) -> Ensembles:
        prediction, criterion = self.stages["prediction"], self.registered.criterion
        task = self.registered.task_type
        if task is None and criterion is not None and criterion.stage is None:
            task = check_holdout_metric(criterion.metric_name)
        models, passes = len(self._request.model_names), self._request.num_predictions
        return Ensembles(
            models=models,
            passes=passes,
            task=task,
            variances=gives_variances(prediction),
            features=self._pool.features is not None or (self._pool.own is not None and self._pool.own.narrow),
            own=self._pool.own is not None,
            classes=prediction.classes,
            estimators=is_of_estimators(prediction),
            zeros=is_of_estimators(prediction) and gives_zeros(self.registered.estimators),
            widths=target_widths(self.registered.estimators),
            members=member_count(self._asked()) if is_of_estimators(prediction) else None,
        )

    def _asked(self) -> dict[str, Any]:
        """Return the estimators that are trained."""
        return {name: self.registered.estimators[name] for name in self._request.model_names}

    def _scorings(self, config: LearnerConfig) -> list[Scoring]:
        """Return the rules of a workflow: of iterations that have their own, and of all others last."""
        given = self.rule, config, self._acquisition
        return [make_scoring(*given, iteration, self.known.task) for iteration in set_iterations(config)]

    def _label_check(self) -> LabelCheck:
        scorings = {name: self._scorings(self._request.configs[name])[-1] for name in self.names}
        y_test = None if self._pool.holdout is None else self._pool.holdout[1]
        check = LabelCheck(scorings, self.known, y_test)
        check.holdout()
        for candidate, label in self._pool.known.items():
            check(label, candidate)
        for label in [] if self._pool.extra is None else self._pool.extra.labels:
            check(label, None)
        return check

    def _check_workflow(self, name: str, config: LearnerConfig) -> None:
        """Check one workflow's configuration: its bindings in the first iteration, its metric, its batch."""
        where = f"workflow {name!r}: "
        check_configured(config, where, strict=True)
        for stage in self.stages.values():
            bind_stage(stage, config, 0, tested=self._pool.holdout is not None)
        every = self._scorings(config)
        self._check_end(where, every[-1].rule.threshold)
        for scoring in every:
            check_scoring(where, scoring, self.known, "active_learn" in self.stages)
        sizes = [scoring.rule.query_size for scoring in every]
        check_query_sizes(where, sizes, len(self._pool), len(self._pool.initial))

    def _check_criterion(self, criterion: StopCriterion | None) -> None:
        if criterion is None or criterion.stage is not None:
            return
        task = check_holdout_metric(criterion.metric_name)
        if self._pool.holdout is None:
            raise ConfigurationError(
                f"as_stop_criterion({criterion.metric_name!r}) decorates no function: decorate one, or give the pool a "
                "hold-out, Pool(X, holdout=(X_test, y_test))"
            )
        models = self.registered.task_type
        if models is not None and models != task:
            raise ConfigurationError(f"{criterion.metric_name} is a {task} metric, but the models do {models}")

    def _check_end(self, where: str, threshold: float | None) -> None:
        limits = self._request.limits
        ends = (limits.max_iter or None, limits.budget, limits.max_time, threshold, self.registered.criterion)
        if all(end is None for end in ends) and not any(map(ends_runs, self.registered.stop_rules)):
            raise ConfigurationError(
                f"{where}nothing would end the run before the pool is exhausted: give max_iter, budget, max_time, an "
                "uncertainty threshold, a stop criterion or stop_when(...)"
            )


def _task_said(registered: Registered, pool: Pool) -> str | None:
    """Return "classification" or "regression", as the metrics, the hold-out or given labels say it; None: nothing does.

    Labels that are whole numbers are classes.
    """
    if registered.rule is not None and registered.rule.stage is None:
        task = get_metric(registered.rule.metric_name).task
        if task in ("classification", "regression"):
            return task
    if registered.criterion is not None and registered.criterion.stage is None:
        return check_holdout_metric(registered.criterion.metric_name)
    given = list(pool.known.values())
    labels = pool.holdout[1] if pool.holdout is not None else np.asarray(given) if given else None
    return None if labels is None else task_of_labels(labels) or "classification"


def _check_numbers(registered: Registered, pool: Pool) -> None:
    """Check that candidates are numbers where surrogates of ours learn from them as they are."""
    ours = [name for name, one in registered.estimators.items() if type(one).__module__.startswith("rose.surrogates")]
    if ours and pool.own is None:
        raise ConfigurationError(
            f"model {ours[0]!r} learns from numbers, and the candidates are none: give Pool an array [N, F], models() "
            "an estimator that takes them, as a pipeline that turns them into numbers, or a training function"
        )
