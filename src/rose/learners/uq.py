"""Run uncertainty-driven learning: one workflow, or several side by side, over a pool or in ROSE's dataflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from rose.dataflow.plan import DataflowPlan
from rose.errors import ConfigurationError
from rose.learners.base import Learner
from rose.loop import checks
from rose.loop.changes import AcceptChanges
from rose.loop.limits import check_limits
from rose.loop.protocol import Plan, RunRequest
from rose.loop.state import Results, WorkflowResult
from rose.pool.plan import PoolPlan
from rose.pool.pool import Pool
from rose.stages.config import LearnerConfig, UQLearnerConfig

R = TypeVar("R")


class UQLearner(Learner[R]):
    """Hold what both uncertainty-driven learners have in common.

    Args:
        engine: what executes tasks: nothing (the embedded `LocalEngine`, started for each run and closed after it), a
            number of workers, or an engine of ours, which stays yours to close (`await learner.shutdown()`).
        pool: the candidates; without one, the learner runs ROSE's dataflow over files of yours.
        run_dir: the directory that holds everything about the run; None for a temporary one. Where there is a run in
            it, running is resuming: what is recorded as done is not run again.
        acquisition: how a batch is chosen from a pool, a name from `rose.acquisition.acquisitions()`.
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
        acquisition: str = "diverse",
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
    ) -> None:
        if pool is not None and not isinstance(pool, Pool):
            raise ConfigurationError(
                f"pool must be a rose.Pool, got {type(pool).__name__}; wrap it: Pool(X, initial=20)"
            )
        super().__init__(engine, run_dir=run_dir, resume=resume, accept_changes=accept_changes, keep_models=keep_models)
        self.learner_name = "UQLearner"
        self.pool = pool
        self.acquisition = acquisition

    def planned(self, request: RunRequest) -> Plan:
        """Return the loops of a request: over the pool, or in ROSE's dataflow."""
        return DataflowPlan(request) if self.pool is None else PoolPlan(request, self.pool, self.acquisition)


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

        Raises:
            ConfigurationError and its kinds: at once.
        """
        name = self.learner_name
        request = RunRequest(
            names=(name,),
            stages={name: self.registered()},
            model_names=self._model_names(model_names),
            num_predictions=checks.check_count(num_predictions, "num_predictions", 1),
            configs={name: checks.check_config(learning_config, "learning_config")},
            limits=check_limits(max_iter, budget, max_time),
            skip_pre_loop=skip_pre_loop,
            learner_ids=False,
        )
        return self.planned(request)

    def _learned(self, results: Results) -> WorkflowResult:
        return results[self.learner_name]


class ParallelUQLearner(UQLearner[Results]):
    """Run several workflows side by side on the same workers, each with its own configuration."""

    def plan(
        self,
        learner_names: Sequence[str] | None = None,
        model_names: Sequence[str] | None = None,
        num_predictions: int = 1,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        learner_configs: Mapping[str, LearnerConfig | None] | None = None,
        *,
        workflows: Mapping[str, str | UQLearnerConfig] | None = None,
        budget: int | None = None,
        max_time: float | None = None,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflows to be opened.

        Args:
            learner_names: the workflows.
            model_names: the members of each ensemble.
            num_predictions: stochastic passes per member.
            max_iter: the most iterations of each workflow; 0: until another end.
            skip_pre_loop: (ROSE's dataflow) begin with the uncertainty of what is there already.
            learner_configs: configurations by workflow; a missing one is empty.
            workflows: (pools) in short: `{name: metric name or configuration}` instead of names and configs.
            budget: (pools) the most labels a workflow may hold.
            max_time: seconds after which no new round begins.

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
        names = checks.check_names(learner_names, "learner_names")
        request = RunRequest(
            names=names,
            stages=dict.fromkeys(names, self.registered()),
            model_names=self._model_names(model_names),
            num_predictions=checks.check_count(num_predictions, "num_predictions", 1),
            configs=checks.check_configs(learner_configs, names),
            limits=check_limits(max_iter, budget, max_time),
            skip_pre_loop=skip_pre_loop,
        )
        return self.planned(request)

    def _learned(self, results: Results) -> Results:
        return results


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
