"""Run a round of a pool's workflow: label what was chosen, train, judge, and choose anew.

A workflow that stops chooses nothing: its ensemble has seen every label it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from rose.errors import PlaceError, TaskError
from rose.loop.limits import Ending, Limits
from rose.loop.protocol import Outcome
from rose.loop.saved.directory import SavedWorkflow
from rose.loop.state import ENOUGH, StopReason, WorkflowResult
from rose.pool._learning import Learned, Learning, SharedPool, Wanted
from rose.pool._looking import Looked, Looker
from rose.pool._notices import Notices
from rose.pool.candidates.file import CandidateFile
from rose.pool.candidates.taking import take
from rose.pool.control import Compared
from rose.pool.ensemble.columns import only_class, task_of_labels
from rose.pool.ensemble.members import Ensemble, RoundId
from rose.pool.ensemble.predictor import Predictor, PredictorLog
from rose.pool.judging.criterion import Criterion
from rose.pool.labelling.labelled_set import LabelledSet
from rose.pool.labelling.labeller import Labeller
from rose.pool.pool import Pool
from rose.pool.scoring_rule import Scoring, make_scoring
from rose.pool.stopping.stopping import Stopping, Verdict
from rose.stages.config import LearnerConfig
from rose.stages.runner import Runner, result_keys
from rose.stages.shared import Shared
from rose.stages.stage import UncertaintyRule
from rose.store import given


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
    looker: Looker
    learning: Learning
    stopping: Stopping
    rule: UncertaintyRule
    acquisition: str
    criterion: Criterion | None
    limits: Limits
    notices: Notices
    compared: Compared  # with a control, or as one
    budget: int | None = field(init=False)
    task: str | None = None  # what the models do, where that is known before they have predicted
    _chosen: np.ndarray = field(init=False)
    _config: LearnerConfig = field(init=False, default_factory=LearnerConfig)
    _iteration: int = field(init=False, default=0)
    _predictors: PredictorLog = field(init=False, default_factory=PredictorLog)
    _said: Mapping[str, Any] = field(init=False, default_factory=dict)  # of the last round's predictor
    _restored: tuple[RoundId, Sequence[str]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.budget = self.limits.budget
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
        self.stopping.begin()
        chosen, self._chosen, self._said = self._chosen, self._chosen[:0], {}
        dropped = await self.labeller.label(iteration, chosen, config)
        scoring = self._scoring(config, iteration)
        if self.labeller.fails(config, iteration, scoring.rule.query_size):
            return Outcome(labels=self._paid, selection=[], dropped=dropped, stop=StopReason.SIMULATIONS_FAILED)
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
        looks = self._left and alone is None and self.compared.control is None
        wanted = self.looker.wanted(scoring, self.labelled) if looks else None
        try:
            await self.stopping.foresee(round, scoring, config)
            learned = await self._learn(round, data, wanted, scoring, config, alone)
            self._config, self._iteration = config, round.iteration
            if self.runner.run is not None and not self.runner.run.temporary:
                self._said = await self._predictors.said(self._predictor(scoring))
            outcome = await self._judged(round, scoring, learned, config, ending, judges=alone is None)
            self.compared.tell(outcome)
            if alone is not None or self.compared.control is not None:
                return await self._drawn(round, scoring, outcome)
            if learned is None or (learned.shortlist is None and not learned.passes):
                return outcome
            looked = await self.looker.look(round, scoring, learned, wanted, self.labelled, config)
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

    def checkpoint(self) -> Mapping[str, Any]:
        """Return what was asked for and arrived, see `Labeller.checkpoint`; who was trained, and predicts."""
        learned = {"members": list(self.ensemble.members), "learned": self._iteration, **self._said}
        calibrated = {} if self.ensemble.conformal is None else {"conformal": self.ensemble.conformal}
        return {**self.labeller.checkpoint(), **learned, **calibrated, **self.stopping.checkpoint()}

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
        self.limits, self.budget = limits, limits.budget

    async def withdraw(self, candidate: int) -> bool:
        """Do without a candidate that is being simulated, which counts as dropped; tells whether it is."""
        return await self.labeller.withdraw(candidate)

    async def give(self, candidate: int, label: Any) -> bool:
        """Take a label from a person for a candidate that is being simulated; tells whether it is taken."""
        return await self.labeller.give(candidate, label)

    def end(self) -> None:
        """Let go of the simulations that are pending."""
        self.labeller.end()
        self.compared.end()

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, checkpoint: Mapping[str, Any]
    ) -> None:
        """Restore the labels of that iteration, what it chose, and (unread) its members."""
        await self.labeller.restore(iteration, config, outcome.dropped, checkpoint)
        await self.stopping.restore(iteration, checkpoint, config)
        self._chosen = np.array(outcome.selection, dtype=np.int64)
        self._config, self._iteration, self.ensemble.conformal = config, iteration, checkpoint.get("conformal")
        self._restored = replace(self.zero, iteration=iteration), checkpoint["members"]
        self.compared.tell(outcome)

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

    async def _judged(
        self,
        round: RoundId,
        scoring: Scoring,
        learned: Learned | None,
        config: LearnerConfig,
        ending: Ending,
        judges: bool,
    ) -> Outcome:
        """Return the outcome as it is known before the candidates are looked at; rules are asked if it `judges`.

        What says that the workflow knows enough is the reason, whatever limit is reached with it.
        """
        values, quality, failed = (
            (None, None, ()) if learned is None else (learned.values, learned.quality, learned.failed)
        )
        mean = None if values is None else sum(values.values()) / len(values)
        met = self.criterion is not None and values is not None and self.criterion.met(values)
        found = Verdict()
        if met and self.criterion is not None and values is not None and self.criterion.ends(values):
            found = Verdict(StopReason.CRITERION_MET)
        elif learned is not None and judges:
            measured = values, quality
            labels = self._affordable, self._to_come(round.iteration, scoring)
            found = await self.stopping.judge(
                round, scoring, learned.members, learned.classes, measured, *labels, config
            )
        reason = found.stop or ending(self._paid)
        if found.stop is None and not self._left and not len(self.labelled.pending):
            reason = StopReason.POOL_EXHAUSTED
        return Outcome(
            mean,
            values,
            labels=self._paid,
            selection=[],
            quality=quality,
            failed_members=failed,
            stop=reason,
            met=met,
            stopping=found.told,
            statement=found.statement,
        )

    @property
    def _left(self) -> int:
        """Return how many candidates may still be chosen."""
        return self.labelled.left

    async def _choose(self, scoring: Scoring, looked: Looked, outcome: Outcome) -> Outcome:
        """Return the outcome with the ensemble's uncertainty and the next batch, unless there is a reason to stop.

        The uncertainty may be that reason. A threshold that is met in a round which is the last for another reason is
        the reason: the workflow is sure.
        """
        uncertainty, stop = self.looker.chooser.uncertainty(scoring, looked.scores), outcome.stop
        if looked.silent:
            self.notices.alike()
        elif looked.level and len(looked.scores) > 1:
            self.notices.level(scoring.rule.metric_name, uncertainty)
        certain = not looked.silent and scoring.certain(uncertainty)
        if self.stopping.patient("uncertainty", certain) and stop not in ENOUGH:
            stop = StopReason.CERTAIN_ENOUGH
        outcome = replace(outcome, met=outcome.met or certain)
        if stop is None:
            k = self._payable(scoring)
            self._chosen = self._free(await looked.choose(k)) if k else self._chosen
        return self._chosen_by(outcome, uncertainty, stop)

    async def _drawn(self, round: RoundId, scoring: Scoring, outcome: Outcome) -> Outcome:
        """Return the outcome with a batch that is drawn by the seed, unless it stops."""
        outcome, k = await self.compared.ended(outcome), self._payable(scoring)
        if outcome.stop is None:
            filled = await self.compared.filled(self.labelled, k, round.derived("acquisition"))
            self._chosen = self.looker.chooser.draw(round, self.labelled.candidates, k) if filled is None else filled
        return self._chosen_by(outcome, None, outcome.stop)

    def _free(self, chosen: np.ndarray) -> np.ndarray:
        """Return the chosen candidates that can be paid for, without those that an audit has taken meanwhile."""
        return chosen[~np.isin(chosen, self.labelled.reserved)][: self._affordable]

    def _chosen_by(self, outcome: Outcome, uncertainty: float | None, stop: StopReason | None) -> Outcome:
        selection = self._chosen.tolist() if stop is None else []
        return replace(outcome, uncertainty=uncertainty, selection=selection, stop=stop)

    @property
    def _affordable(self) -> int:
        """Return how many more labels may be had."""
        if self.budget is None:
            return self._left
        return max(0, min(self._left, self.budget - self._paid - len(self.labelled.pending)))

    @property
    def _paid(self) -> int:
        """Return how many labels there are, those of an audit among them."""
        return len(self.labelled) + len(self.stopping.audit)

    def _to_come(self, iteration: int, scoring: Scoring) -> int | None:
        """Return how many more labels the limits allow; None: there is no limit of iterations or labels."""
        if not self.limits.max_iter and self.budget is None:
            return None
        iterations = self.limits.max_iter - iteration - 1 if self.limits.max_iter else self._affordable
        return min(self._affordable, max(0, iterations) * scoring.rule.query_size)

    def _payable(self, scoring: Scoring) -> int:
        return min(scoring.rule.query_size, self._affordable)

    def _predictor(self, scoring: Scoring) -> Predictor | None:
        """Return what predicts with the members, in results; None: a command does, or there are none."""
        arrays, round = isinstance(self.pool.X, np.ndarray), replace(self.zero, iteration=self._iteration)
        return Predictor.of(round, self.ensemble, scoring, self._config, arrays)
