"""Say how much failure a workflow goes on with: members that did not train, and simulations that gave no label."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rose.engine import TaskKey
from rose.errors import EnsembleError, PlaceError, TaskError
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.runner import Runner
from rose.stages.stage import Stage
from rose.store import Dropped


class Quorum:
    """Count the members of one round that failed to train, where the policy is to go on without them."""

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
        """Check that enough members have trained.

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


class FailureLimit:
    """Count a workflow's simulations that failed, and say when it is to stop.

    By `max_failed_simulations`: a count, or a share of those that were asked for. Without it, it stops when as many in
    a row have failed as it asks for in a round, and at least `IN_A_ROW`; and always when the first batch gave no label.
    """

    IN_A_ROW = 10

    def __init__(self) -> None:
        self._asked = self._failed = self._in_a_row = 0

    def exceeded(self, labels: Sequence[Any], stage: Stage, query_size: int) -> bool:
        """Count another batch, and return whether that is too much."""
        for label in labels:
            failed = isinstance(label, Dropped)
            self._asked += 1
            self._failed += failed
            self._in_a_row = self._in_a_row + 1 if failed else 0
        if self._failed == self._asked:
            return True
        limit = stage.max_failed_simulations
        if limit is None:
            return self._in_a_row >= max(query_size, self.IN_A_ROW)
        return self._failed > (limit if isinstance(limit, int) else limit * self._asked)
