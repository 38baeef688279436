"""Run the loop of ROSE's active learners.

simulation -> training -> active_learn -> criterion; what active_learn gives goes to the next iteration's simulation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rose.dataflow.base import JudgedLoop, selection
from rose.dataflow.plan import DataflowPlan
from rose.engine import TaskKey
from rose.errors import ConfigurationError
from rose.loop.limits import Ending
from rose.loop.protocol import Loop, Outcome, RunRequest
from rose.stages.config import LearnerConfig
from rose.stages.runner import Runner, result_keys
from rose.stages.stage import Registered


class ActiveLoop(JudgedLoop):
    """Play the iterations of one workflow of ROSE's active learners: one model, and one criterion of it.

    Args:
        name: the workflow's.
        registered: its stages and criterion.
        request: what was asked for.
        runner: what runs its tasks.
        simulates: whether there is a simulation in it.
        judges_choices: whether the criterion is called with what was chosen; else with nothing, as in ROSE.
    """

    def __init__(
        self,
        name: str,
        registered: Registered,
        request: RunRequest,
        runner: Runner,
        simulates: bool = True,
        judges_choices: bool = False,
    ) -> None:
        super().__init__(name, registered, request, runner)
        self._simulates = simulates
        self._judges_choices = judges_choices
        self._chosen: tuple[Any, ...] | None = ()  # in the last iteration; None: it is recorded, and not read

    def carries(self) -> list[str]:
        """Return all of the last iteration, and what it went on with."""
        return [*super().carries(), *result_keys(TaskKey(self.name, self._last - 1, "active_learn"))]

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, checkpoint: Mapping[str, Any]
    ) -> None:
        """Remember where what was chosen is recorded."""
        self._last, self._chosen = iteration, None

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Simulate what was chosen before, train on it, choose, and judge."""
        chosen = await self.call("active_learn", iteration, config, await self._learned(iteration, config))
        given = (chosen,) if self._judges_choices else ()
        outcome = await self.judged(iteration, config, given, Outcome(selection=selection(chosen)))
        self._last, self._chosen = iteration, (chosen,)
        return replace(outcome, stop=outcome.stop or ending(None))

    async def _learned(self, iteration: int, config: LearnerConfig) -> tuple[Any, ...]:
        """Return what active_learn is called with: the simulation's result and the training's."""
        if not iteration and self._skips:
            return ((), ()) if self._simulates else ()
        given = await self._chosen_before()
        if not self._simulates:
            return (await self.call("training", iteration, config, given),)
        simulated = await self.call("simulation", iteration, config, given)
        return simulated, await self.call("training", iteration, config, (simulated,))

    async def _chosen_before(self) -> tuple[Any, ...]:
        """Return what was chosen in the last iteration; nothing before the first."""
        if self._chosen is None:
            self._chosen = (await self.earlier("active_learn", self._last),)
        return self._chosen


class ActivePlan(DataflowPlan):
    """Plan workflows of ROSE's active learners.

    Args:
        request: what was asked for.
        skip_simulation_step: whether there is no simulation: the training is given what was chosen.
        judges_choices: whether the criterion is called with what was chosen; else with nothing, as in ROSE.

    Raises:
        ConfigurationError, BindingError: as `DataflowPlan` says.
    """

    needs = ("training", "active_learn")

    def __init__(self, request: RunRequest, skip_simulation_step: bool = False, judges_choices: bool = False) -> None:
        self._simulates = not skip_simulation_step
        self._judges_choices = judges_choices
        super().__init__(request)
        for name, stage in self.variants.items():
            if stage.on_failure == "drop":
                raise ConfigurationError(
                    f"{name}: there is one model, and no iteration can do without it; use retries="
                )

    @property
    def identity(self) -> dict[str, str]:
        """Return what a resumed run must have been begun with, by name."""
        return super().identity | {"skip_simulation_step": str(not self._simulates)}

    def make_loop(self, name: str, runner: Runner) -> Loop:
        """Return the loop of one workflow."""
        registered = self.request.stages[name]
        return ActiveLoop(name, registered, self.request, runner, self._simulates, self._judges_choices)

    def upstream(self, kind: str, iteration: int) -> int | None:
        """Return how many results of earlier stages a stage is given; None: it is not called."""
        skips = not iteration and self.request.skip_pre_loop
        if kind == "simulation":
            return min(iteration, 1) if self._simulates and not skips else None
        if kind == "training":
            return None if skips else 1 if self._simulates or iteration else 0
        if kind == "active_learn":
            return 2 if self._simulates else 0 if skips else 1
        return int(self._judges_choices) if kind == "criterion" else None

    def _check_registered(self, registered: Registered) -> None:
        if self._simulates and "simulation" not in registered.stages:
            raise ConfigurationError(
                "Simulation function must be set when not using simulation pool! Decorate one with "
                "@learner.simulation_task, or say skip_simulation_step=True"
            )
        missing = [kind for kind in self.needs if kind not in registered.stages]
        if missing:
            raise ConfigurationError(
                "Training and Active Learning functions must be set! There is no "
                + " and no ".join(f"@learner.{kind}_task" for kind in missing)
            )
        self._check_judged(registered, "an active learner")
        super()._check_registered(registered)
