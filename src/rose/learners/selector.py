"""Run one workflow with several ways of choosing side by side, and say which of them was best.

Ways of choosing are algorithms: functions or commands of the user's, and over a pool acquisitions as well.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rose.acquisition import AUTO
from rose.dataflow.active import ActivePlan
from rose.errors import ConfigurationError
from rose.learners._task_dicts import TaskDict, arguments_of, described, stage_of, with_arguments
from rose.learners.active import ActiveLearner
from rose.learners.registration import explained
from rose.learners.uq import check_pool, members
from rose.loop import checks
from rose.loop.changes import AcceptChanges
from rose.loop.limits import check_limits
from rose.loop.protocol import Plan
from rose.loop.state import Results, States, StopReason, WorkflowResult
from rose.pool.plan import PoolPlan
from rose.pool.pool import Pool
from rose.stages.config import LearnerConfig, UQLearnerConfig
from rose.stages.kinds import ACTIVE_LEARN
from rose.stages.options import make_stage
from rose.stages.stage import Registered, StopCriterion

_log = logging.getLogger("rose")


class Selection(dict[str, Any]):
    """Hold what came of each algorithm, in plain JSON: `algorithm_results`, `best_algorithm` and `best_stats`.

    An algorithm's results are its `iterations`, the criterion's value in the last one (`last_result`, or None), over a
    pool its `labels`, and the `error` of one that failed.

    Attributes:
        results: what each algorithm has learned.
    """

    def __init__(self, results: Results, rule: StopCriterion | None) -> None:
        stats = {name: statistics(result) for name, result in results.items()}
        best = best_of(results, rule)
        super().__init__(algorithm_results=stats, best_algorithm=best, best_stats=stats[best] if best else None)
        self.results = results


class Selected(States[Selection], Coroutine[Any, Any, Selection]):
    """Iterate over the states of all algorithms, or await what came of them; `asyncio.run` takes it, too."""

    _running: Coroutine[Any, Any, Selection] | None = None

    def send(self, value: Any) -> Any:
        """Go on, as a coroutine does."""
        self._running = self._running or self._rest()
        return self._running.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an error where it waits, as a coroutine does."""
        self._running = self._running or self._rest()
        return self._running.throw(*error)

    def close(self) -> None:
        """End, as a coroutine does."""
        if self._running is not None:
            self._running.close()


