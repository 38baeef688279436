"""Make a pool's workflows ready to run, and find what can be known to be wrong before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import cached_property

import numpy as np

from rose.acquisition import AUTO
from rose.errors import ConfigurationError
from rose.loop.changes import Code, Unsaid, code_of, identity_of, simulation_identity
from rose.loop.protocol import Loop, RunRequest
from rose.loop.schedule import Rounds, Schedule
from rose.pool._coordinates import Coordinates
from rose.pool._identity import describe_pool
from rose.pool._learning import Learning, SharedPool
from rose.pool._looking import Looker
from rose.pool._map import note_map
from rose.pool._notices import Notices
from rose.pool._variant import Variant
from rose.pool.control import Compared, Control, Progress, check_controls
from rose.pool.ensemble.members import Ensemble, RoundId
from rose.pool.judging.criterion import Criterion, Holdout
from rose.pool.labelling.corrections import correct, first_candidates
from rose.pool.labelling.labeller import Labeller
from rose.pool.labelling.simulator import Simulator, bind_simulation
from rose.pool.pool import Pool
from rose.pool.rounds import PoolLoop
from rose.pool.screening.screener import Screener
from rose.pool.selection import Chooser
from rose.pool.stopping.stopping import Stopping
from rose.stages.runner import Runner
from rose.stages.stage import Stage
from rose.store import LabelStore

_ROUNDS = Rounds()
_FEATURES = "Pool(features=)"  # what distances are measured in, where the user gives no features:
CANDIDATES, PREDICTIONS = "candidates", "predictions"


class PoolPlan:
    """Plan workflows over a pool; `variants` are the stages as their tasks may see them, by name.

    Workflows may differ in their stages, but for the simulation: they share its labels.

    Raises:
        ConfigurationError and its kinds, UnknownMetricError, UnknownAcquisitionError: for all that can be known to be
            wrong before anything has run.
    """

    labels = True

    def __init__(self, request: RunRequest, pool: Pool, acquisition: str, schedule: Schedule = _ROUNDS) -> None:
        if request.skip_pre_loop:
            raise ConfigurationError("skip_pre_loop is for ROSE's dataflow; a pool's first training needs its labels")
        if judging := request.hooks.judging():
            raise ConfigurationError(
                f"the learner's class has methods of its own to judge by ({', '.join(judging)}), which are for ROSE's "
                "dataflow; with a pool, decorate a stop criterion or an uncertainty function, or register a metric"
            )
        self.request = request
        self._pool = pool
        self._acquisition = acquisition
        self._schedule = schedule
        self._distances: Coordinates | None = None  # what the acquisition measures in
        _check_budget(pool, request.limits.budget)
        check_controls(request, pool)
        self._of: dict[str, Variant] = {}
        self.variants: dict[str, Stage] = {}
        for names, registered in request.by_stages():
            variant = Variant(names, registered, request, pool, acquisition)
            self._of |= dict.fromkeys(names, variant)
            where = "" if len(names) == len(request.names) else f"workflow {names[0]!r}: "
            self.variants |= {where + name: stage for name, stage in variant.options.items()}
        self._simulation = _the_simulation(self._of)

    @cached_property
    def code(self) -> Code:
        """Return the user's functions."""
        return code_of(self.request)

    @property
    def identity(self) -> dict[str, str]:
        """Return what a resumed run must have been begun with, by name."""
        named = identity_of(self.request, self.code)
        for control in self.request.controls.values():  # all are of one kind
            named["control"] = control.kind
        acquisition = self._acquisition
        named |= {"acquisition": Unsaid(AUTO, before="diverse") if acquisition == AUTO else acquisition}
        own = self._pool.own
        if self._pool.features is None:
            near = CANDIDATES if own is not None and own.narrow else PREDICTIONS
            named[_FEATURES] = Unsaid(near, before=PREDICTIONS)
        return named | describe_pool(self._pool)

    async def open(self, runner: Runner, stack: AsyncExitStack) -> Mapping[str, Loop]:
        """Return the loops, ready to be played."""
        assert runner.run is not None
        begun = await runner.run.journal.meta("identity") or {}
        self._acquisition = begun.get("acquisition", self._acquisition)
        measures = self._pool.features is not None or begun.get(_FEATURES) == CANDIDATES
        self._distances = self._pool.near if measures else None
        await note_map(runner.run, self._pool)
        configs = self.request.configs.values()
        asks_index = any("index" in bind_simulation(self._simulation, config).names for config in configs)
        await correct(runner.run, self._pool, asks_index, self.request.names)
        seeds = {name: getattr(config, "seed", None) for name, config in self.request.configs.items()}
        first = {seed: await first_candidates(runner.run, self._pool, seed) for seed in dict.fromkeys(seeds.values())}
        store = LabelStore(await runner.run.labels())
        identity = await simulation_identity(runner.run, self.code)
        checks = list(dict.fromkeys(variant.labels for variant in self._of.values()))
        simulator = Simulator(self._pool, self._simulation, runner, store, identity, checks)
        holdout = None
        if self._pool.holdout is not None:
            X_test, y_test = self._pool.holdout
            holdout = Holdout(runner.share(X_test), runner.share(y_test), y_test)
        large = len(self._pool) > self._pool.block
        shared = SharedPool(runner.share(self._pool.source if large else self._pool.X), holdout)
        stack.push_async_callback(runner.release, [shared.X, *([holdout.X, holdout.y] if holdout else [])])
        stack.push_async_callback(store.close)
        loops: dict[str, Loop] = {}
        progress = Progress()
        for name in self.request.names:
            loops[name] = loop = self._loop(name, runner, simulator, shared, seeds[name], first[seeds[name]], progress)
            stack.push_async_callback(loop.close)
        return loops

    def _loop(
        self,
        name: str,
        runner: Runner,
        simulator: Simulator,
        shared: SharedPool,
        seed: int | None,
        first: np.ndarray,
        progress: Progress,
    ) -> PoolLoop:
        assert runner.run is not None
        request, variant = self.request, self._of[name]
        criterion, how = variant.registered.criterion, request.controls.get(name)
        control = Control(how.of, progress, self._pool.near if how.kind == "lhs" else None) if how else None
        seeded_as = how.of[0] if how else None
        near = self._distances, self._pool.own
        notices = Notices(name)
        chooser = Chooser(runner, variant.stages.get("active_learn"), *near, variant.known.samples == 1, notices)
        ensemble = Ensemble(
            training=variant.stages["training"],
            prediction=variant.stages["prediction"],
            model_names=request.model_names,
            num_predictions=request.num_predictions,
            block=self._pool.block,
            runner=runner,
        )
        screener = Screener(shared.X, len(self._pool), ensemble, chooser, runner)
        labeller = Labeller(name, self._pool, simulator, self._schedule, runner.run)
        told = (() if how else variant.registered.stop_rules, len(self._pool), self._pool.seed)
        stopping = Stopping(*told, shared.X, ensemble, labeller, criterion)
        judge = None if criterion is None else Criterion(criterion, runner, shared.holdout, stopping.patient)
        return PoolLoop(
            name=name,
            zero=RoundId(name, 0, self._pool.seed if seed is None else seed, seed is not None, seeded_as),
            pool=self._pool,
            first=first,
            shared=shared,
            runner=runner,
            labeller=labeller,
            ensemble=ensemble,
            looker=Looker(self._pool, shared, ensemble, chooser, screener),
            learning=Learning(shared, ensemble, screener, judge, runner),
            stopping=stopping,
            rule=variant.rule,
            acquisition=self._acquisition,
            criterion=judge,
            limits=request.limits,
            notices=notices,
            compared=Compared(name, criterion.operator if criterion else None, progress, control),
            task=variant.known.task,
        )


def _the_simulation(variants: Mapping[str, Variant]) -> Stage:
    """Return the simulation that all workflows have: labels are shared between them.

    Raises:
        ConfigurationError: if there are several.
    """
    found = {name: variant.stages["simulation"] for name, variant in variants.items()}
    (first, simulation), *others = found.items()
    for name, other in others:
        if other != simulation:
            raise ConfigurationError(
                f"workflows {first!r} and {name!r} have different simulations; over one pool they share its labels: "
                "give both the same, or run them apart"
            )
    return simulation


def _check_budget(pool: Pool, budget: int | None) -> None:
    paid = set(pool.initial.tolist()) <= pool.known.keys()  # all are given
    if budget is not None and budget < len(pool.initial) and not paid:
        raise ConfigurationError(f"budget={budget} labels does not pay for the {len(pool.initial)} initial candidates")
