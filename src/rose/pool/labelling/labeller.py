"""Label candidates for one workflow: ask for what was chosen, gather what its schedule waits for, and hold it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rose.loop.schedule import Schedule
from rose.pool.labelling.joining import joined, with_retried
from rose.pool.labelling.labelled_set import Arrived, LabelledSet
from rose.pool.labelling.simulator import Simulator
from rose.pool.labelling.submissions import Submissions
from rose.pool.pool import Pool
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.quorum import FailureLimit
from rose.store import Dropped, Run

_NOTHING = np.empty(0, dtype=np.int64)


class Labeller:
    """Hold the labelled set of one workflow, and what it has asked for.

    Args:
        workflow: its name.
        pool: the candidates.
        simulator: what labels them, for all workflows.
        schedule: which labels an iteration waits for.
        run: where what arrives is recorded.
    """

    def __init__(self, workflow: str, pool: Pool, simulator: Simulator, schedule: Schedule, run: Run) -> None:
        self.labelled = LabelledSet(len(pool))
        self._workflow = workflow
        self._pool = pool
        self._simulator = simulator
        self._schedule = schedule
        self._run = run
        self._submissions = Submissions(simulator, workflow)
        self._failures = FailureLimit()
        self._asked = _NOTHING
        self._arrived = Arrived(_NOTHING, [], [])
        self._was_pending: Sequence[tuple[int, int]] = ()

    async def label(self, iteration: int, chosen: np.ndarray, config: LearnerConfig) -> list[int]:
        """Ask for the chosen candidates, and add what arrives to the labelled set; return those that were dropped.

        Raises:
            TaskError: if a simulation fails, and its policy is not to drop its candidate.
        """
        for earlier, some in itertools.groupby(self._was_pending, key=lambda one: one[0]):
            await self._ask(earlier, np.array([index for _, index in some], dtype=np.int64), config)
        self._was_pending = ()
        taken = [*self.labelled.indices.tolist(), *self.labelled.pending.tolist()]
        asked = await joined(self._run, self._workflow, iteration, chosen, taken, self._pool)
        left = self.labelled.dropped, self._simulator.is_dropped
        self._asked, left_out = await with_retried(self._run, self._workflow, iteration, asked, *left)
        await self._ask(iteration, self._asked, config, left_out)
        self._arrived = await self._gather(iteration)
        return self._arrived.into(self.labelled)

    def fails(self, config: LearnerConfig, iteration: int, query_size: int) -> bool:
        """Count what the last iteration labelled; tell whether too many simulations have failed by now."""
        stage = stage_for(self._simulator.stage, config, iteration)
        return self._failures.exceeded(self._arrived.labels, stage, query_size)

    def checkpoint(self) -> dict[str, Any]:
        """Return, in plain values, which candidates the iteration asked for; which arrived, in order, with what their
        labels are recorded as; and which are pending, each with the iteration that asked for it."""
        return {
            "asked": self._asked.tolist(),
            "arrived": self._arrived.indices.tolist(),
            "contents": list(self._arrived.contents),
            "pending": [[one.iteration, one.index] for one in self._submissions.pending],
        }

    async def restore(
        self, iteration: int, config: LearnerConfig, dropped: Sequence[int], checkpoint: Mapping[str, Any]
    ) -> None:
        """Have the labels of an iteration that is recorded; what was pending is asked for again by the next."""
        indices = np.array(checkpoint["arrived"], dtype=np.int64)
        arrived = await self._simulator.recorded(
            self._workflow, iteration, indices, checkpoint["contents"], dropped, config
        )
        final = self._final(arrived)
        arrived.into(self.labelled)
        self._failures.exceeded(final, self._simulator.stage, len(indices))
        self._was_pending = checkpoint["pending"]

    def goes_on(self) -> bool:
        """Tell whether there are candidates that were dropped, and have a label now."""
        return any(not self._simulator.is_dropped(content) for content in self.labelled.dropped.values())

    def end(self) -> None:
        """Let go of what is pending."""
        self._submissions.end()

    async def _ask(
        self, iteration: int, indices: np.ndarray, config: LearnerConfig, left_out: frozenset[bytes] = frozenset()
    ) -> None:
        await self._submissions.ask(iteration, indices, config, left_out)
        self.labelled.expect(indices)

    async def _gather(self, iteration: int) -> Arrived:
        """Wait as the schedule says. Where what comes first is chance, it is noted before it is learned from."""
        wanted = self._schedule.gathers(len(self.labelled), len(self._submissions.pending))
        if self._run.temporary or wanted.order == "submitted" or wanted.count is None:
            return await self._submissions.gather(wanted)
        name = f"arrived {self._workflow}/{iteration}"
        found = await self._submissions.gather(wanted, await self._run.journal.meta(name))
        await self._run.journal.note(name, found.indices.tolist())
        return found

    def _final(self, arrived: Arrived) -> list[Any]:
        """Return the labels, of those that failed for good, and for the first time, as `Dropped`: how many may is
        limited."""
        final: list[Any] = []
        for index, content, label in zip(arrived.indices.tolist(), arrived.contents, arrived.labels, strict=True):
            again = index in self.labelled.dropped or not self._simulator.is_dropped(content)
            final.append(None if isinstance(label, Dropped) and again else label)
        return final
