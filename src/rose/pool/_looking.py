"""Ask a freshly trained ensemble what it says of the candidates, and have the next batch chosen by that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from rose.pool._learning import Learned, SharedPool, Wanted
from rose.pool.ensemble.members import Ensemble, RoundId
from rose.pool.ensemble.predictions import usable
from rose.pool.labelling.labelled_set import LabelledSet
from rose.pool.pool import Pool
from rose.pool.scoring_rule import Scoring, silent
from rose.pool.screening.screener import Screener
from rose.pool.selection import Candidates, Chooser
from rose.stages.config import LearnerConfig
from rose.stages.shared import Shared


class Looked(NamedTuple):
    """Hold what an ensemble says of the candidates.

    Attributes:
        scores: their uncertainty.
        silent: whether members that all predict the same were asked what they differ in.
        level: whether all scores are equal.
        choose: gives the pool indices of the next batch, told how many.
    """

    scores: np.ndarray
    silent: bool
    level: bool
    choose: Callable[[int], Awaitable[np.ndarray]]


@dataclass(frozen=True)
class Looker:
    """Look at the candidates of one workflow: at all of them, or part by part where they are too many."""

    pool: Pool
    shared: SharedPool
    ensemble: Ensemble
    chooser: Chooser
    screener: Screener

    def wanted(self, scoring: Scoring, labelled: LabelledSet) -> Wanted:
        """Return what the ensemble is to look at.

        Candidates are screened if they are too many for a block, and no command or function of the user's wants them
        all: then it is those that are out of the question. Else it is the rows to be predicted: the candidates, then
        those labelled and pending that the choice needs.
        """
        whole = self.ensemble.prediction.as_executable or self.chooser.asks_the_user
        if len(self.pool) > self.pool.block and scoring.by_candidate and not whole:
            return labelled.taken
        rows = labelled.candidates
        if self.chooser.looks_at_labelled(scoring):
            rows = np.concatenate([rows, labelled.indices, labelled.pending])
        return self.ensemble.runner.share(rows)

    async def look(
        self,
        round: RoundId,
        scoring: Scoring,
        learned: Learned,
        wanted: Wanted,
        labelled: LabelledSet,
        config: LearnerConfig,
    ) -> Looked:
        """Return what the ensemble says of the candidates (of a screened pool, of the most uncertain)."""
        indices, pending, shortlist = labelled.indices, labelled.pending, learned.shortlist
        if shortlist is not None:
            given = (round, scoring, shortlist, learned.members, learned.classes, indices, pending)
            scores = shortlist.uncertain[1]
            return Looked(scores, shortlist.silent, shortlist.level, lambda k: self.screener.choose(*given, k, config))
        assert isinstance(wanted, Shared)
        check = (learned.passes, learned.classes, len(wanted.value), scoring.task, round.where)
        predicted = await asyncio.to_thread(usable, *check, self.ensemble.prediction.normalise)
        scoring = replace(scoring, task=predicted.task)
        span = scoring.metric.range if scoring.metric else None
        known, waiting = (len(indices), len(pending)) if self.chooser.looks_at_labelled(scoring) else (0, 0)
        count = len(wanted.value) - known - waiting
        found = Candidates(wanted, count, predicted.ordered, predicted.classes, self.shared.X, span, waiting)
        scores = await self.chooser.scores(round, scoring, found, config)
        metric, reduction = scoring.metric if scoring.rule.stage is None else None, scoring.rule.reduction
        mute = metric is not None and await asyncio.to_thread(silent, found.candidates, metric, reduction)
        more = {"labelled": indices, "y": labelled.y}
        chosen = (round, scoring, found, scores)
        level = bool(scores.min() == scores.max())
        return Looked(scores, mute, level, lambda k: self.chooser.choose(*chosen, k, config, more))
