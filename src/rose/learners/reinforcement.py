"""Run ROSE's reinforcement learning: one workflow, several side by side, or several environments for one update."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

from rose.dataflow import bank
from rose.dataflow.experience import ExperiencePlan
from rose.dataflow.reinforcement import ReinforcementPlan
from rose.errors import ConfigurationError
from rose.learners._numbered import DataflowLearner, numbered
from rose.learners._task_dicts import TaskDict
from rose.learners.registration import Decorator, F, explained
from rose.loop import checks
from rose.loop.protocol import Plan
from rose.loop.state import Results, StateResult
from rose.paths import expanded
from rose.stages.config import LearnerConfig
from rose.stages.kinds import ENVIRONMENT, KINDS, UPDATE

R = TypeVar("R")


class ReinforcementLearner(DataflowLearner[R]):
    """Hold what ROSE's reinforcement learners have in common.

    An iteration lets an agent act in its environment, updates its policy with what came of that, and asks the
    criterion. Results travel by position: `environment(value)`, `update(experience)`, `criterion(updated)`. The value
    is the criterion's; in the first iteration, and without a criterion, there is none: `environment()`.

    By itself it runs no loop: its decorated functions are called, and return futures, as those of `rose.Learner`.

    Args:
        asyncflow: what executes tasks: a WorkflowEngine, or what `rose.learners.base.Learner` takes as `engine`.
        register_and_submit: whether calling a decorated function submits it; None: as the class does.
        run_dir, resume, accept_changes, keep_models: as `rose.learners.base.Learner` says.

    Raises:
        ConfigurationError: if one of them cannot be.
    """

    submits = True
    environment_function: TaskDict
    update_function: TaskDict

    @overload
    def environment_task(self, func: F) -> F: ...
    @overload
    def environment_task(self, func: None = None, **options: Any) -> Decorator[Any]: ...
    @explained(ENVIRONMENT)
    def environment_task(self, func: Any = None, **options: Any) -> Any:
        """Register what lets the agent act, and gives what it has experienced."""
        return self._register(ENVIRONMENT, func, options)

    @overload
    def update_task(self, func: F) -> F: ...
    @overload
    def update_task(self, func: None = None, **options: Any) -> Decorator[Any]: ...
    @explained(UPDATE)
    def update_task(self, func: Any = None, **options: Any) -> Any:
        """Register what updates the agent's policy."""
        return self._register(UPDATE, func, options)

    def learn(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]:
        """Do what `teach` does, which ROSE calls so here."""
        return self._teach(self._plan_for("learn", args, kwargs))


class OneReinforcementLearner(ReinforcementLearner[StateResult]):
    """Hold what those reinforcement learners have in common that run one workflow."""

    def _learned(self, results: Results) -> StateResult:
        result = results[self.learner_name]
        assert isinstance(result, StateResult)
        return result


