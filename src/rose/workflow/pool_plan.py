"""A pool's workflows, ready to run; what can be known to be wrong is found here, before anything runs."""

from __future__ import annotations

from contextlib import AsyncExitStack

import numpy as np

from rose.acquisition import get_acquisition
from rose.errors import ConfigurationError
from rose.store import LabelStore
from rose.workflow import checks
from rose.workflow.binding import PROVIDED
from rose.workflow.calling import bind_stage
from rose.workflow.choosing import Chooser
from rose.workflow.config import LearnerConfig
from rose.workflow.criterion import Criterion
from rose.workflow.ensemble import Ensemble
from rose.workflow.given_labels import correct, first_candidates
from rose.workflow.holdout import check_holdout_metric
from rose.workflow.identity import describe_pool, simulation_identity
from rose.workflow.labelling import Simulator, bind_simulation
from rose.workflow.learning import Learning, SharedPool
from rose.workflow.overrides import stage_for, together
from rose.workflow.plan import DataflowPlan, Request, all_stages, identity_of, make_workflow
from rose.workflow.pool import Pool
from rose.workflow.pool_rounds import PoolRounds
from rose.workflow.registration import Registration
from rose.workflow.rounds import Workflow
from rose.workflow.runner import Runner
from rose.workflow.scoring_rule import make_scoring
from rose.workflow.screener import Screener
from rose.workflow.stages import StopCriterion, UncertaintyRule


class PoolPlan:
    """Workflows over a pool; `variants` are the stages as their tasks may see them, by name.

    Raises:
        ConfigurationError and its kinds, UnknownMetricError, UnknownAcquisitionError: for all that can be known to be
            wrong before anything has run.
    """

    def __init__(self, registered: Registration, request: Request, pool: Pool, acquisition: str) -> None:
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
        self._stages = all_stages(registered)
        self._check_criterion(registered.criterion)
        self._check_budget(request.limits.budget)
        for name in request.names:
            self._check_workflow(name, request.configs[name])
        checks.check_workdirs(self._stages.values())
        self.variants = checks.check_options(self._stages.values(), request.configs, request.model_names)
        if len(pool) > pool.block:
            for name, config in request.configs.items():
                members = [stage_for(self._stages["prediction"], config, 0, model) for model in request.model_names]
                what = f"workflow {name!r}, all models' predictions of a part of the pool, which one task makes,"
                self.variants[what] = together(members)

    @property
    def identity(self) -> dict[str, str]:
        """What a resumed run must have been begun with, by name."""
        named = identity_of(self._registered, self._request, self._stages)
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
        identity = await simulation_identity(runner.run, self._stages["simulation"])
        simulator = Simulator(self._pool, self._stages["simulation"], runner, store, identity)
        simulator.check_given()
        X_test = None if self._pool.holdout is None else runner.share(self._pool.holdout[0])
        large = len(self._pool) > self._pool.block
        shared = SharedPool(runner.share(self._pool.source if large else self._pool.X), X_test)
        stack.push_async_callback(runner.release, [one for one in (shared.X, X_test) if one is not None])
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
        y_test = None if self._pool.holdout is None else self._pool.holdout[1]
        chooser = Chooser(runner, self._stages.get("active_learn"), self._pool.features)
        ensemble = Ensemble(
            training=self._stages["training"],
            prediction=self._stages["prediction"],
            model_names=request.model_names,
            num_predictions=request.num_predictions,
            block=self._pool.block,
            runner=runner,
        )
        screener = Screener(shared.X, len(self._pool), ensemble, chooser, runner)
        judge = None if criterion is None else Criterion(criterion, runner, y_test)
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
            learning=Learning(shared, ensemble, screener, judge, runner, y_test),
            rule=self._rule,
            acquisition=self._acquisition,
            criterion=judge,
            budget=request.limits.budget,
        )

    def _check_workflow(self, name: str, config: LearnerConfig) -> None:
        """One workflow's configuration: its bindings in the first iteration, its metric, its batch."""
        where = f"workflow {name!r}: "
        for kind, stage in self._stages.items():
            batch = "simulation batch" if stage.batch else kind
            bind_stage(stage, PROVIDED[batch], config, 0)
        scoring = make_scoring(self._rule, config, self._acquisition)
        self._check_end(where, scoring.rule.threshold)
        needs = get_acquisition(scoring.acquisition).needs
        if "features" in needs and self._pool.features is None and "active_learn" not in self._stages:
            raise ConfigurationError(
                f"{where}acquisition {scoring.acquisition!r} needs features: give the pool some, Pool(X, features=...)"
            )
        passes = len(self._request.model_names) * self._request.num_predictions
        metric = scoring.metric
        if metric is not None and scoring.rule.stage is None:
            if passes < metric.min_samples:
                raise ConfigurationError(
                    f"{where}{metric.name} measures disagreement and needs {metric.min_samples} predictions of each "
                    f"candidate, but {len(self._request.model_names)} model x {self._request.num_predictions} pass "
                    f"gives {passes}; add models, or raise num_predictions for stochastic ones"
                )
            task = self._registered.task_type
            if task is not None and not metric.serves(task):
                raise ConfigurationError(f"{where}{metric.name} is a {metric.task} metric, but the models do {task}")
        left = len(self._pool) - len(self._pool.initial)
        if scoring.rule.query_size > max(left, 1):
            raise ConfigurationError(
                f"{where}query_size={scoring.rule.query_size} is more than the pool has to choose from: "
                f"{len(self._pool)} candidates, {len(self._pool.initial)} of them labelled at the start"
            )

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


Plan = DataflowPlan | PoolPlan
