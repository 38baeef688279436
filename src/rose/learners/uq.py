"""Run uncertainty-driven learning: one workflow, or several side by side, over a pool or in ROSE's dataflow."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rose.acquisition import AUTO
from rose.dataflow.plan import DataflowPlan
from rose.dataflow.uq import threshold_operator
from rose.engine import TaskKey
from rose.errors import ConfigurationError
from rose.learners.base import NEEDS_POOL, Learner
from rose.loop import checks
from rose.loop.changes import AcceptChanges
from rose.loop.limits import check_limits
from rose.loop.protocol import Plan, RunRequest
from rose.loop.state import Results, States, WorkflowResult
from rose.pool.control import with_controls
from rose.pool.plan import PoolPlan
from rose.pool.pool import Pool
from rose.stages.config import LearnerConfig, UQLearnerConfig
from rose.stages.parsing import number
from rose.stages.stage import Registered

R = TypeVar("R")


class UQLearner(Learner[R]):
    """Hold what both uncertainty-driven learners have in common.

    Args:
        engine: what executes tasks: nothing (the embedded `LocalEngine`, started for each run and closed after it), a
            number of workers, or an engine of ours, which stays yours to close (`await learner.shutdown()`).
        pool: the candidates; without one, the learner runs ROSE's dataflow over files of yours.
        run_dir: the directory that holds everything about the run; None for a temporary one. Where there is a run in
            it, running is resuming: what is recorded as done is not run again.
        acquisition: how a batch is chosen from a pool, a name from `rose.acquisition.acquisitions()`; a resumed run
            that was begun with the default keeps what that was.
        asyncflow: what ROSE calls `engine`.
        resume, accept_changes, keep_models: as `rose.learners.base.Learner` says.

    Raises:
        ConfigurationError: if one of them cannot be.
    """

    def __init__(
        self,
        engine: Any = None,
        *,
        pool: Pool | None = None,
        run_dir: str | Path | None = None,
        acquisition: str = AUTO,
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
        asyncflow: Any = None,
    ) -> None:
        check_pool(pool)
        if engine is not None and asyncflow is not None:
            raise ConfigurationError("engine and asyncflow are one thing: give one of them")
        engine = asyncflow if engine is None else engine
        super().__init__(engine, run_dir=run_dir, resume=resume, accept_changes=accept_changes, keep_models=keep_models)
        self.learner_name = "UQLearner"
        self.pool = pool
        self.acquisition = acquisition

    def planned(self, request: RunRequest) -> Plan:
        """Return the loops of a request: over the pool, or in ROSE's dataflow."""
        return DataflowPlan(request) if self.pool is None else PoolPlan(request, self.pool, self.acquisition)

    def _controlled(self, request: RunRequest, control: bool | str) -> Plan:
        """Return the loops of a request, and of its controls, if they are asked for."""
        if self.pool is None and control is not False:
            raise ConfigurationError(NEEDS_POOL)
        return self.planned(with_controls(request, control))

    def several(
        self,
        configs: Mapping[str, LearnerConfig],
        registered: Registered | None = None,
        model_names: Sequence[str] | None = None,
        *,
        num_predictions: int = 1,
        max_iter: int = 0,
        budget: int | None = None,
        max_time: float | None = None,
        noted: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Return workflows side by side, one a configuration, whichever kind of learner it is, for `run_planned`.

        `registered` is what they run in the place of what is registered, `noted` what is noted for who looks at the
        run; the other arguments are those of `plan`.

        Raises:
            ConfigurationError and its kinds: for all that can be known to be wrong.
        """
        names = checks.check_names(list(configs), "workflows")
        request = RunRequest(
            names=names,
            stages=dict.fromkeys(names, self.registered() if registered is None else registered),
            model_names=members(model_names, self.estimators),
            num_predictions=checks.check_count(num_predictions, "num_predictions", 1),
            configs={name: self._config(config, f"workflow {name!r}") for name, config in configs.items()},
            limits=check_limits(max_iter, budget, max_time),
            hooks=self.hooks(),
            noted=noted or {},
        )
        return self.planned(request)

    def _check_uncertainty(self, uncertainty_task_result: Any) -> tuple[bool, float]:
        """Return whether the result of an uncertainty's task is below its threshold, and the value."""
        rule = self.registered().rule
        if rule is None:
            raise ConfigurationError("there is no uncertainty: register one with @learner.uncertainty_quantification()")
        key = TaskKey(self.learner_name, 0, "uncertainty")
        value = number(uncertainty_task_result, key, ("uq_value", rule.metric_name))
        met = rule.threshold is not None and self.compare_metric(
            rule.metric_name, value, rule.threshold, threshold_operator(rule)
        )
        return met, value


class SeqUQLearner(UQLearner[WorkflowResult]):
    """Run one workflow: an ensemble trained round after round on what its own uncertainty asks for."""

    def plan(
        self,
        model_names: Sequence[str] | None = None,
        num_predictions: int = 1,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        learning_config: LearnerConfig | None = None,
        *,
        budget: int | None = None,
        max_time: float | None = None,
        control: bool | str = False,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflow to be opened.

        Args:
            model_names: the members of the ensemble.
            num_predictions: stochastic passes per member.
            max_iter: the most iterations; 0: until another end.
            skip_pre_loop: (ROSE's dataflow) begin with the uncertainty of what is there already.
            learning_config: configuration of the stages.
            budget: (pools) the most labels.
            max_time: seconds after which no new round begins.
            control: (pools) whether a workflow "control" plays beside it that selects at random (True, "random"), or
                fills space ("lhs"), with the same first samples, models and query size, sharing labels. The result's
                `worth`, the report and `rose status` tell what was saved against it. It costs labels: it ends by the
                same limits, or when it has been as good as the other was at its end, or holds twice its labels.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        name = self.learner_name
        request = RunRequest(
            names=(name,),
            stages={name: self.registered()},
            model_names=members(model_names, self.estimators),
            num_predictions=checks.check_count(num_predictions, "num_predictions", 1),
            configs={name: self._config(learning_config, "learning_config")},
            limits=check_limits(max_iter, budget, max_time),
            skip_pre_loop=skip_pre_loop,
            learner_ids=False,
            hooks=self.hooks(),
        )
        return self._controlled(request, control)

    def _learned(self, results: Results) -> WorkflowResult:
        return results[self.learner_name]


class ParallelUQLearner(SeqUQLearner):
    """Run several workflows side by side on the same workers, each with its own configuration."""

    if TYPE_CHECKING:  # as ROSE's it is a SeqUQLearner, which gives one result

        def start(self, *args: Any, **kwargs: Any) -> States[Results]: ...  # type: ignore[override]
        def teach(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Results]: ...  # type: ignore[override]
        def run(self, *args: Any, **kwargs: Any) -> Results: ...  # type: ignore[override]

    def plan(  # type: ignore[override]
        self,
        learner_names: Sequence[str | int] | None = None,
        model_names: Sequence[str] | None = None,
        num_predictions: int = 1,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        learner_configs: Mapping[Any, LearnerConfig | None] | None = None,
        *,
        workflows: Mapping[str, str | UQLearnerConfig] | None = None,
        budget: int | None = None,
        max_time: float | None = None,
        control: bool | str = False,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflows to be opened.

        Args:
            learner_names: the workflows; a number is the `learner_id` of states, and elsewhere its text.
            model_names: the members of each ensemble.
            num_predictions: stochastic passes per member.
            max_iter: the most iterations of each workflow; 0: until another end.
            skip_pre_loop: (ROSE's dataflow) begin with the uncertainty of what is there already.
            learner_configs: configurations by workflow; a missing one is empty.
            workflows: (pools) in short: `{name: metric name or configuration}` instead of names and configs.
            budget: (pools) the most labels a workflow may hold.
            max_time: seconds after which no new round begins.
            control: (pools) whether a workflow "control" plays beside them, one for each seed among the configurations
                ("control-0", ...), as `SeqUQLearner.plan` says.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        if workflows is not None:
            if learner_names is not None or learner_configs is not None:
                raise ConfigurationError("give either workflows=, or learner_names and learner_configs")
            learner_configs = _by_metric(workflows, self.pool)
            learner_names = list(learner_configs)
        if learner_names is None:
            raise ConfigurationError("learner_names is missing: name the workflows, e.g. learner_names=['a', 'b']")
        ids = {str(name): name for name in learner_names if type(name) is int}
        given: Any = learner_names
        if not isinstance(given, str) and isinstance(given, Sequence):
            given = [str(name) if type(name) is int else name for name in given]
        names = checks.check_names(given, "learner_names")
        configs = {str(name) if type(name) is int else name: one for name, one in (learner_configs or {}).items()}
        request = RunRequest(
            names=names,
            stages=self._stages_by_name(names),
            model_names=members(model_names, self.estimators),
            num_predictions=checks.check_count(num_predictions, "num_predictions", 1),
            configs={
                name: self._config(one, "learner_configs") for name, one in checks.check_configs(configs, names).items()
            },
            limits=check_limits(max_iter, budget, max_time),
            skip_pre_loop=skip_pre_loop,
            ids=ids,
            hooks=self.hooks(),
        )
        return self._controlled(request, control)

    def _create_sequential_learner(self, learner_name: str) -> SeqUQLearner:
        """Return a learner of one workflow with what is registered here; a subclass may change what it has."""
        made = SeqUQLearner(self._given, pool=self.pool, acquisition=self.acquisition)
        made.learner_name = learner_name
        made.stages, made.criterion, made.rule = dict(self.stages), self.criterion, self.rule
        made.estimators, made.stop_rules = dict(self.estimators), self.stop_rules
        for kind, task in self._dicts().items():
            made._describe(kind, {**task, "decor_kwargs": dict(task["decor_kwargs"])})
        made._registered_as = dict(self._registered_as)
        return made

    def _stages_by_name(self, names: Sequence[str]) -> dict[str, Registered]:
        if self._overrides("_create_sequential_learner"):
            return {name: self._create_sequential_learner(name).registered() for name in names}
        return dict.fromkeys(names, self.registered())

    def _learned(self, results: Results) -> Results:  # type: ignore[override]
        return results


def check_pool(pool: Pool | None) -> None:
    """Check that what a learner is given as its pool is one.

    Raises:
        ConfigurationError: if it is not.
    """
    if pool is not None and not isinstance(pool, Pool):
        raise ConfigurationError(f"pool must be a rose.Pool, got {type(pool).__name__}; wrap it: Pool(X, initial=20)")


def members(model_names: Sequence[str] | None, estimators: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the models to train: those named, else the registered estimators.

    Raises:
        ConfigurationError: if there are none, or one that is named is no estimator, where there are some.
    """
    if model_names is None:
        if not estimators:
            raise ConfigurationError("model_names is missing: name the models to train, e.g. model_names=['a', 'b']")
        model_names = list(estimators)
    names = checks.check_names(model_names, "model_names")
    for name in names:
        if estimators and name not in estimators:
            raise ConfigurationError(f"model_names holds {name!r}; models() has {', '.join(estimators)}")
    return names


def _by_metric(workflows: Any, pool: Pool | None) -> dict[str, UQLearnerConfig]:
    """Return the configurations of workflows that are given in short, by the name of their metric."""
    if pool is None:
        raise ConfigurationError("workflows= names each workflow's metric, which needs a pool: use learner_names")
    if not isinstance(workflows, Mapping):
        raise ConfigurationError("workflows must be a dict {name: metric name or UQLearnerConfig}")
    for name, value in workflows.items():
        if not isinstance(value, (str, UQLearnerConfig)):
            raise ConfigurationError(f"workflows[{name!r}] must be a metric name or a UQLearnerConfig, got {value!r}")
    return {
        name: UQLearnerConfig(uq_metric_name=value) if isinstance(value, str) else value
        for name, value in workflows.items()
    }
