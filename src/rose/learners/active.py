"""Run ROSE's active learning: one workflow, or several side by side, over files of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rose.dataflow.active import ActivePlan
from rose.learners._numbered import DataflowLearner, numbered
from rose.loop.protocol import Plan
from rose.loop.state import Results, StateResult
from rose.stages.config import LearnerConfig

R = TypeVar("R")


class ActiveLearner(DataflowLearner[R]):
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
        configs = self._only(initial_config, learner_config)
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
