"""What an ensemble learns in a round: its members are trained, judged, and look at the candidates.

Members are trained side by side; each predicts the candidates as soon as it is trained, while the criterion waits for
all of them and no longer. A pool that is larger than a block is screened by all of them instead, part by part.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rose.workflow.config import LearnerConfig
from rose.workflow.criterion import Criterion, classes
from rose.workflow.ensemble import Ensemble, Round
from rose.workflow.groups import task_group
from rose.workflow.passes import Passed
from rose.workflow.quality import holdout_quality
from rose.workflow.quorum import Quorum
from rose.workflow.runner import Runner
from rose.workflow.scoring_rule import Scoring
from rose.workflow.screener import Screener
from rose.workflow.shared import Shared
from rose.workflow.shortlist import Shortlist

# Of the candidates: the rows that every member predicts; or those that are out of the question where the pool is
# screened; or None: there are no candidates.
Wanted = Shared | np.ndarray | None


@dataclass(frozen=True)
class SharedPool:
    """What all workflows of a run ask for, shipped once: the candidates and the hold-out."""

    X: Shared
    X_test: Shared | None = None


@dataclass(frozen=True)
class Learned:
    """What a freshly trained ensemble came to: the criterion's values; what it says of the candidates, that is each
    member's predictions, or what was screened (nothing where the criterion is met or there are none); its quality on
    the hold-out, and who failed to train."""

    values: Mapping[str, float] | None
    members: Mapping[str, Shared]
    passes: Mapping[str, list[Passed]]
    shortlist: Shortlist | None
    quality: Mapping[str, float | None] | None
    failed: Sequence[str]


@dataclass(frozen=True)
class Learning:
    """How the ensemble of one workflow learns; `y_test` are the labels of the hold-out, if there is one."""

    shared: SharedPool
    ensemble: Ensemble
    screener: Screener
    criterion: Criterion | None
    runner: Runner
    y_test: np.ndarray | None

    async def learn(
        self, round: Round, data: Mapping[str, Shared], wanted: Wanted, scoring: Scoring, config: LearnerConfig
    ) -> Learned:
        """Train all members, judge them, and let them look at the candidates unless that ends the workflow."""
        names, X_test = self.ensemble.model_names, self.shared.X_test
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
            testing = []
            if X_test is not None:
                testing = [group.create_task(predict(m, "holdout", X_test, None)) for m in names]
            trained = {model: await training[model] for model in names}
            quorum.check(round.workflow, len(names))
            members = {model: member for model, member in trained.items() if member is not None}
            if isinstance(wanted, np.ndarray):
                screening = group.create_task(self.screener.screen(round, scoring, members, wanted, config))
            tested = [one for task in testing for one in await task]
            quality = group.create_task(self._quality(round, scoring, members, tested))
            values = None
            if self.criterion is not None:
                values = await self.criterion.values(round, members, data, tested, config)
                if self.criterion.met(values):
                    for task in [*predicting.values(), *([] if screening is None else [screening])]:
                        task.cancel()
                    predicting, screening = {}, None
        await self.ensemble.keep(members)
        passes = {model: task.result() for model, task in predicting.items() if model in members}
        shortlist = None if screening is None else screening.result()
        return Learned(values, members, passes, shortlist, quality.result(), tuple(quorum.failed))

    async def _quality(
        self, round: Round, scoring: Scoring, members: Mapping[str, Shared], tested: list[Passed]
    ) -> Mapping[str, float | None] | None:
        """How good the ensemble is on the hold-out, if there is one."""
        if self.y_test is None:
            return None
        call = (self.y_test, await classes(members), scoring.metric, scoring.rule.reduction, *tested)
        found: Mapping[str, float | None]
        found = await self.runner.function(round.key("quality"), None, holdout_quality, *call)
        return found

    @contextlib.asynccontextmanager
    async def _forgetting(self, training: Mapping[str, asyncio.Task[Shared | None]]) -> AsyncIterator[None]:
        """If the round fails, free the members that were trained in it: they replace no one."""
        try:
            yield
        except BaseException:
            trained = [task for task in training.values() if task.done() and not task.cancelled()]
            members = [task.result() for task in trained if task.exception() is None]
            await self.runner.release(member for member in members if member is not None)
            raise
