"""Run an ensemble's part of a round: its members are trained, judged, and look at the candidates.

Members are trained side by side; each predicts the candidates as soon as it is trained, while the criterion waits for
all of them and no longer. A pool that is larger than a block is screened by all of them instead, part by part.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.loop.groups import task_group
from rose.loop.quorum import Quorum
from rose.pool.ensemble.columns import Classes
from rose.pool.ensemble.members import Ensemble, RoundId
from rose.pool.ensemble.passes import Passed
from rose.pool.ensemble.predictions import Predicted, usable
from rose.pool.judging.criterion import Criterion, Holdout
from rose.pool.judging.quality import holdout_quality
from rose.pool.scoring_rule import Scoring
from rose.pool.screening.screener import Screener
from rose.pool.screening.shortlist import Shortlist
from rose.stages.config import LearnerConfig
from rose.stages.runner import Runner
from rose.stages.shared import Shared

# Of the candidates: the rows that every member predicts; or those that are out of the question where the pool is
# screened; or None: there are no candidates.
Wanted = Shared | np.ndarray | None


@dataclass(frozen=True)
class SharedPool:
    """Hold what all workflows of a run ask for, shipped once: the candidates and the hold-out."""

    X: Shared
    holdout: Holdout | None = None


@dataclass(frozen=True)
class Learned:
    """Hold what a freshly trained ensemble came to.

    The criterion's values; its classes, and what it says of the candidates, that is each member's predictions as they
    are, or what was screened (nothing where the criterion is met or there are none); its quality on the hold-out, and
    who failed to train.
    """

    values: Mapping[str, float] | None
    members: Mapping[str, Shared]
    classes: Mapping[str, Classes]
    passes: Mapping[str, list[Passed]]
    shortlist: Shortlist | None
    quality: Mapping[str, float | None] | None
    failed: Sequence[str]


@dataclass(frozen=True)
class Learning:
    """Train the ensemble of one workflow, judge it, and have it look at the candidates."""

    shared: SharedPool
    ensemble: Ensemble
    screener: Screener
    criterion: Criterion | None
    runner: Runner

    async def learn(
        self, round: RoundId, data: Mapping[str, Shared], wanted: Wanted, scoring: Scoring, config: LearnerConfig
    ) -> Learned:
        """Train all members, judge them, and let them look at the candidates unless that ends the workflow."""
        names, holdout = self.ensemble.model_names, self.shared.holdout
        training: dict[str, asyncio.Task[Shared | None]] = {}
        quorum = Quorum(self.ensemble.training, config, round.iteration, self.runner)
        async with self._forgetting(training), task_group() as group:

            async def train(model: str) -> Shared | None:
                async with quorum.excused(round.key("training", model)):
                    return await self.ensemble.train(round, model, data["X"], data["y"], config)
                return None

            async def predict(model: str, stage: str, X: Shared, rows: Shared | None) -> list[Passed]:
                member = await training[model]
                if member is None:
                    return []
                return await self.ensemble.predict(round, stage, model, member, X, rows, config)

            training |= {
                name: group.create_task(train(name)) for name in self.runner.longest_first(round.workflow, names)
            }
            predicting, screening = {}, None
            if isinstance(wanted, Shared):
                predicting = {m: group.create_task(predict(m, "prediction", self.shared.X, wanted)) for m in names}
            testing = {}
            if holdout is not None:
                testing = {m: group.create_task(predict(m, "holdout", holdout.X, None)) for m in names}
            trained = {model: await training[model] for model in names}
            quorum.check(round.workflow, len(names))
            members = {model: member for model, member in trained.items() if member is not None}
            classes = await self.ensemble.classes(members)
            if isinstance(wanted, np.ndarray):
                looking = self.screener.screen(round, scoring, members, classes, wanted, config)
                screening = group.create_task(looking)
            tested = await self._tested(round, scoring, classes, {m: await testing[m] for m in members if m in testing})
            quality = group.create_task(self._quality(round, scoring, tested))
            values = None
            if self.criterion is not None:
                values = await self.criterion.values(round, members, data, tested, config)
                if self.criterion.ends(values):
                    for task in [*predicting.values(), *([] if screening is None else [screening])]:
                        task.cancel()
                    predicting, screening = {}, None
        await self.ensemble.keep(members)
        passes = {model: task.result() for model, task in predicting.items() if model in members}
        shortlist = None if screening is None else screening.result()
        found = quality.result()
        self.ensemble.conformal = found.get("conformal")
        measures = found.get("measures", found or None)  # older versions recorded these alone
        return Learned(values, members, classes, passes, shortlist, measures, tuple(quorum.failed))

    async def _tested(
        self, round: RoundId, scoring: Scoring, classes: Mapping[str, Classes], passes: Mapping[str, list[Passed]]
    ) -> Predicted | None:
        """Return what the members say of the hold-out, if there is one."""
        if self.shared.holdout is None:
            return None
        count, where = len(self.shared.holdout.labels), f"{round.where}, hold-out"
        check = (passes, classes, count, scoring.task, where, self.ensemble.prediction.normalise)
        return await asyncio.to_thread(usable, *check)

    async def _quality(self, round: RoundId, scoring: Scoring, tested: Predicted | None) -> Mapping[str, Any]:
        """Measure how good the ensemble is on the hold-out, if there is one; see `holdout_quality`."""
        if self.shared.holdout is None:
            return {}
        call = (self.shared.holdout.labels, scoring.metric, scoring.rule.reduction, tested)
        found: Mapping[str, Any] = await self.runner.function(round.key("quality"), None, holdout_quality, *call)
        return found

    @contextlib.asynccontextmanager
    async def _forgetting(self, training: Mapping[str, asyncio.Task[Shared | None]]) -> AsyncIterator[None]:
        """Free, if the round fails, the members that were trained in it: they replace no one."""
        try:
            yield
        except BaseException:
            trained = [task for task in training.values() if task.done() and not task.cancelled()]
            members = [task.result() for task in trained if task.exception() is None]
            await self.runner.release(member for member in members if member is not None)
            raise
