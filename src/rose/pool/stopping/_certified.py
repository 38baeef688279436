"""Certify an ensemble: look, by an audit, whether enough of the pool is predicted well enough, and say so.

The audit is drawn at the first look from the candidates that are not labelled by then, and none of it is learned from:
of that ensemble it is a fair sample of all that it has not seen (later ones learn from candidates beside it, of which
they are least sure; that leaves the audit the harder part). How labelled candidates are predicted is known. It grows
only while that may still show something. Whether to look is decided by what is known without the audit, so that its
labels cannot choose the moment that suits them; each look spends its part of the error probability. So whenever the
workflow ends by it, the statement holds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rose.pool.stopping._audit import Audit
from rose.pool.stopping._bounds import sizes, spent_by
from rose.pool.stopping._foresight import LAST, foreseen
from rose.pool.stopping._said import Said
from rose.pool.stopping.rules import Certified
from rose.stages.config import LearnerConfig

_HOPE = 0.6  # of what may be predicted badly: with so much of it foreseen, it looks
_MORE = 1.1  # times the labels of the last look, before the next one
_WORTH = 0.4  # of the labels so far: how much larger an audit may have to get, to show what it may show
_LOST = 0.8  # of what may be predicted badly: an audit that has so much is not made larger
_MOST = 5  # times the smallest audit, where the user does not say how large it may get


@dataclass
class Certification:
    """Hold the audit of one workflow and its looks."""

    rule: Certified
    audit: Audit
    looks: int = 0
    looked_at: int = 0  # labels that the last one had
    pairs: list[list[float]] = field(default_factory=list)  # how far earlier predictions were off, and their doubt
    told: dict[str, Any] = field(default_factory=dict)  # of the last iteration

    @property
    def most(self) -> int:
        """Return how many labels the audit may take."""
        return _MOST * self.rule.fewest if self.rule.audit is None else self.rule.audit

    def upcoming(self) -> list[int]:
        """Return the candidates by which the audit may grow now, in order."""
        return self.audit.upcoming(self.most - len(self.audit))

    def learn(self, off: np.ndarray, doubt: np.ndarray) -> None:
        """Take note of how far predictions of candidates were off that have labels now."""
        pairs = np.stack([off, doubt], axis=1).tolist()
        self.pairs = [*self.pairs, *pairs][-LAST:]

    def looks_now(self, doubt: np.ndarray, classes: bool, labels: int) -> bool:
        """Tell whether it is time to look, of an ensemble with such `doubt` of the pool that has so many labels."""
        bad = 1.0 - self.rule.share
        share = foreseen(doubt, self.pairs, classes)
        self.told = {"foreseen_share": round(share, 4)}
        return share >= 1.0 - _HOPE * bad and labels >= _MORE * self.looked_at

    async def look(
        self,
        iteration: int,
        said: Said,
        upcoming: Sequence[int],
        known_bad: int,
        labels: int,
        room: int,
        config: LearnerConfig,
    ) -> str | None:
        """Look once, and make the audit larger as far as that may show something.

        Args:
            iteration: which it is.
            said: what the ensemble says of the audit, and then of the candidates that come next.
            upcoming: these candidates.
            known_bad: how many of the candidates that it has learned from it predicts badly.
            labels: how many the ensemble has learned from.
            room: how many more labels may be had.
            config: the workflow's configuration.

        Returns:
            The statement, if it holds.
        """
        rule, ahead, places = self.rule, list(upcoming), list(range(len(self.audit)))
        passing = await asyncio.to_thread(self._passing, known_bad)
        self.looks, self.looked_at = self.looks + 1, labels
        first, next_place = True, len(self.audit)
        while True:
            off = said.at(np.array(places, dtype=np.int64)).off(self.audit.labels, rule.error)
            bad = int(np.sum(off > 1.0))
            if bad < len(passing) and len(off) >= passing[bad]:
                return self._statement(bad, said.names is not None)
            more = self._lacks(passing, bad, len(off), labels, first)
            if not 0 < more <= min(room, len(ahead)):
                self._tell(bad)
                return None
            first, room, drawn, ahead = False, room - more, ahead[:more], ahead[more:]
            had = set(self.audit.indices)
            await self.audit.grow(iteration, drawn, config)
            where = {candidate: next_place + place for place, candidate in enumerate(drawn)}
            places += [where[candidate] for candidate in self.audit.indices if candidate not in had]
            next_place += more

    def _passing(self, known_bad: int) -> tuple[int, ...]:
        """Return how large the audit must be to pass with 0, 1, 2, ... bad ones, at this look.

        It is of the candidates that have no label; of the others it is known how they are predicted.
        """
        labelled, rule = self.audit.labeller.labelled, self.rule
        pool = self.audit.size - len(labelled.dropped) - len(self.audit.dropped)
        unknown = pool - len(labelled)
        bad = math.floor(pool * (1.0 - rule.share) + 1e-9) + 1 - known_bad
        alpha = round((1.0 - rule.confidence) * spent_by(self.looks), 12)
        return sizes(unknown, bad, alpha) if bad > 0 else ()

    def _lacks(self, passing: Sequence[int], bad: int, size: int, labels: int, first: bool) -> int:
        """Return by how much the audit has to grow to pass if all else is predicted well; 0: it is not worth it."""
        if bad >= len(passing):
            return 0
        more = passing[bad] - size
        if size < passing[0] and not bad:
            return more
        lost = (bad + 0.5) / (size + 1.0) >= _LOST * (1.0 - self.rule.share)
        return 0 if lost or more > _WORTH * (labels + size) else more

    def _tell(self, bad: int) -> None:
        self.told |= {"looks": self.looks, "audit": len(self.audit), "audit_bad": bad}

    def _statement(self, bad: int, classes: bool) -> str:
        self._tell(bad)
        rule, count = self.rule, len(self.audit)
        if classes or rule.error is None:
            good, failed = "are predicted right", "wrong"
        else:
            within = f"{rule.error[0]:g}" if len(set(rule.error)) == 1 else "their errors"
            good, failed = f"are predicted within {within}", "not"
        lost = len(self.audit.dropped)
        but = f", without the {lost} that could not be simulated" if lost else ""
        found = f"{bad} {'is' if bad == 1 else 'are'} {failed}"
        sure, share = f"{100 * rule.confidence:.4g} %", f"{100 * rule.share:.4g} %"
        return (
            f"With {sure} confidence, at least {share} of the pool's candidates {good}: of "
            f"{count} that were drawn at random and never learned from{but}, {found}."
        )

    def checkpoint(self) -> dict[str, Any]:
        """Return all of it, and what the audit asked for, in plain values."""
        return {
            "looks": self.looks,
            "looked_at": self.looked_at,
            "pairs": self.pairs,
            **({"audit": asked} if (asked := self.audit.checkpoint()) else {}),
        }

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore what `checkpoint` gave, but for the audit."""
        self.looks, self.looked_at = checkpoint["looks"], checkpoint["looked_at"]
        self.pairs = list(checkpoint["pairs"])
