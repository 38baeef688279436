"""Screen a pool from the driver: a few tasks at a time, each of one part, and the choice of what is left.

Which candidates a batch is chosen from is the method's to say (`rose.acquisition.registry.Acquisition`): "top_k" and
"diverse" see all that they would see of a whole pool, and choose the same; "random", "softmax" and "power" (of a metric
that declares its range) draw from the whole pool; all others choose among the `prefilter` (10) times k most uncertain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rose.acquisition import draws_by_keys
from rose.errors import (
    ConfigurationError,
    NotANumberError,
    PoolError,
    PredictionError,
    TaskFailedError,
)
from rose.loop.groups import all_of, task_group
from rose.pool.ensemble.columns import Classes
from rose.pool.ensemble.members import Ensemble, RoundId
from rose.pool.ensemble.passes import Passed
from rose.pool.ensemble.predictions import usable
from rose.pool.scoring_rule import Scoring
from rose.pool.screening.part import Question, Screened, screen
from rose.pool.screening.shortlist import Shortlist
from rose.pool.selection import Candidates, Chooser
from rose.stages.config import LearnerConfig
from rose.stages.runner import Runner
from rose.stages.shared import Shared

_AHEAD = 2  # tasks by cpu that wait or run: an asyncio task for each part of the pool would be memory for nothing
_LEAST_AHEAD = 64  # ... and at least so many: a cluster may grow
_SHARE = 256  # candidates that a part sends at first: all where few are wanted ...
_SHARES = 4  # ... or so many times its share of those wanted. A part that holds more is looked at again


@dataclass(frozen=True)
class Screener:
    """Screen a pool `X` of `size` candidates for one workflow."""

    X: Shared
    size: int
    ensemble: Ensemble
    chooser: Chooser
    runner: Runner

    @property
    def part(self) -> int:
        """Return how many candidates a task takes.

        A block at most, and few enough that there are as many tasks as members and their passes. It does not depend on
        the engine: a run may be resumed on another.
        """
        passes = len(self.ensemble.model_names) * self.ensemble.num_predictions
        return min(self.ensemble.block, -(-self.size // passes))

    async def screen(
        self,
        round: RoundId,
        scoring: Scoring,
        members: Mapping[str, Shared],
        classes: Mapping[str, Classes],
        taken: np.ndarray,
        config: LearnerConfig,
    ) -> Shortlist:
        """Return what may be chosen of the candidates that are not `taken` (ascending), by all of these members.

        `classes` are the labels of their columns, by model, where they are known.

        Raises:
            PredictionError, NotANumberError: as in the worker.
        """
        question = self._question(round, scoring, members, classes, config)
        stage = self.ensemble.together(members, config, round.iteration)
        found = Shortlist(question.query_size, question.kept, scoring.direction, question.tie_seed)
        shared = self.runner.share(question)

        async def look(parts: Iterator[tuple[int, int]], name: str, most: int) -> None:
            for start, stop in parts:
                some = taken[slice(*np.searchsorted(taken, (start, stop)))]
                key = round.key(name, index=start // self.part)
                call = (shared, start, stop, some, most, found.bars, self.X, *members.values())
                try:
                    found.add(Screened.unpacked(await self.runner.function(key, stage, screen, *call)))
                except TaskFailedError as error:
                    meant = _meant(error)
                    if meant is None:
                        raise
                    raise meant from error

        async def look_at_all(parts: Iterator[tuple[int, int]], name: str, most: int) -> None:
            async with task_group() as group:
                for _ in range(self._side_by_side()):
                    group.create_task(look(parts, name, most))

        name = f"screening.{self.part}"  # parts of another size are other tasks
        try:
            await look_at_all(self._parts(taken), name, max(_SHARE, _SHARES * -(-question.kept // self._number)))
            if lacking := found.lacking():
                await look_at_all(iter(lacking), f"{name}.rest", question.kept)
        finally:
            await self.runner.release([shared])
        return found

    async def choose(
        self,
        round: RoundId,
        scoring: Scoring,
        found: Shortlist,
        members: Mapping[str, Shared],
        classes: Mapping[str, Classes],
        labelled: np.ndarray,
        pending: np.ndarray,
        k: int,
        config: LearnerConfig,
    ) -> np.ndarray:
        """Return pool indices of the next batch of `k`; what is left is predicted again where the method takes that.

        Raises:
            PredictionError: if these are unusable.
        """
        if len(found.drawn):
            return found.drawn[:k]
        indices, scores = found.uncertain
        looks = self.chooser.looks_at_labelled(scoring)
        rows = np.concatenate([indices, labelled, pending]) if looks else indices
        shared = self.runner.share(rows)
        try:
            passes = []
            if self.chooser.looks_at_predictions(scoring):
                passes = await self._predict(round, scoring, members, classes, shared, config)
            assert scoring.metric is not None
            span = found.range(scoring.metric.range)
            seen = Candidates(shared, len(indices), passes, None, self.X, span, len(pending) if looks else 0)
            return await self.chooser.choose(round, scoring, seen, scores, k, config, {})
        finally:
            await self.runner.release([shared])

    async def _predict(
        self,
        round: RoundId,
        scoring: Scoring,
        members: Mapping[str, Shared],
        classes: Mapping[str, Classes],
        rows: Shared,
        config: LearnerConfig,
    ) -> list[Passed]:
        predict = self.ensemble.predict
        found = await all_of(
            predict(round, "shortlist", model, member, self.X, rows, config) for model, member in members.items()
        )
        passes = dict(zip(members, found, strict=True))
        check = (passes, classes, len(rows.value), scoring.task, round.where, self.ensemble.prediction.normalise)
        return (await asyncio.to_thread(usable, *check)).ordered

    @property
    def _number(self) -> int:
        """Return how many parts there are."""
        return -(-self.size // self.part)

    def _parts(self, taken: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield start and stop of the parts in which there are candidates left."""
        for start in range(0, self.size, self.part):
            stop = min(start + self.part, self.size)
            low, high = np.searchsorted(taken, (start, stop))
            if high - low < stop - start:
                yield start, stop

    def _side_by_side(self) -> int:
        ahead = max(_LEAST_AHEAD, _AHEAD * self.runner.engine.capacity().cpus)
        return min(ahead, self._number)

    def _question(
        self,
        round: RoundId,
        scoring: Scoring,
        members: Mapping[str, Shared],
        classes: Mapping[str, Classes],
        config: LearnerConfig,
    ) -> Question:
        assert scoring.metric is not None
        func, calls = self.ensemble.calls(round, members, config)
        metric, method = scoring.metric, scoring.method
        return Question(
            func=func,
            calls=calls,
            classes=classes,
            task=scoring.task,
            normalise=self.ensemble.prediction.normalise,
            metric=metric,
            reduction=scoring.rule.reduction,
            method=method,
            query_size=scoring.rule.query_size,
            least=self.chooser.least_seen(scoring),
            draws=draws_by_keys(method, metric.direction, metric.range),
            round=round,
            tie_seed=round.derived("acquisition"),
        )


def _meant(error: TaskFailedError) -> Exception | None:
    """Return the error that the driver would raise if it looked at the predictions itself.

    None: the task failed otherwise.
    """
    cause = error.__cause__
    if isinstance(cause, PredictionError | NotANumberError | PoolError | ConfigurationError):
        return type(cause)(str(cause))
    return None