class SequentialReinforcementLearner(OneReinforcementLearner):
    """Run one workflow of reinforcement learning.

    Calling a decorated function outside of it submits it at once and returns a future, as with `rose.Learner`; what is
    asked so is not recorded.

    `async for state in learner.start(...)` gives the state after each iteration; `await learner.start(...)`, `learn` or
    `teach` runs to the end and gives what was learned, which has the attributes of the last state.
    """

    def plan(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_environment_step: bool = False,
        initial_config: LearnerConfig | None = None,
        *,
        learner_config: LearnerConfig | None = None,
        skip_simulation_step: bool = False,
        max_time: float | None = None,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflow to be opened.

        Args:
            max_iter: the most iterations; 0: until the criterion is met. With n iterations there are n environments and
                n updates, none of which is in vain.
            skip_pre_loop: begin with `criterion()`: there is a policy already; one environment and one update less.
            skip_environment_step: leave environments out: `update()`, then `update(value)`.
            initial_config: configuration of the stages, until `set_next_config`.
            learner_config, skip_simulation_step: what ROSE's `learn` calls two of these.
            max_time: seconds after which no new iteration begins.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        configs = self._only(initial_config, learner_config)
        request = self._request(configs, max_iter, max_time, skip_pre_loop)
        return ReinforcementPlan(request, skip_environment_step or skip_simulation_step)


class ParallelReinforcementLearner(ReinforcementLearner[Results]):
    """Run several workflows of reinforcement learning side by side on the same workers, each with a configuration.

    Their states have `learner_id` 0, 1, ..., and come in the order of arrival. When all have ended, the error of one
    that failed is raised, with the results of all. What `learn` gives is, iterated, the last state of each workflow.
    """

    submits = False

    def plan(
        self,
        parallel_learners: int = 2,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        learner_configs: Sequence[LearnerConfig | None] | None = None,
        *,
        skip_environment_step: bool = False,
        max_time: float | None = None,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflows to be opened.

        Args:
            parallel_learners: how many workflows.
            max_iter, skip_pre_loop, skip_environment_step, max_time: of each, as `SequentialReinforcementLearner` says.
            learner_configs: their configurations in order, None for an empty one.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        told = numbered(parallel_learners, learner_configs, self._config, "SequentialReinforcementLearner")
        request = self._request(told.configs, max_iter, max_time, skip_pre_loop, told.ids)
        return ReinforcementPlan(request, skip_environment_step)

    def _learned(self, results: Results) -> Results:
        return results


class ParallelExperience(OneReinforcementLearner):
    """Run one workflow of several environments side by side, whose experiences are merged for one update.

    An environment that is a function returns an `ExperienceBank`; others leave banks in `work_dir`, as files
    `experience_bank_NAME.npz` or `.pkl`. What all of an iteration's environments have given is merged into
    `experience_bank.npz` there, and its path is what the update is given. No other file is changed or removed.
    If one environment fails, so does the iteration.

    Each environment is a kind of stage of its own: configured by its name, or together as `environment`.

    Example:
        learner = ParallelExperience(4)

        @learner.environment_task(name="windy", as_executable=False)
        def windy(reward=None, speed=3): ...

        learner.run(max_iter=5, initial_config=LearnerConfig(windy=TaskConfig(kwargs={"speed": 5})))

    Attributes:
        work_dir: where banks are, by default the working directory.
    """

    work_dir: str | os.PathLike[str] = "."

    def __init__(self, asyncflow: Any = None, register_and_submit: bool | None = None, **options: Any) -> None:
        super().__init__(asyncflow, register_and_submit, **options)
        self._environments: list[str] = []

    @explained(ENVIRONMENT)
    def environment_task(self, func: Any = None, *, name: str | None = None, **options: Any) -> Any:
        """Register one of the environments.

        Args:
            func: the function; or the name, as ROSE takes it.
            name: what it is called, a Python name; None: as the function is.
            **options: as for the other decorators.

        Raises:
            ConfigurationError: if it cannot be called so.
        """
        if isinstance(func, str):
            func, name = None, func

        def decorator(function: Any) -> Any:
            own = getattr(function, "__name__", ENVIRONMENT.name) if name is None else name
            if own == UPDATE.name:
                raise ConfigurationError(f"an environment called {own!r} would be the update; call it otherwise")
            self.register_decorator(own, replace(ENVIRONMENT, name=own))
            if own not in self._environments:
                self._environments.append(own)
            return self._register(KINDS[own], function, options)

        return decorator if func is None else decorator(func)

    def merge_banks(self) -> str:
        """Merge all the banks that environments have left in `work_dir`, those of earlier runs, too.

        Returns:
            The path of the merged one, `experience_bank.npz`.

        Raises:
            BankError: if there is none, or one cannot be read.
        """
        return bank.merge_banks(self._folder(), {}, [])

    def plan(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        initial_config: LearnerConfig | None = None,
        *,
        learner_config: LearnerConfig | None = None,
        max_time: float | None = None,
    ) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflow to be opened.

        Args:
            max_iter, skip_pre_loop, max_time: as `SequentialReinforcementLearner` says.
            initial_config: configuration of the stages, until `set_next_config`.
            learner_config: what ROSE's `learn` calls it.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        configs = self._only(initial_config, learner_config)
        request = self._request(configs, max_iter, max_time, skip_pre_loop)
        return ExperiencePlan(request, self._environments, self._folder())

    def _folder(self) -> str:
        return os.path.abspath(expanded(self.work_dir, "work_dir"))

    def _config(self, config: LearnerConfig | None, argument: str) -> LearnerConfig:
        """Return a configuration in which each environment that has none of its own has that of all."""
        own = checks.check_config(config, argument)
        shared = getattr(own, ENVIRONMENT.name, None)
        for name in self._environments if shared is not None else ():
            if getattr(own, name, None) is None:
                setattr(own, name, shared)
        return super()._config(own, argument)
