"""A pool's workflows, ready to run; what can be known to be wrong is found here, before anything runs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import cached_property

import numpy as np

from rose.errors import ConfigurationError
from rose.loop import checks
from rose.loop.changes import Code, code_of, identity_of, simulation_identity
from rose.loop.identity import check_configured
from rose.loop.protocol import Request, make_workflow
from rose.loop.workflow import Workflow
from rose.pool.candidates.coordinates import given_coordinates, own_coordinates
from rose.pool.checks import Ensembles, LabelCheck, check_query_sizes, check_scoring
from rose.pool.corrections import correct, first_candidates
from rose.pool.criterion import Criterion, Holdout
from rose.pool.ensemble.members import Ensemble
from rose.pool.holdout import check_holdout_metric
from rose.pool.identity import describe_pool
from rose.pool.labelling import Simulator, bind_simulation
from rose.pool.learning import Learning, SharedPool
from rose.pool.notices import Notices
from rose.pool.pool import Pool
from rose.pool.rounds import PoolRounds
from rose.pool.scoring_rule import Scoring, make_scoring
from rose.pool.screening.screener import Screener
from rose.pool.selection import Chooser
from rose.stages.binding import bind_stage
from rose.stages.config import LearnerConfig, set_iterations, stage_for, together
from rose.stages.estimators import gives_variances, gives_zeros, is_of_estimators, target_widths
from rose.stages.runner import Runner
from rose.stages.stage import Registered, StopCriterion, UncertaintyRule
from rose.store import LabelStore


class PoolPlan:
    """Workflows over a pool; `variants` are the stages as their tasks may see them, by name.

    Raises:
        ConfigurationError and its kinds, UnknownMetricError, UnknownAcquisitionError: for all that can be known to be
            wrong before anything has run.
    """

    def __init__(self, registered: Registered, request: Request, pool: Pool, acquisition: str) -> None:
        checks.check_stages(registered.stages, ("simulation", "training", "prediction"))
        if registered.rule is None:
            raise ConfigurationError(
                "no uncertainty rule: call learner.uncertainty_quantification(uq_metric_name=..., query_size=...)"
            )
        if request.skip_pre_loop:
            raise ConfigurationError("skip_pre_loop is for ROSE's dataflow; a pool's first training needs its labels")
        self._registered = registered
        self._request = request
        self._pool = pool
        self._acquisition = acquisition
        self._rule: UncertaintyRule = registered.rule
        self._stages = registered.all_stages()
        self._own = own_coordinates(pool)
        self._known = self._ensembles()
        self._check_criterion(registered.criterion)
        self._check_budget(request.limits.budget)
        for name in request.names:
            self._check_workflow(name, request.configs[name])
        self._labels = self._label_check()
        checks.check_workdirs(self._stages.values())
        checks.check_waits(self._stages)
        self.variants = checks.check_options(self._stages.values(), request.configs, request.model_names)
        if len(pool) > pool.block:
            for name, config in request.configs.items():
                members = [stage_for(self._stages["prediction"], config, 0, model) for model in request.model_names]
                what = f"workflow {name!r}, all models' predictions of a part of the pool, which one task makes,"
                self.variants[what] = together(members)

    @cached_property
    def code(self) -> Code:
        """Return the user's functions."""
        return code_of(self._registered, self._stages)

    @property
    def identity(self) -> dict[str, str]:
        """What a resumed run must have been begun with, by name."""
        named = identity_of(self._registered, self._request, self.code)
        return named | describe_pool(self._pool) | {"acquisition": self._acquisition}

    async def open(self, runner: Runner, stack: AsyncExitStack) -> list[Workflow]:
        """The workflows, ready to run."""
        assert runner.run is not None
        asks_index = any(
            "index" in bind_simulation(self._stages["simulation"], config).names
            for config in self._request.configs.values()
        )
        await correct(runner.run, self._pool, asks_index, self._request.names)
        first = await first_candidates(runner.run, self._pool)
        store = LabelStore(await runner.run.labels())
        identity = await simulation_identity(runner.run, self.code)
        simulator = Simulator(self._pool, self._stages["simulation"], runner, store, identity, self._labels)
        holdout = None
        if self._pool.holdout is not None:
            X_test, y_test = self._pool.holdout
            holdout = Holdout(runner.share(X_test), runner.share(y_test), y_test)
        large = len(self._pool) > self._pool.block
        shared = SharedPool(runner.share(self._pool.source if large else self._pool.X), holdout)
        stack.push_async_callback(runner.release, [shared.X, *([holdout.X, holdout.y] if holdout else [])])
        stack.push_async_callback(store.close)
        workflows = []
        for name in self._request.names:
            rounds = self._rounds(name, runner, simulator, shared, first)
            stack.push_async_callback(rounds.close)
            workflows.append(make_workflow(self._request, name, rounds, self._registered.criterion))
        return workflows

    def _rounds(
        self, name: str, runner: Runner, simulator: Simulator, shared: SharedPool, first: np.ndarray
    ) -> PoolRounds:
        request, criterion = self._request, self._registered.criterion
        near = given_coordinates(self._pool), self._own
        notices = Notices(name)
        chooser = Chooser(runner, self._stages.get("active_learn"), *near, self._known.samples == 1, notices)
        ensemble = Ensemble(
            training=self._stages["training"],
            prediction=self._stages["prediction"],
            model_names=request.model_names,
            num_predictions=request.num_predictions,
            block=self._pool.block,
            runner=runner,
        )
        screener = Screener(shared.X, len(self._pool), ensemble, chooser, runner)
        judge = None if criterion is None else Criterion(criterion, runner, shared.holdout)
        return PoolRounds(
            name=name,
            pool=self._pool,
            first=first,
            shared=shared,
            runner=runner,
            simulator=simulator,
            ensemble=ensemble,
            chooser=chooser,
            screener=screener,
            learning=Learning(shared, ensemble, screener, judge, runner),
            rule=self._rule,
            acquisition=self._acquisition,
            criterion=judge,
            budget=request.limits.budget,
            notices=notices,
            task=self._known.task,
        )

    def _ensembles(self) -> Ensembles:
        prediction, criterion = self._stages["prediction"], self._registered.criterion
        task = self._registered.task_type
        if task is None and criterion is not None and criterion.stage is None:
            task = check_holdout_metric(criterion.metric_name)
        models, passes = len(self._request.model_names), self._request.num_predictions
        return Ensembles(
            models=models,
            passes=passes,
            task=task,
            variances=gives_variances(prediction),
            features=self._pool.features is not None,
            own=self._own is not None,
            classes=prediction.classes,
            estimators=is_of_estimators(prediction),
            zeros=is_of_estimators(prediction) and gives_zeros(self._registered.estimators),
            widths=target_widths(self._registered.estimators),
        )

    def _scorings(self, config: LearnerConfig) -> list[Scoring]:
        """The rules of a workflow: of iterations that have their own, and of all others last."""
        given = self._rule, config, self._acquisition
        return [make_scoring(*given, iteration, self._known.task) for iteration in set_iterations(config)]

    def _label_check(self) -> LabelCheck:
        scorings = {name: self._scorings(self._request.configs[name])[-1] for name in self._request.names}
        y_test = None if self._pool.holdout is None else self._pool.holdout[1]
        check = LabelCheck(scorings, self._known, y_test)
        check.holdout()
        for candidate, label in self._pool.known.items():
            check(label, candidate)
        for label in [] if self._pool.extra is None else self._pool.extra.labels:
            check(label, None)
        return check

    def _check_workflow(self, name: str, config: LearnerConfig) -> None:
        """One workflow's configuration: its bindings in the first iteration, its metric, its batch."""
        where = f"workflow {name!r}: "
        check_configured(config, where, strict=True)
        for stage in self._stages.values():
            bind_stage(stage, config, 0, tested=self._pool.holdout is not None)
        every = self._scorings(config)
        self._check_end(where, every[-1].rule.threshold)
        for scoring in every:
            check_scoring(where, scoring, self._known, "active_learn" in self._stages)
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
        models = self._registered.task_type
        if models is not None and models != task:
            raise ConfigurationError(f"{criterion.metric_name} is a {task} metric, but the models do {models}")

    def _check_budget(self, budget: int | None) -> None:
        paid = set(self._pool.initial.tolist()) <= self._pool.known.keys()  # all are given
        if budget is not None and budget < len(self._pool.initial) and not paid:
            raise ConfigurationError(
                f"budget={budget} labels does not pay for the {len(self._pool.initial)} initial candidates"
            )

    def _check_end(self, where: str, threshold: float | None) -> None:
        limits = self._request.limits
        ends = (limits.max_iter or None, limits.budget, limits.max_time, threshold, self._registered.criterion)
        if all(end is None for end in ends):
            raise ConfigurationError(
                f"{where}nothing would end the run before the pool is exhausted: give max_iter, budget, max_time, an "
                "uncertainty threshold or a stop criterion"
            )
