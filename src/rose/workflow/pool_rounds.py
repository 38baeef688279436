"""A round of a pool's workflow: label what was chosen, train, judge, and choose anew.

A workflow that stops chooses nothing: its ensemble has seen every label it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rose.errors import PredictionError
from rose.workflow.candidate_file import CandidateFile
from rose.workflow.choosing import Candidates, Chooser
from rose.workflow.config import LearnerConfig
from rose.workflow.criterion import Criterion
from rose.workflow.ensemble import Ensemble, Round
from rose.workflow.failure_limit import FailureLimit
from rose.workflow.given_labels import joined
from rose.workflow.labelling import LabelledSet, Labelling, Simulator
from rose.workflow.learning import Learned, Learning, SharedPool, Wanted
from rose.workflow.member_checks import check_members, task_of
from rose.workflow.overrides import stage_for
from rose.workflow.passes import means
from rose.workflow.pool import Pool, take
from rose.workflow.rounds import Ending, Outcome
from rose.workflow.runner import Runner
from rose.workflow.scoring_rule import Scoring, make_scoring, score_passes
from rose.workflow.screener import Screener
from rose.workflow.shared import Shared
from rose.workflow.stages import UncertaintyRule
from rose.workflow.state import Prediction, StopReason, WorkflowResult

Choose = Callable[[int], Awaitable[np.ndarray]]  # the pool indices of the next batch, given how many


@dataclass
class PoolRounds:
    """Plays the rounds of one workflow, and holds what it has: the labelled set and the last ensemble."""

    name: str
    pool: Pool
    first: np.ndarray
    shared: SharedPool
    runner: Runner
    simulator: Simulator
    ensemble: Ensemble
    chooser: Chooser
    screener: Screener
    learning: Learning
    rule: UncertaintyRule
    acquisition: str
    criterion: Criterion | None
    budget: int | None
    labelled: LabelledSet = field(init=False)
    _chosen: np.ndarray = field(init=False)
    _config: LearnerConfig = field(init=False, default_factory=LearnerConfig)
    _iteration: int = field(init=False, default=0)
    _failures: FailureLimit = field(init=False, default_factory=FailureLimit)
    _added: Labelling = field(init=False)
    _restored: tuple[Round, Sequence[str]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.labelled = LabelledSet(len(self.pool))
        payable = None if self.budget is None else max(self.budget, len(self.pool.given.distinct))
        self._chosen = self.first[:payable]

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """One round, as the module says."""
        round = Round(self.name, iteration, self.pool.seed)
        scoring = make_scoring(self.rule, config, self.acquisition)
        assert self.runner.run is not None
        taken = self.labelled.indices.tolist()
        asked = await joined(self.runner.run, self.name, iteration, self._chosen, taken, self.pool)
        self._added = await self.simulator.label(self.name, iteration, asked, config)
        dropped = self._added.into(self.labelled)
        await self._recall_members()
        stage = stage_for(self.simulator.stage, config, iteration)
        if self._failures.exceeded(self._added.labels, stage, scoring.rule.query_size):
            return Outcome(labels=len(self.labelled), selection=[], dropped=dropped, stop=StopReason.SIMULATIONS_FAILED)
        outcome = await self._play(round, scoring, config, ending)
        return replace(outcome, dropped=dropped)

    async def _play(self, round: Round, scoring: Scoring, config: LearnerConfig, ending: Ending) -> Outcome:
        data = {
            "X": self.runner.share(await self._training_samples()),
            "y": self.runner.share(self._training_labels()),
        }
        wanted: Wanted = None
        if self._left:
            screens = self._screens(scoring)
            wanted = self.labelled.taken if screens else self.runner.share(self._rows(scoring))
        try:
            learned = await self.learning.learn(round, data, wanted, scoring, config)
            self._config, self._iteration = config, round.iteration
            outcome = self._judged(learned, ending)
            if learned.shortlist is None and not learned.passes:
                return outcome
            scores, choose = await self._look(round, scoring, learned, wanted, config)
            return await self._choose(scoring, scores, choose, outcome)
        finally:
            await self.runner.release([*data.values(), *([wanted] if isinstance(wanted, Shared) else [])])

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
        """Whether the candidates are looked at part by part: they are too many for a block, and no command or function
        of the user's wants them all."""
        whole = self.ensemble.prediction.as_executable or self.chooser.asks_the_user
        return len(self.pool) > self.pool.block and scoring.by_candidate and not whole

    def _rows(self, scoring: Scoring) -> np.ndarray:
        """The rows to be predicted: the candidates, then those labelled ones that the choice needs."""
        candidates = self.labelled.candidates
        looks = self.chooser.looks_at_labelled(scoring)
        return np.concatenate([candidates, self.labelled.indices]) if looks else candidates

    def memento(self) -> Mapping[str, Any]:
        """Which candidates were labelled, by what their labels are recorded as, and who was trained."""
        return {
            "indices": self._added.indices.tolist(),
            "contents": list(self._added.contents),
            "members": list(self.ensemble.members),
        }

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, memento: Mapping[str, Any]
    ) -> None:
        """The labels of that round, what it chose, and (unread) its members."""
        indices = np.array(memento["indices"], dtype=np.int64)
        added = await self.simulator.recorded(
            self.name, iteration, indices, memento["contents"], outcome.dropped, config
        )
        added.into(self.labelled)
        self._failures.exceeded(added.labels, self.simulator.stage, len(indices))
        self._chosen = np.array(outcome.selection, dtype=np.int64)
        self._config, self._iteration = config, iteration
        self._restored = Round(self.name, iteration, self.pool.seed), memento["members"]

    async def _recall_members(self) -> None:
        restored, self._restored = self._restored, None
        if restored is not None:
            await self.ensemble.recall(*restored)

    async def close(self) -> None:
        """Free what the last ensemble occupies on the engine; the result keeps the models themselves."""
        await self._recall_members()
        await self.runner.release(self.ensemble.members.values())

    def result(self) -> WorkflowResult:
        """The last ensemble, the labels, and how to predict."""
        models = {name: member.result for name, member in self.ensemble.members.items()}
        labels, indices = self.labelled.y, self.labelled.indices
        return WorkflowResult(self.name, models=models, indices=indices, labels=labels, predictor=self._predict)

    def _judged(self, learned: Learned, ending: Ending) -> Outcome:
        """What is known before the candidates are looked at."""
        count, values = len(self.labelled), learned.values
        mean = None if values is None else sum(values.values()) / len(values)
        reason = ending(count)
        if self.criterion is not None and values is not None and self.criterion.met(values):
            reason = StopReason.CRITERION_MET
        elif not self._left:
            reason = StopReason.POOL_EXHAUSTED
        return Outcome(
            mean,
            values,
            labels=count,
            selection=[],
            quality=learned.quality,
            failed_members=learned.failed,
            stop=reason,
        )

    @property
    def _left(self) -> int:
        """How many candidates may still be chosen."""
        return len(self.pool) - len(self.labelled) - len(self.labelled.dropped)

    async def _look(
        self, round: Round, scoring: Scoring, learned: Learned, wanted: Wanted, config: LearnerConfig
    ) -> tuple[np.ndarray, Choose]:
        """The scores of the candidates (of a screened pool, of the most uncertain), and how a batch is chosen."""
        labelled = self.labelled.indices
        if learned.shortlist is not None:
            given = (round, scoring, learned.shortlist, learned.members, labelled)
            return learned.shortlist.uncertain[1], lambda k: self.screener.choose(*given, k, config)
        assert isinstance(wanted, Shared)
        ordered = [one for of_model in learned.passes.values() for one in of_model]
        task = task_of(scoring.metric, ordered[0])
        await asyncio.to_thread(check_members, learned.passes, len(wanted.value), task, round.where)
        found = Candidates(wanted, self._left, ordered, self.shared.X, scoring.metric.range if scoring.metric else None)
        scores = await self.chooser.scores(round, scoring, found, config)
        more = {"labelled": labelled, "y": self.labelled.y}
        return scores, lambda k: self.chooser.choose(round, scoring, found, scores, k, config, more)

    async def _choose(self, scoring: Scoring, scores: np.ndarray, choose: Choose, outcome: Outcome) -> Outcome:
        """The outcome with the ensemble's uncertainty, which may be the reason to stop, else with the next batch."""
        uncertainty, stop = self.chooser.uncertainty(scoring, scores), outcome.stop
        if stop is None and scoring.certain(uncertainty):
            stop = StopReason.CERTAIN_ENOUGH
        if stop is None:
            payable = self._left if self.budget is None else min(self._left, self.budget - len(self.labelled))
            chosen = await choose(min(scoring.rule.query_size, payable))
            self._chosen = chosen[:payable]
        selection = self._chosen.tolist() if stop is None else []
        return replace(outcome, uncertainty=uncertainty, selection=selection, stop=stop)

    def _predict(self, models: Mapping[str, Any], X: Any) -> Prediction:
        round = Round(self.name, self._iteration, self.pool.seed)
        passes = self.ensemble.predict_here(round, models, X, self._config)
        scoring = make_scoring(self.rule, self._config, self.acquisition)
        mean = np.mean([np.asarray(one, dtype=np.float64) for one in means(passes)], axis=0)
        if scoring.metric is None:
            raise PredictionError(
                f"the uncertainty {scoring.rule.metric_name!r} is a task of the run, which has ended; use `.models`"
            )
        return Prediction(mean, score_passes(passes, scoring.metric, scoring.rule.reduction))
