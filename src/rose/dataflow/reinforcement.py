"""Run the loop of ROSE's reinforcement learners.

environment -> update -> criterion; the criterion's value goes to the next iteration's environment
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rose.dataflow.base import JudgedLoop
from rose.dataflow.plan import DataflowPlan
from rose.errors import ConfigurationError
from rose.loop.limits import Ending
from rose.loop.protocol import Loop, Outcome, RunRequest
from rose.stages.config import LearnerConfig
from rose.stages.kinds import CRITERION, ENVIRONMENT, UPDATE
from rose.stages.runner import Runner
from rose.stages.stage import Registered


class ReinforcementLoop(JudgedLoop):
    """Play the iterations of one workflow of ROSE's reinforcement learners.

    Args:
        name: the workflow's.
        registered: its stages and criterion.
        request: what was asked for.
        runner: what runs its tasks.
        explores: whether there is an environment in it.
    """

    def __init__(
        self, name: str, registered: Registered, request: RunRequest, runner: Runner, explores: bool = True
    ) -> None:
        super().__init__(name, registered, request, runner)
        self._explores = explores
        self._value: tuple[float, ...] = ()  # the criterion's in the last iteration

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, checkpoint: Mapping[str, Any]
    ) -> None:
        """Restore the criterion's value."""
        self._end(iteration, outcome)

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Let the agent act, learn from that, and judge."""
        given: tuple[Any, ...] = self._value
        if iteration or not self._skips:
            if self._explores:
                given = (await self.experience(iteration, config, self._value),)
            given = (await self.call(UPDATE.name, iteration, config, given),)
        outcome = await self.judged(iteration, config, given, Outcome())
        self._end(iteration, outcome)
        return replace(outcome, stop=outcome.stop or ending(None))

    async def experience(self, iteration: int, config: LearnerConfig, value: tuple[float, ...]) -> Any:
        """Return what the update is given: here the result of the environment, which is told the criterion's value."""
        return await self.call(ENVIRONMENT.name, iteration, config, value)

    def _end(self, iteration: int, outcome: Outcome) -> None:
        self._last = iteration
        self._value = () if outcome.metric_value is None else (outcome.metric_value,)


class ReinforcementPlan(DataflowPlan):
    """Plan workflows of ROSE's reinforcement learners.

    Args:
        request: what was asked for.
        skip_environment_step: whether there is no environment: the update is given the criterion's value.

    Raises:
        ConfigurationError, BindingError: as `DataflowPlan` says.
    """

    needs = (UPDATE.name,)

    def __init__(self, request: RunRequest, skip_environment_step: bool = False) -> None:
        self._explores = not skip_environment_step
        super().__init__(request)

    @property
    def identity(self) -> dict[str, str]:
        """Return what a resumed run must have been begun with, by name."""
        return super().identity | {"skip_environment_step": str(not self._explores)}

    def make_loop(self, name: str, runner: Runner) -> Loop:
        """Return the loop of one workflow."""
        return ReinforcementLoop(name, self.request.stages[name], self.request, runner, self._explores)

    def explores(self, kind: str) -> bool:
        """Tell whether it is a kind of environments that this plan plays."""
        return self._explores and kind == ENVIRONMENT.name

    def upstream(self, kind: str, iteration: int) -> int | None:
        """Return how many results of earlier stages a stage is given; None: it is not called."""
        skips = not iteration and self.request.skip_pre_loop
        if kind == CRITERION.name:
            return 0 if skips else 1
        if skips or not (self.explores(kind) or kind == UPDATE.name):
            return None
        if kind == UPDATE.name and self._explores:
            return 1
        judged = self.request.stages[self.request.names[0]].criterion is not None
        return 1 if iteration and judged else 0

    def _check_registered(self, registered: Registered) -> None:
        self._check_stages(registered)
        self._check_judged(registered, "a reinforcement learner")
        super()._check_registered(registered)

    def _check_stages(self, registered: Registered) -> None:
        if self.explores(ENVIRONMENT.name) and ENVIRONMENT.name not in registered.stages:
            raise ConfigurationError(
                "Environment function must be set unless using external experiences! Decorate one with "
                "@learner.environment_task, or say skip_environment_step=True"
            )
        if UPDATE.name not in registered.stages:
            raise ConfigurationError("Update function must be set! Decorate one with @learner.update_task")
