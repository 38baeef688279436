"""Label candidates for one workflow: ask for what was chosen, gather what its schedule waits for, and hold it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rose.loop.quorum import FailureLimit
from rose.loop.schedule import Gather, Schedule
from rose.pool.labelling._submissions import Submissions
from rose.pool.labelling.labelled_set import Arrived, LabelledSet
from rose.pool.labelling.simulator import Simulator, Submission
from rose.pool.pool import Pool
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.kinds import gives_label
from rose.store import RETRIED, Dropped, Run

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
        self._audits = Submissions(simulator, workflow)
        self._failures = FailureLimit()
        self._asked = _NOTHING
        self._arrived = Arrived(_NOTHING, [], [])
        self._was_pending: Sequence[tuple[int, int]] = ()
        self._withdrawn: list[list[int]] = []  # by people: [iteration, candidate]
        self._recalled = False
        self._note = f"withdrawn {workflow}"

    async def label(self, iteration: int, chosen: np.ndarray, config: LearnerConfig) -> list[int]:
        """Ask for the chosen candidates, and add what arrives to the labelled set; return those that were dropped.

        Raises:
            TaskError: if a simulation fails, and its policy is not to drop its candidate.
        """
        await self._recall()
        for earlier, some in itertools.groupby(self._was_pending, key=lambda one: one[0]):
            await self._ask(earlier, np.array([index for _, index in some], dtype=np.int64), config)
        self._was_pending = ()
        taken = [*self.labelled.indices.tolist(), *self.labelled.pending.tolist(), *self.labelled.reserved]
        asked = await joined(self._run, self._workflow, iteration, chosen, taken, self._pool)
        left = self._retryable(), self._simulator.is_dropped
        self._asked, left_out = await with_retried(self._run, self._workflow, iteration, asked, *left)
        await self._ask(iteration, self._asked, config, left_out)
        self._arrived = await self._gather(iteration)
        return self._arrived.into(self.labelled)

    @property
    def arrived(self) -> Arrived:
        """Return what the last iteration got, in the order in which it came."""
        return self._arrived

    async def audit(self, iteration: int, indices: np.ndarray, config: LearnerConfig) -> Arrived:
        """Label candidates that no ensemble learns from: they cannot be chosen any more, and join no labelled set.

        Raises:
            TaskError: if a simulation fails, and its policy is not to drop its candidate.
        """
        self.labelled.expect(indices)
        await self._audits.ask(iteration, indices, config)
        self._leave_out(self._audits)
        found = await self._audits.gather(Gather())
        self.labelled.reserve(indices)
        return found

    async def restore_audit(
        self, iteration: int, indices: np.ndarray, contents: Sequence[bytes], dropped: Sequence[int],
        config: LearnerConfig,
    ) -> Arrived:  # fmt: skip
        """Return what `audit` gave in that iteration, which is recorded."""
        self.labelled.reserve(indices)
        return await self._simulator.recorded(self._workflow, iteration, indices, contents, dropped, config)

    def fails(self, config: LearnerConfig, iteration: int, query_size: int) -> bool:
        """Count what the last iteration labelled; tell whether too many simulations have failed by now."""
        stage = stage_for(self._simulator.stage, config, iteration)
        return self._failures.exceeded(self._arrived.labels, stage, query_size)

    def checkpoint(self) -> dict[str, Any]:
        """Return, in plain values, what the iteration asked for and got.

        That is: which candidates it asked for; which arrived, in order, with what their labels are recorded as; and
        which are pending, each with the iteration that asked for it.
        """
        return {
            "asked": self._asked.tolist(),
            "arrived": self._arrived.indices.tolist(),
            "contents": list(self._arrived.contents),
            "pending": [[one.iteration, one.index] for one in self._submissions.pending],
        }

    async def restore(
        self, iteration: int, config: LearnerConfig, dropped: Sequence[int], checkpoint: Mapping[str, Any]
    ) -> None:
        """Restore the labels of an iteration that is recorded; the next one asks again for what was pending."""
        indices = np.array(checkpoint["arrived"], dtype=np.int64)
        arrived = await self._simulator.recorded(
            self._workflow, iteration, indices, checkpoint["contents"], dropped, config
        )
        await self._recall()
        final = self._final(arrived)
        arrived.into(self.labelled)
        self._failures.exceeded(final, self._simulator.stage, len(indices))
        self._was_pending = checkpoint["pending"]

    def goes_on(self) -> bool:
        """Tell whether there are candidates that were dropped, and have a label now."""
        return any(not self._simulator.is_dropped(content) for content in self._retryable().values())

    async def withdraw(self, candidate: int) -> bool:
        """Do without a candidate that is being simulated, which counts as dropped; tells whether it is."""
        one = self._find(candidate)
        if one is None:
            return False
        self._withdrawn.append([one.iteration, candidate])
        one.leave_out()  # at once: whatever is recorded after the note has been learned without it
        if not self._run.temporary:
            await self._run.journal.note(self._note, self._withdrawn)
        return True

    async def give(self, candidate: int, label: Any) -> bool:
        """Take a label from a person for a candidate that is being simulated; tells whether it is taken."""
        one = self._find(candidate)
        return one is not None and await self._simulator.give(one, label)

    def end(self) -> None:
        """Let go of what is pending."""
        self._submissions.end()
        self._audits.end()

    def _find(self, candidate: int) -> Submission | None:
        return self._submissions.find(candidate) or self._audits.find(candidate)

    async def _recall(self) -> None:
        """Read which candidates people withdrew before the run was resumed."""
        if not self._recalled and not self._run.temporary and self._run.journal.epoch > 1:
            self._withdrawn = await self._run.journal.meta(self._note) or []
        self._recalled = True

    def _retryable(self) -> dict[int, bytes]:
        """Return what was dropped because it failed, with what identifies each sample."""
        withdrawn = {candidate for _, candidate in self._withdrawn}
        return {index: content for index, content in self.labelled.dropped.items() if index not in withdrawn}

    async def _ask(
        self, iteration: int, indices: np.ndarray, config: LearnerConfig, left_out: frozenset[bytes] = frozenset()
    ) -> None:
        await self._submissions.ask(iteration, indices, config, left_out)
        self.labelled.expect(indices)
        self._leave_out(self._submissions)

    def _leave_out(self, submissions: Submissions) -> None:
        """Do without those that people have withdrawn."""
        for one in submissions.pending:
            if [one.iteration, one.index] in self._withdrawn:
                one.leave_out()  # though its label may be there by now, asked for by another workflow

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
        """Return the labels, those of simulations that failed for good for the first time as `Dropped`.

        How many may be dropped is limited; the others that failed are None.
        """
        final: list[Any] = []
        for index, content, label in zip(arrived.indices.tolist(), arrived.contents, arrived.labels, strict=True):
            again = index in self.labelled.dropped or not self._simulator.is_dropped(content)
            final.append(None if isinstance(label, Dropped) and again else label)
        return final


async def joined(
    run: Run, workflow: str, iteration: int, chosen: np.ndarray, taken: Sequence[int], pool: Pool
) -> np.ndarray:
    """Return the candidates that are labelled in this round: those chosen, then those whose labels are given since.

    What joins is noted before anything is learned from it, so that a resumed round is the same round.

    Args:
        run, workflow, iteration: which round.
        chosen: int64, what was chosen before.
        taken: the candidates that are labelled.
        pool: the pool.
    """
    if run.temporary:
        return chosen
    name = f"given {workflow}/{iteration}"
    new = await run.journal.meta(name) if run.journal.epoch > 1 else None
    if new is None:
        new = (
            []
            if run.has_recorded(workflow, iteration, but=gives_label)
            else pool.given.beside([*taken, *chosen.tolist()])
        )
        if new:
            await run.journal.note(name, new)
    there = {*taken, *chosen.tolist()}
    return np.concatenate([chosen, np.array([index for index in new if index not in there], dtype=np.int64)])


async def with_retried(
    run: Run,
    workflow: str,
    iteration: int,
    asked: np.ndarray,
    dropped: Mapping[int, bytes],
    is_dropped: Callable[[bytes], bool],
) -> tuple[np.ndarray, frozenset[bytes]]:
    """Return the candidates that are labelled in this round: those asked for, then those that are tried again.

    What is tried again is noted before anything is learned from it, so that a resumed round is the same round.

    Args:
        run, workflow, iteration: which round.
        asked: int64, the candidates of the round.
        dropped: those that the workflow did without up to now, with what identifies each sample.
        is_dropped: whether a sample is still to be done without.

    Returns:
        The candidates; and the samples that are left out, though they may be tried again: this round has been decided
        upon without them.
    """
    if run.temporary or run.journal.epoch == 1:
        return asked, frozenset()
    name, learned = f"retried {workflow}/{iteration}", run.has_recorded(workflow, iteration, but=gives_label)
    again: list[int] | None = await run.journal.meta(name)
    if again is None:
        again = [] if learned else [index for index, content in dropped.items() if not is_dropped(content)]
        if again:
            await run.journal.note(name, again)
    there = set(asked.tolist())
    added = [index for index in again if index in dropped and index not in there]
    left_out = await run.journal.meta(RETRIED) if learned else None
    return np.concatenate([asked, np.array(added, dtype=np.int64)]), frozenset(map(bytes.fromhex, left_out or ()))