class AlgorithmSelector(ActiveLearner[Selection]):
    """Compare algorithms: the same simulation, training and criterion, and a workflow for each way of choosing.

    `await selector.start(...)` gives what came of each and which was best, a `Selection`; `async for` gives their
    states, with the algorithm as `learner_id`. The best is the one that met the criterion in the fewest iterations.
    Where these are equal, or none met it, it is the one with the best value in the direction of the criterion's
    operator, after as many iterations as all have. An algorithm that fails is recorded with its `error`, and the
    others go on.

    With a `pool`, acquisitions are compared as well, and labels count instead of iterations. All begin with the same
    initial candidates, choose as many a round, and share labels: a candidate is simulated once, whoever asks for it.
    What is not the same is the seeds of the tasks, which are derived from their keys, and so from the algorithm's name:
    a difference that is not larger than that between two seeds says nothing.

    Args:
        asyncflow: what executes tasks: a WorkflowEngine, or what `rose.learners.base.Learner` takes as `engine`.
        pool: the candidates; without one, the selector runs ROSE's dataflow over files of yours, in which the criterion
            is called with what was chosen.
        acquisitions: (pools) names from `rose.acquisition.acquisitions()`, or `{algorithm: acquisition}`.
        run_dir, resume, accept_changes, keep_models: as `rose.learners.base.Learner` says.

    Raises:
        ConfigurationError: if one of them cannot be.

    Example:
        @selector.active_learn_task(name="greedy")
        async def greedy(*args): return "python greedy.py"

        @selector.active_learn_task(name="random", as_executable=False)
        def random(simulated, trained): ...

        print((await selector.start(max_iter=10))["best_algorithm"])
    """

    one_is_enough = True

    def __init__(
        self,
        asyncflow: Any = None,
        *,
        pool: Pool | None = None,
        acquisitions: Sequence[str] | Mapping[str, str] = (),
        run_dir: str | Path | None = None,
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
    ) -> None:
        check_pool(pool)
        if pool is None and acquisitions:
            raise ConfigurationError(
                "acquisitions= are for a pool; without one, decorate @selector.active_learn_task()"
            )
        told: dict[str, Any] = {"run_dir": run_dir, "resume": resume, "accept_changes": accept_changes}
        super().__init__(asyncflow, keep_models=keep_models, **told)
        self.pool = pool
        self.acquisitions = _by_name(acquisitions)
        self.active_learn_functions: dict[str, TaskDict] = {}
        self._rule: StopCriterion | None = None  # of the last run

    @explained(ACTIVE_LEARN)
    def active_learn_task(self, func: Any = None, *, name: str | None = None, **options: Any) -> Any:
        """Register an algorithm: what chooses the next candidates. There may be several, each with a name.

        Args:
            func: the function, where the decorator has no arguments.
            name: what the algorithm is called; None: as its function is.
            **options: as for the other decorators.
        """

        def decorator(function: Any) -> Any:
            own = getattr(function, "__name__", None) if name is None else name
            make_stage(ACTIVE_LEARN.name, function, options)
            if not isinstance(own, str):
                raise ConfigurationError(f"name={own!r} of an algorithm must be a text; {function!r} has no name")
            if own in self.active_learn_functions:
                _log.warning("algorithm %r is registered again; what was registered before is not run", own)
            self.active_learn_functions[own] = described(function, options)
            self._kinds.append((function, ACTIVE_LEARN.name))
            return function

        return decorator if func is None else decorator(func)

    def plan(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        algorithm_configs: Mapping[str, LearnerConfig | None] | None = None,
        *,
        model_names: Sequence[str] | None = None,
        num_predictions: int | None = None,
        budget: int | None = None,
        max_time: float | None = None,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflows to be opened.

        Args:
            max_iter: the most iterations of each algorithm; 0: until another end.
            skip_pre_loop: (ROSE's dataflow) begin with what is there already.
            algorithm_configs: configurations by algorithm; a missing one is empty.
            model_names, num_predictions: (pools) the members of each ensemble; stochastic passes of each, 1 by default.
            budget: (pools) the most labels an algorithm may hold.
            max_time: seconds after which no new iteration begins.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        names = [*self.active_learn_functions, *self.acquisitions]
        if not names:
            raise ConfigurationError(
                "Simulation, Training, and at least one AL function must be set! Decorate algorithms with "
                "@selector.active_learn_task(name=...)" + ("" if self.pool is None else ", or give acquisitions=[...]")
            )
        checks.check_names(names, "what is compared")
        given = checks.check_configs(algorithm_configs, names, "algorithm_configs")
        configs = {name: self._config_of(name, one, "algorithm_configs") for name, one in given.items()}
        request = self._request(configs, max_iter, max_time, skip_pre_loop, {})
        request = replace(request, stages=self._stages(), limits=check_limits(max_iter, budget, max_time))
        self._rule = request.stages[names[0]].criterion
        if self.pool is None:
            if model_names is not None or num_predictions is not None:
                raise ConfigurationError("model_names= and num_predictions= are for a pool; there is none")
            if self._rule is None:
                _log.warning("there is no stop criterion: nothing says which algorithm is best")
            return ActivePlan(request, judges_choices=True)
        if self._rule is None:
            raise ConfigurationError(
                "nothing says which algorithm is best: register what to compare them by, "
                "selector.as_stop_criterion(metric_name, threshold)"
            )
        passes = checks.check_count(1 if num_predictions is None else num_predictions, "num_predictions", 1)
        request = replace(request, model_names=members(model_names, self.estimators), num_predictions=passes)
        return PoolPlan(request, self.pool, next(iter(self.acquisitions.values()), AUTO))

    def start(self, *args: Any, progress: bool = False, **kwargs: Any) -> Selected:
        """Run the algorithms; takes the arguments of `plan`. Awaited it gives a `Selection`, iterated their states.

        Raises:
            RunFailedError: when all have ended, if all failed, or one because of the place where its tasks ran.
        """
        session = self._session(self._plan_for("start", args, kwargs), progress=progress)
        return Selected(session.states(), lambda: self._learned(session.results()), session.leave)

    @property
    def algorithm_results(self) -> dict[str, dict[str, Any]]:
        """Return what came of each algorithm that has ended, in the last run."""
        return {workflow.name: statistics(workflow.result()) for workflow in self._workflows if workflow.ended}

    @property
    def best_pipeline_name(self) -> str | None:
        """Return the best algorithm of the last run; None: it is not over, or nothing says which is best."""
        over = bool(self._sessions) and self._sessions[-1].over
        return best_of(self.learner_results, self._rule) if over else None

    @property
    def best_pipeline_stats(self) -> dict[str, Any] | None:
        """Return the results of the best algorithm."""
        return self.algorithm_results.get(self.best_pipeline_name or "")

    def get_best_algorithm(self) -> tuple[str | None, dict[str, Any] | None]:
        """Return `best_pipeline_name` and `best_pipeline_stats`."""
        return self.best_pipeline_name, self.best_pipeline_stats

    def get_all_results(self) -> dict[str, dict[str, Any]]:
        """Return `algorithm_results`."""
        return self.algorithm_results

    def _learned(self, results: Results) -> Selection:
        return Selection(results, self._rule)

    def _stages(self) -> dict[str, Registered]:
        """Return what is registered for each algorithm: its own function, or for acquisitions none."""
        common = self.registered()
        own = {name: stage_of(ACTIVE_LEARN.name, task) for name, task in self.active_learn_functions.items()}
        stages = {name: replace(common, stages={**common.stages, ACTIVE_LEARN.name: one}) for name, one in own.items()}
        return stages | dict.fromkeys(self.acquisitions, common)

    def _config_of(self, name: str, config: LearnerConfig | None, argument: str) -> LearnerConfig:
        made = super()._config_of(name, config, argument)
        if name in self.active_learn_functions:
            own = arguments_of(ACTIVE_LEARN.name, self.active_learn_functions[name])
            return with_arguments(made, {} if own is None else {ACTIVE_LEARN.name: own})
        said = {field: getattr(made, field) for field in made.model_fields_set}
        return UQLearnerConfig(**{"acquisition": self.acquisitions[name], **said})


def _by_name(acquisitions: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return acquisitions by the names of their algorithms.

    Raises:
        ConfigurationError: if these are no names.
    """
    if isinstance(acquisitions, Mapping):
        return dict(acquisitions)
    return {name: name for name in checks.check_names(acquisitions, "acquisitions")} if acquisitions else {}


# --- comparing ------------------------------------------------------------------------------------------------------


def statistics(result: WorkflowResult) -> dict[str, Any]:
    """Return the number of iterations, the criterion's last value, a pool's labels, and the error if there is one."""
    history = result.iterations
    values = [one["metric"] for one in history if one["metric"] is not None]
    found: dict[str, Any] = {"iterations": len(history), "last_result": values[-1] if values else None}
    if history and history[-1]["labels"] is not None:
        found["labels"] = history[-1]["labels"]
    return found if result["error"] is None else {**found, "error": result["error"]}


def best_of(results: Mapping[str, WorkflowResult], rule: StopCriterion | None) -> str | None:
    """Return the algorithm that met the criterion at the least cost, or else is nearest to it at equal cost.

    The cost is labels where there is a pool, else iterations; the first one that was registered wins what is a draw.
    None: there is no criterion, or no algorithm has a value of it and did not fail.
    """
    curves = {name: curve(result) for name, result in results.items() if result["error"] is None}
    curves = {name: points for name, points in curves.items() if points}
    if rule is None or not curves:
        return None
    worse = _worse(rule)
    met = [name for name in curves if results[name].stop_reason == StopReason.CRITERION_MET]
    if met:
        return min(met, key=lambda name: (curves[name][-1][0], worse(curves[name][-1][1])))
    shared = min(points[-1][0] for points in curves.values())
    within = {name: [value for cost, value in points if cost <= shared] for name, points in curves.items()}
    return min(curves, key=lambda name: worse(within[name][-1]) if within[name] else math.inf)


def curve(result: WorkflowResult) -> list[tuple[int, float]]:
    """Return what each iteration had cost by then, and the criterion's value in it."""
    return [
        (one["iteration"] + 1 if one["labels"] is None else one["labels"], one["metric"])
        for one in result.iterations
        if one["metric"] is not None
    ]


def _worse(rule: StopCriterion) -> Callable[[float], float]:
    """Return what is the larger, the worse a value of the criterion is."""
    if rule.operator.startswith(">"):
        return lambda value: -value
    return (lambda value: value) if rule.operator.startswith("<") else lambda value: abs(value - rule.threshold)
