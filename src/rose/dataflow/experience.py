"""Run the loop of several environments side by side, whose experiences are merged for one update.

environments -> their banks, merged -> update -> criterion
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rose.dataflow.bank import MERGED, ExperienceBank, banks_left, merge_banks
from rose.dataflow.reinforcement import ReinforcementLoop, ReinforcementPlan
from rose.engine import TaskKey
from rose.errors import ConfigurationError
from rose.loop.groups import all_of
from rose.loop.protocol import Loop, RunRequest
from rose.stages.config import LearnerConfig
from rose.stages.kinds import BANKS, MERGE
from rose.stages.runner import Runner
from rose.stages.stage import Registered


class ExperienceLoop(ReinforcementLoop):
    """Play the iterations of one workflow of several environments.

    Args:
        name, registered, request, runner: as `ReinforcementLoop` takes them.
        environments: their kinds.
        work_dir: where they leave banks, and the merged one is written.
    """

    also = (BANKS, MERGE)

    def __init__(
        self,
        name: str,
        registered: Registered,
        request: RunRequest,
        runner: Runner,
        environments: Sequence[str],
        work_dir: str,
    ) -> None:
        super().__init__(name, registered, request, runner)
        self._environments = tuple(environments)
        self._work_dir = work_dir

    async def experience(self, iteration: int, config: LearnerConfig, value: tuple[float, ...]) -> str:
        """Return the path of the merged bank.

        What was in the directory before is recorded, so that after a crash it is known, too, which banks are new.
        """
        before = await self._bookkeep(iteration, BANKS, banks_left, self._work_dir)
        results = await all_of(self.call(kind, iteration, config, value) for kind in self._environments)
        returned = [result for result in results if isinstance(result, ExperienceBank)]
        await self._bookkeep(iteration, MERGE, merge_banks, self._work_dir, before, returned)
        return os.path.join(self._work_dir, f"{MERGED}.npz")  # not as recorded: directories move

    async def _bookkeep(self, iteration: int, what: str, function: Any, *args: Any) -> Any:
        """Run a task of our own, where the files are."""
        return await self.runner.function(TaskKey(self.name, iteration, what), None, function, *args)


class ExperiencePlan(ReinforcementPlan):
    """Plan workflows of several environments.

    Args:
        request: what was asked for.
        environments: their kinds, in the order in which they were registered.
        work_dir: as `ExperienceLoop` takes it.

    Raises:
        ConfigurationError, BindingError: as `DataflowPlan` says.
    """

    def __init__(self, request: RunRequest, environments: Sequence[str], work_dir: str) -> None:
        self._environments = tuple(environments)
        self._work_dir = work_dir
        super().__init__(request)

    @property
    def identity(self) -> dict[str, str]:
        """Return what a resumed run must have been begun with, by name."""
        return super().identity | {"environments": ", ".join(self._environments)}

    def make_loop(self, name: str, runner: Runner) -> Loop:
        """Return the loop of one workflow."""
        registered = self.request.stages[name]
        return ExperienceLoop(name, registered, self.request, runner, self._environments, self._work_dir)

    def explores(self, kind: str) -> bool:
        """Tell whether it is a kind of environments that this plan plays."""
        return kind in self._environments

    def _check_stages(self, registered: Registered) -> None:
        if not self._environments:
            raise ConfigurationError(
                "Environment and Update functions must be set! Decorate environments with "
                "@learner.environment_task(name='...')"
            )
        super()._check_stages(registered)
        if not os.path.isdir(self._work_dir):
            raise ConfigurationError(
                f"work_dir={self._work_dir!r} is no directory; make it: environments leave their banks there"
            )
        if os.path.exists(os.path.join(self._work_dir, f"{MERGED}.pkl")):
            raise ConfigurationError(
                f"work_dir={self._work_dir!r} holds {MERGED}.pkl, which an update may take for the merged bank, "
                f"{MERGED}.npz; move it away, or use another directory"
            )
