"""Hold what one workflow has asked for and has not got yet: asking is one thing, gathering another."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container

import numpy as np

from rose.loop.schedule import Gather
from rose.pool.labelling.labelled_set import Arrived
from rose.pool.labelling.simulator import Simulator, Submission
from rose.stages.config import LearnerConfig


class Submissions:
    """Hold what one workflow has asked for, and gather what arrives of it."""

    def __init__(self, simulator: Simulator, workflow: str) -> None:
        self._simulator = simulator
        self._workflow = workflow
        self._pending: dict[Submission, None] = {}  # in the order of asking
        self._arrived: dict[Submission, None] = {}  # of those, in the order of arrival

    @property
    def pending(self) -> list[Submission]:
        """Return what has been asked for and not been gathered, in the order of asking."""
        return list(self._pending)

    async def ask(
        self, iteration: int, indices: np.ndarray, config: LearnerConfig, left_out: Container[bytes] = ()
    ) -> None:
        """Ask for the labels of these candidates; as `Simulator.ask`."""
        for one in await self._simulator.ask(self._workflow, iteration, indices, config, left_out):
            self._pending[one] = None
            one.arrival.add_done_callback(lambda _, one=one: self._arrives(one))  # type: ignore[misc]

    async def gather(self, what: Gather, exactly: Collection[int] | None = None) -> Arrived:
        """Wait for labels, and return them: in the order of asking, or of arrival.

        Args:
            what: which to wait for.
            exactly: the candidates that had arrived when this was recorded; they are waited for instead.

        Raises:
            TaskError, ConfigurationError: the first that a simulation of these raised. The others go on.
        """
        count = len(self._pending) if what.count is None else min(what.count, len(self._pending))
        if exactly is not None:
            place = {index: place for place, index in enumerate(exactly)}
            wanted = sorted((one for one in self._pending if one.index in place), key=lambda one: place[one.index])
        elif what.order == "submitted" or what.count is None:
            wanted = self.pending[:count]
        else:
            while len(self._arrived) < count:
                running = {one.arrival for one in self._pending if one not in self._arrived}
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            wanted = list(self._arrived)[:count]
        found = await self._simulator.gathered(wanted)
        for one in wanted:
            self._pending.pop(one, None)
            self._arrived.pop(one, None)
        return found

    def find(self, candidate: int) -> Submission | None:
        """Return what a candidate is being simulated for; None: it is not."""
        return next((one for one in self._pending if one.index == candidate and not one.arrival.done()), None)

    def end(self) -> None:
        """Let go of all that is pending."""
        pending, self._pending = self._pending, {}
        self._arrived = {}
        for one in pending:
            one.leave_out()

    def _arrives(self, one: Submission) -> None:
        if one in self._pending:
            self._arrived[one] = None
