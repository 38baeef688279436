"""How many members an ensemble may do without in a round."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from rose.engine import TaskKey
from rose.errors import EnsembleError, PlaceError, TaskError
from rose.workflow.config import LearnerConfig
from rose.workflow.overrides import stage_for
from rose.workflow.runner import Runner
from rose.workflow.stages import Stage


class Quorum:
    """The members of one round that failed to train, where the policy is to go on without them."""

    def __init__(self, training: Stage, config: LearnerConfig, iteration: int, runner: Runner) -> None:
        self._training = training
        self._config = config
        self._iteration = iteration
        self._runner = runner
        self.failed: dict[str, TaskError] = {}

    @contextlib.asynccontextmanager
    async def excused(self, key: TaskKey) -> AsyncIterator[list[TaskError]]:
        """Note the failure of the training with this key, if its policy is to drop it; the list then holds it."""
        failure: list[TaskError] = []
        try:
            yield failure
        except TaskError as error:
            policy = stage_for(self._training, self._config, self._iteration, key.model).on_failure
            if policy != "drop" or isinstance(error, PlaceError):
                raise
            await self._runner.dropped(key, error)
            self.failed[str(key.model)] = error
            failure.append(error)

    def check(self, workflow: str, members: int) -> None:
        """That enough members have trained.

        Raises:
            EnsembleError: if fewer than `min_members` (at least one) have.
        """
        least = stage_for(self._training, self._config, self._iteration).min_members or 1
        trained = members - len(self.failed)
        if trained < min(least, members) or not trained:
            first = next(iter(self.failed.values()))
            raise EnsembleError(
                f"workflow {workflow!r}, iteration {self._iteration}: {trained} of {members} members trained, and "
                f"min_members={least}; failed: {', '.join(self.failed)}; the first: {first}"
            ) from first
