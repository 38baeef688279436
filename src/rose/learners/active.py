"""Run ROSE's active learning: one workflow, or several side by side, over files of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from rose.dataflow.active import ActivePlan
from rose.errors import ConfigurationError
from rose.learners._numbered import numbered
from rose.learners.custom import SubmittingLearner
from rose.loop.changes import AcceptChanges
from rose.loop.limits import check_limits
from rose.loop.protocol import Plan, RunRequest
from rose.loop.state import IterationState, Results, StateResult
from rose.stages.config import LearnerConfig

R = TypeVar("R")


class ActiveLearner(SubmittingLearner[R]):
    """Hold what ROSE's active learners have in common.

    An iteration simulates what was chosen in the one before, trains on that, chooses (`active_learn_task`) and asks the
    criterion. Results travel by position: `simulate(chosen)`, `train(simulated)`, `choose(simulated, trained)`, and
    `criterion()`, which gets nothing. In the first iteration nothing was chosen: `simulate()`.

    Args:
        asyncflow: what executes tasks: a WorkflowEngine, or what `rose.learners.base.Learner` takes as `engine`.
        run_dir, resume, accept_changes, keep_models: as `rose.learners.base.Learner` says.

    Raises:
        ConfigurationError: if one of them cannot be.
    """

    submits = False  # whether calling a decorated function submits it
    learner_id: int | None = None  # a program's own; states of workflows side by side have theirs

    def __init__(
        self,
        asyncflow: Any = None,
        *,
        run_dir: str | Path | None = None,
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
    ) -> None:
        told: dict[str, Any] = {"run_dir": run_dir, "resume": resume, "accept_changes": accept_changes}
        super().__init__(asyncflow, self.submits, keep_models=keep_models, **told)

    def get_current_state(self, learner_name: str | int | None = None) -> IterationState | None:
        """Return the state after the last iteration of a workflow (None: of the first one); None: there was none."""
        for workflow in self._workflows:
            if learner_name is None or workflow.name == str(learner_name):
                return workflow.state
        return None

    def get_max_iterations(self) -> int | None:
        """Return the most iterations that the last run may have; None: any number, or nothing was run."""
        return (self._workflows[0].limits.max_iter or None) if self._workflows else None

    def _request(
        self,
        configs: Mapping[str, LearnerConfig],
        max_iter: int,
        max_time: float | None,
        skip_pre_loop: bool,
        ids: Mapping[str, int] | None = None,
    ) -> RunRequest:
        """Return the request of workflows with these configurations."""
        return RunRequest(
            names=tuple(configs),
            stages=dict.fromkeys(configs, self.registered()),
            model_names=(),
            num_predictions=1,
            configs=configs,
            limits=check_limits(max_iter, None, max_time),
            skip_pre_loop=bool(skip_pre_loop),
            learner_ids=ids is not None,
            ids=ids or {},
            hooks=self.hooks(),
        )


class SequentialActiveLearner(ActiveLearner[StateResult]):
    """Run one workflow of active learning.

    Calling a decorated function outside of it submits it at once and returns a future, as with `rose.Learner`; what is
    asked so is not recorded.

    `async for state in learner.start(...)` gives the state after each iteration; `await learner.start(...)`, or
    `teach`, runs to the end and gives what was learned, which has the attributes of the last state.
    """

    submits = True

    def plan(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_simulation_step: bool = False,
        initial_config: LearnerConfig | None = None,
        *,
        learner_config: LearnerConfig | None = None,
        max_time: float | None = None,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflow to be opened.

        Args:
            max_iter: the most iterations; 0: until the criterion is met. With n iterations there are n simulations and
                n trainings, none of which is in vain: the first of each are the pre-loop's.
            skip_pre_loop: begin with `choose((), ())`: what is there already is files; one simulation and one training
                less.
            skip_simulation_step: leave simulations out: `train()`, `choose(trained)`, `train(chosen)`, ...
            initial_config: configuration of the stages, until `set_next_config`.
            learner_config: what ROSE's `teach` calls it.
            max_time: seconds after which no new iteration begins.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        if initial_config is not None and learner_config is not None:
            raise ConfigurationError("initial_config and learner_config are one thing: give one of them")
        given, argument = initial_config, "initial_config"
        if learner_config is not None:
            given, argument = learner_config, "learner_config"
        configs = {self.learner_name: self._config(given, argument)}
        return ActivePlan(self._request(configs, max_iter, max_time, skip_pre_loop), skip_simulation_step)

    def _learned(self, results: Results) -> StateResult:
        result = results[self.learner_name]
        assert isinstance(result, StateResult)
        return result


class ParallelActiveLearner(ActiveLearner[Results]):
    """Run several workflows of active learning side by side on the same workers, each with its own configuration.

    Their states have `learner_id` 0, 1, ..., and come in the order of arrival. When all have ended, the error of one
    that failed is raised, with the results of all. What `teach` gives is, iterated, the last state of each workflow.
    """

    def plan(
        self,
        parallel_learners: int = 2,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_simulation_step: bool = False,
        learner_configs: Sequence[LearnerConfig | None] | None = None,
        *,
        max_time: float | None = None,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflows to be opened.

        Args:
            parallel_learners: how many workflows.
            max_iter, skip_pre_loop, skip_simulation_step, max_time: of each, as `SequentialActiveLearner` says.
            learner_configs: their configurations in order, None for an empty one.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        told = numbered(parallel_learners, learner_configs, self._config, "SequentialActiveLearner")
        request = self._request(told.configs, max_iter, max_time, skip_pre_loop, told.ids)
        return ActivePlan(request, skip_simulation_step)

    def _learned(self, results: Results) -> Results:
        return results
