"""Run a round of a pool's workflow: label what was chosen, train, judge, and choose anew.

A workflow that stops chooses nothing: its ensemble has seen every label it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from rose.errors import PlaceError, TaskError
from rose.loop.limits import Ending, Limits
from rose.loop.protocol import Outcome
from rose.loop.saved.directory import SavedWorkflow
from rose.loop.state import StopReason, WorkflowResult
from rose.pool._learning import Learned, Learning, SharedPool, Wanted
from rose.pool._notices import Notices
from rose.pool.candidates.file import CandidateFile
from rose.pool.candidates.taking import take
from rose.pool.ensemble.columns import only_class, task_of_labels
from rose.pool.ensemble.members import Ensemble, RoundId
from rose.pool.ensemble.predictions import usable
from rose.pool.ensemble.predictor import Predictor, PredictorLog
from rose.pool.judging.criterion import Criterion
from rose.pool.labelling.labelled_set import LabelledSet
from rose.pool.labelling.labeller import Labeller
from rose.pool.pool import Pool
from rose.pool.scoring_rule import Scoring, make_scoring, silent
from rose.pool.screening.screener import Screener
from rose.pool.selection import Candidates, Chooser
from rose.stages.config import LearnerConfig
from rose.stages.runner import Runner, result_keys
from rose.stages.shared import Shared
from rose.stages.stage import UncertaintyRule
from rose.store import given


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


@dataclass
class PoolLoop:
    """Play the iterations of one workflow, and hold what it has: the labelled set and the last ensemble."""

    settings: ClassVar[tuple[str, ...]] = ("query_size", "threshold", "budget", "max_iter")

    name: str
    zero: RoundId  # the first round: what the others' seeds are derived from
    pool: Pool
    first: np.ndarray
    shared: SharedPool
    runner: Runner
    labeller: Labeller
    ensemble: Ensemble
    chooser: Chooser
    screener: Screener
    learning: Learning
    rule: UncertaintyRule
    acquisition: str
    criterion: Criterion | None
    budget: int | None
    notices: Notices
    task: str | None = None  # what the models do, where that is known before they have predicted
    _chosen: np.ndarray = field(init=False)
    _config: LearnerConfig = field(init=False, default_factory=LearnerConfig)
    _iteration: int = field(init=False, default=0)
    _predictors: PredictorLog = field(init=False, default_factory=PredictorLog)
    _said: Mapping[str, Any] = field(init=False, default_factory=dict)  # of the last round's predictor
    _restored: tuple[RoundId, Sequence[str]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        payable = None if self.budget is None else max(self.budget, len(self.pool.given.distinct))
        self._chosen = self.first[:payable]

    @property
    def labelled(self) -> LabelledSet:
        """Return the labelled set."""
        return self.labeller.labelled

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Ask for what was chosen, gather what the schedule waits for, learn from it, judge, and choose."""
        round = replace(self.zero, iteration=iteration)
        await self._recall()
        chosen, self._chosen, self._said = self._chosen, self._chosen[:0], {}
        dropped = await self.labeller.label(iteration, chosen, config)
        scoring = self._scoring(config, iteration)
        if self.labeller.fails(config, iteration, scoring.rule.query_size):
            return Outcome(labels=len(self.labelled), selection=[], dropped=dropped, stop=StopReason.SIMULATIONS_FAILED)
        outcome = await self._play(round, scoring, config, ending)
        return replace(outcome, dropped=dropped)

    def _scoring(self, config: LearnerConfig, iteration: int) -> Scoring:
        scoring = make_scoring(self.rule, config, self.acquisition, iteration, self.task)
        # Values are learned as values; what texts are (classes, paths of results) only predictions tell.
        values = scoring.task is None and task_of_labels(self._training_labels()) == "regression"
        return replace(scoring, task="regression") if values else scoring

    async def _play(self, round: RoundId, scoring: Scoring, config: LearnerConfig, ending: Ending) -> Outcome:
        labels = self._training_labels()
        data = {"X": self.runner.share(await self._training_samples()), "y": self.runner.share(labels)}
        alone = only_class(labels, scoring.task)
        wanted: Wanted = None
        if self._left and alone is None:
            screens = self._screens(scoring)
            wanted = self.labelled.taken if screens else self.runner.share(self._rows(scoring))
        try:
            learned = await self._learn(round, data, wanted, scoring, config, alone)
            self._config, self._iteration = config, round.iteration
            if self.runner.run is not None and not self.runner.run.temporary:
                self._said = await self._predictors.said(self._predictor(scoring))
            outcome = self._judged(learned, ending)
            if alone is not None:
                return self._drawn(round, scoring, outcome)
            if learned is None or (learned.shortlist is None and not learned.passes):
                return outcome
            looked = await self._look(round, scoring, learned, wanted, config)
            return await self._choose(scoring, looked, outcome)
        finally:
            await self.runner.release([*data.values(), *([wanted] if isinstance(wanted, Shared) else [])])

    async def _learn(
        self,
        round: RoundId,
        data: Mapping[str, Shared],
        wanted: Wanted,
        scoring: Scoring,
        config: LearnerConfig,
        alone: Any,
    ) -> Learned | None:
        """Let the ensemble learn; None where it cannot, since all labels so far are of the class `alone`."""
        if alone is not None:
            self.notices.one_class(len(self.labelled), alone)
        try:
            learned = await self.learning.learn(round, data, wanted, scoring, config)
            self._meet_holdout(learned)
            return learned
        except TaskError as error:
            if alone is None or isinstance(error, PlaceError):
                raise
            self.notices.untrained(error)
            return None

    def _meet_holdout(self, learned: Learned) -> None:
        """Say so if the hold-out has labels that are none of the classes that the ensemble knows."""
        classes = list(dict.fromkeys(name for names in learned.classes.values() for name in names or ()))
        if self.pool.holdout is not None and len(classes) > 1 and self.pool.holdout[1].ndim == 1:
            labels = self.pool.holdout[1].tolist()
            if not set(classes) & set(labels):
                self.notices.strangers(labels[0], classes)

    async def _training_samples(self) -> Any:
        source, indices, extra = self.pool.source, self.labelled.indices, self.pool.extra
        if isinstance(source, CandidateFile):
            found = await asyncio.to_thread(source.take, indices)
        else:
            found = take(source, indices)
        return found if extra is None else extra.before(found)

    def _training_labels(self) -> Any:
        extra = self.pool.extra
        return self.labelled.y if extra is None else extra.labels_before(self.labelled.labels)

    def _screens(self, scoring: Scoring) -> bool:
        """Return whether the candidates are looked at part by part.

        They are if they are too many for a block, and no command or function of the user's wants them all.
        """
        whole = self.ensemble.prediction.as_executable or self.chooser.asks_the_user
        return len(self.pool) > self.pool.block and scoring.by_candidate and not whole

    def _rows(self, scoring: Scoring) -> np.ndarray:
        """Return the rows to be predicted: the candidates, then those labelled and pending that the choice needs."""
        candidates = self.labelled.candidates
        if not self.chooser.looks_at_labelled(scoring):
            return candidates
        return np.concatenate([candidates, self.labelled.indices, self.labelled.pending])

    def checkpoint(self) -> Mapping[str, Any]:
        """Return what was asked for and arrived, see `Labeller.checkpoint`; who was trained, and predicts."""
        learned = {"members": list(self.ensemble.members), "learned": self._iteration, **self._said}
        return {**self.labeller.checkpoint(), **learned}

    def carries(self) -> list[str]:
        """Return the keys of the trainings of the members, and of what was collected of them."""
        round = replace(self.zero, iteration=self._iteration)
        keys = (round.key("training", model) for model in self.ensemble.members)
        return [name for key in keys for name in result_keys(key)]

    def pending(self) -> list[int]:
        """Return the candidates that are being simulated."""
        pending: list[int] = self.labelled.pending.tolist()
        return pending

    def limit(self, limits: Limits) -> None:
        """Take no more labels than `limits.budget`."""
        self.budget = limits.budget

    async def withdraw(self, candidate: int) -> bool:
        """Do without a candidate that is being simulated, which counts as dropped; tells whether it is."""
        return await self.labeller.withdraw(candidate)

    async def give(self, candidate: int, label: Any) -> bool:
        """Take a label from a person for a candidate that is being simulated; tells whether it is taken."""
        return await self.labeller.give(candidate, label)

    def end(self) -> None:
        """Let go of the simulations that are pending."""
        self.labeller.end()

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, checkpoint: Mapping[str, Any]
    ) -> None:
        """Restore the labels of that iteration, what it chose, and (unread) its members."""
        await self.labeller.restore(iteration, config, outcome.dropped, checkpoint)
        self._chosen = np.array(outcome.selection, dtype=np.int64)
        self._config, self._iteration = config, iteration
        self._restored = replace(self.zero, iteration=iteration), checkpoint["members"]

    def goes_on(self) -> bool:
        """Tell whether there are candidates that the last iteration, which is recorded, could not know of."""
        return self.labeller.goes_on()

    async def _recall(self) -> None:
        restored, self._restored = self._restored, None
        if restored is not None:
            await self.ensemble.recall(*restored)

    async def close(self) -> None:
        """Free what the last ensemble occupies on the engine; the result keeps the models themselves."""
        await self._recall()
        await self.runner.release(self.ensemble.members.values())

    def result(self) -> WorkflowResult:
        """Return the last ensemble, the labels, and how to predict."""
        predictor = self._predictor(self._scoring(self._config, self._iteration))
        kept = SavedWorkflow(
            self.name,
            models={name: member.result for name, member in self.ensemble.members.items()},
            indices=self.labelled.indices,
            labels=given(self.labelled.y),
            predictor=None if predictor is None else given(predictor),
        )
        return WorkflowResult(self.name, kept)

    def _judged(self, learned: Learned | None, ending: Ending) -> Outcome:
        """Return the outcome as it is known before the candidates are looked at."""
        count, values = len(self.labelled), None if learned is None else learned.values
        mean = None if values is None else sum(values.values()) / len(values)
        reason = ending(count)
        if self.criterion is not None and values is not None and self.criterion.met(values):
            reason = StopReason.CRITERION_MET
        elif not self._left and not len(self.labelled.pending):
            reason = StopReason.POOL_EXHAUSTED
        quality, failed = (None, ()) if learned is None else (learned.quality, learned.failed)
        return Outcome(mean, values, labels=count, selection=[], quality=quality, failed_members=failed, stop=reason)

    @property
    def _left(self) -> int:
        """Return how many candidates may still be chosen."""
        return self.labelled.left

    async def _look(
        self, round: RoundId, scoring: Scoring, learned: Learned, wanted: Wanted, config: LearnerConfig
    ) -> Looked:
        """Return what the ensemble says of the candidates (of a screened pool, of the most uncertain)."""
        labelled, pending, shortlist = self.labelled.indices, self.labelled.pending, learned.shortlist
        if shortlist is not None:
            given = (round, scoring, shortlist, learned.members, learned.classes, labelled, pending)
            scores = shortlist.uncertain[1]
            return Looked(scores, shortlist.silent, shortlist.level, lambda k: self.screener.choose(*given, k, config))
        assert isinstance(wanted, Shared)
        check = (learned.passes, learned.classes, len(wanted.value), scoring.task, round.where)
        predicted = await asyncio.to_thread(usable, *check, self.ensemble.prediction.normalise)
        scoring = replace(scoring, task=predicted.task)
        span = scoring.metric.range if scoring.metric else None
        waiting = len(pending) if self.chooser.looks_at_labelled(scoring) else 0
        found = Candidates(wanted, self._left, predicted.ordered, predicted.classes, self.shared.X, span, waiting)
        scores = await self.chooser.scores(round, scoring, found, config)
        metric, reduction = scoring.metric if scoring.rule.stage is None else None, scoring.rule.reduction
        mute = metric is not None and await asyncio.to_thread(silent, found.candidates, metric, reduction)
        more = {"labelled": labelled, "y": self.labelled.y}
        chosen = (round, scoring, found, scores)
        level = bool(scores.min() == scores.max())
        return Looked(scores, mute, level, lambda k: self.chooser.choose(*chosen, k, config, more))

    async def _choose(self, scoring: Scoring, looked: Looked, outcome: Outcome) -> Outcome:
        """Return the outcome with the ensemble's uncertainty and the next batch, unless there is a reason to stop.

        The uncertainty may be that reason. A threshold that is met in a round which is the last for another reason is
        the reason: the workflow is sure.
        """
        uncertainty, stop = self.chooser.uncertainty(scoring, looked.scores), outcome.stop
        if looked.silent:
            self.notices.alike()
        elif looked.level and len(looked.scores) > 1:
            self.notices.level(scoring.rule.metric_name, uncertainty)
        if stop != StopReason.CRITERION_MET and not looked.silent and scoring.certain(uncertainty):
            stop = StopReason.CERTAIN_ENOUGH
        if stop is None:
            k = self._payable(scoring)
            self._chosen = (await looked.choose(k))[: self._affordable] if k else self._chosen
        return self._chosen_by(outcome, uncertainty, stop)

    def _drawn(self, round: RoundId, scoring: Scoring, outcome: Outcome) -> Outcome:
        """Return the outcome with a batch that is drawn by the seed, unless it stops."""
        if outcome.stop is None:
            self._chosen = self.chooser.draw(round, self.labelled.candidates, self._payable(scoring))
        return self._chosen_by(outcome, None, outcome.stop)

    def _chosen_by(self, outcome: Outcome, uncertainty: float | None, stop: StopReason | None) -> Outcome:
        selection = self._chosen.tolist() if stop is None else []
        return replace(outcome, uncertainty=uncertainty, selection=selection, stop=stop)

    @property
    def _affordable(self) -> int:
        """Return how many more labels may be had."""
        if self.budget is None:
            return self._left
        return max(0, min(self._left, self.budget - len(self.labelled) - len(self.labelled.pending)))

    def _payable(self, scoring: Scoring) -> int:
        return min(scoring.rule.query_size, self._affordable)

    def _predictor(self, scoring: Scoring) -> Predictor | None:
        """Return what predicts with the members, in results; None: a command does, or there are none."""
        arrays, round = isinstance(self.pool.X, np.ndarray), replace(self.zero, iteration=self._iteration)
        return Predictor.of(round, self.ensemble, scoring, self._config, arrays)
