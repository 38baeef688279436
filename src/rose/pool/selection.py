"""Go from stacked predictions to the next batch: score, decide whether that is certain enough, choose."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.acquisition import Acquisition, acquire
from rose.errors import NotANumberError, PredictionError, TaskFailedError
from rose.pool._coordinates import Coordinates
from rose.pool._notices import Notices
from rose.pool.candidates.taking import take
from rose.pool.ensemble.members import RoundId
from rose.pool.ensemble.passes import Passed, alike, first_rows, means
from rose.pool.ensemble.predictions import with_rows
from rose.pool.scoring_rule import Scoring, score_passes
from rose.scoring import most_uncertain
from rose.stages.binding import bind_stage, run_stage
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.runner import Runner
from rose.stages.shared import Shared
from rose.stages.stage import Stage


@dataclass(frozen=True)
class Candidates:
    """Hold the unlabelled candidates of a round and what the ensemble says of them.

    Attributes:
        rows: pool indices of the rows of the predictions: the candidates first, then (where the acquisition method
            looks at them) the labelled, and last those that are being simulated.
        count: how many of the rows are candidates.
        passes: S predictions of the rows, members in order, each with all its passes; none where the acquisition method
            does not look at them.
        classes: the label of each column of the predictions, where it is known.
        X: the shared pool.
        range: smallest and largest possible score, where known.
        pending: how many of the rows are being simulated.
    """

    rows: Shared
    count: int
    passes: Sequence[Passed]
    classes: Sequence[Any] | None
    X: Shared
    range: tuple[float, float] | None
    pending: int = 0

    @property
    def indices(self) -> np.ndarray:
        """Return pool indices of the candidates."""
        rows: np.ndarray = self.rows.value
        return rows[: self.count]

    @property
    def mc_preds(self) -> list[np.ndarray]:
        """Return stacked predictions of the candidates alone: S arrays `[N, C]` or `[N]`."""
        return means(self.candidates)

    @property
    def candidates(self) -> list[Passed]:
        """Return the predictions of the candidates alone, with their variances where members give them."""
        return [first_rows(one, self.count) for one in self.passes]


# How many of the most uncertain candidates are looked at, at least, where distances are those of the candidates
# themselves: on a dense pool, a few of them would all be neighbours of the first.
WIDE = 5000


class Chooser:
    """Score candidates and choose among them for one workflow.

    Args:
        runner: what runs the user's functions.
        active_learn: the user's function that chooses, if there is one.
        features: what distances are measured in; None: the ensemble's predictions.
        own: what they are measured in if members say nothing of them; None: the candidates are no numbers.
        single: whether there is one prediction of a candidate, so that it does not.
        notices: what is told of questions that say nothing.
    """

    def __init__(
        self,
        runner: Runner,
        active_learn: Stage | None,
        features: Coordinates | None,
        own: Coordinates | None,
        single: bool,
        notices: Notices,
    ) -> None:
        self._runner = runner
        self._active_learn = active_learn
        self._features = features
        self._own = own
        self._single = single
        self._notices = notices

    def _near(self, method: Acquisition) -> Coordinates | None:
        """Return what distances are measured in; None: in predictions."""
        return self._features or (self._own if self._single and spreads_by_features(method) else None)

    @property
    def asks_the_user(self) -> bool:
        """Return whether a function of the user's chooses: it sees all candidates."""
        return self._active_learn is not None

    def looks_at_labelled(self, scoring: Scoring) -> bool:
        """Tell whether the choice needs predictions of the labelled and the pending candidates, too."""
        return self._active_learn is None and scoring.method.wants("labelled")

    def least_seen(self, scoring: Scoring) -> int:
        """Return how many of the most uncertain candidates the method has to see, whatever it asks for itself."""
        method = scoring.method
        return WIDE if self._single and self._near(method) is self._own and self._own is not None else 0

    def looks_at_predictions(self, scoring: Scoring) -> bool:
        """Return whether the acquisition method looks at the predictions themselves."""
        method = scoring.method
        there = {"scores", "mc_preds"} if self._near(method) is None else {"scores", "mc_preds", "features"}
        return method.takes("mc_preds", there)

    async def scores(self, round: RoundId, scoring: Scoring, found: Candidates, config: LearnerConfig) -> np.ndarray:
        """Return `[N]` scores of the candidates, by the metric or the user's function.

        Raises:
            PredictionError: if the predictions do not fit the metric.
            NotANumberError: if a score is NaN.
        """
        stage = scoring.rule.stage
        if stage is None:
            assert scoring.metric is not None
            return await asyncio.to_thread(score_passes, found.candidates, scoring.metric, scoring.rule.reduction)
        given = {**self._predicted(found), **self._given(round, "uncertainty", scoring, found)}
        result = np.asarray(await self._call(stage, round.key("uncertainty"), found, given, config), dtype=np.float64)
        if result.shape != (found.count,):
            raise PredictionError(
                f"task {round.key('uncertainty')}: {stage.name} must return one score a candidate, [{found.count}]; "
                f"it returned an array of shape {result.shape}"
            )
        if np.isnan(result).any():
            candidate = found.indices[np.argmax(np.isnan(result))]
            raise NotANumberError(f"task {round.key('uncertainty')}: the score of candidate {candidate} is NaN")
        return result

    def uncertainty(self, scoring: Scoring, scores: np.ndarray) -> float:
        """Return the mean score of the `query_size` most uncertain candidates: what the threshold is compared with."""
        k = min(scoring.rule.query_size, len(scores))
        return float(np.mean(scores[most_uncertain(scores, k, scoring.direction)]))

    async def choose(
        self,
        round: RoundId,
        scoring: Scoring,
        found: Candidates,
        scores: np.ndarray,
        k: int,
        config: LearnerConfig,
        more: Mapping[str, Any],
    ) -> np.ndarray:
        """Return pool indices of the next batch of `k` (the user's own function may choose another number).

        `more` holds what else the user's function may ask for.
        """
        if self._active_learn is not None:
            return await self._ask(round, scoring, found, scores, k, config, more)
        chosen = await asyncio.to_thread(self._acquire, round, scoring, found, scores, k)
        return np.asarray(found.rows.value[chosen])

    def _acquire(self, round: RoundId, scoring: Scoring, found: Candidates, scores: np.ndarray, k: int) -> np.ndarray:
        rows: np.ndarray = found.rows.value
        method = scoring.method
        features, mc_preds = self._near(method), means(found.passes) or None
        # Members that say the same of all candidates tell no distances.
        silent = self._single or (bool(found.passes) and alike(found.passes))
        if features is None and spreads_by_features(method) and silent:
            features = self._own
        wide = _wide(method, k) if silent and features is not None and features is self._own else {}
        return acquire(
            np.concatenate([scores, np.zeros(len(rows) - found.count)]),
            k,
            mc_preds=mc_preds,
            method=method,
            direction=scoring.direction,  # type: ignore[arg-type]
            range=found.range,
            features=None if features is None else features.of(rows),
            labelled=np.arange(found.count, len(rows) - found.pending),
            pending=np.arange(len(rows) - found.pending, len(rows)),
            ids=rows,
            seed=round.derived("acquisition"),
            warn=self._notices.told,
            **wide,
        )

    def draw(self, round: RoundId, candidates: np.ndarray, k: int) -> np.ndarray:
        """Draw any `k` of these candidates by the seed, where there are no scores to choose by."""
        nothing = np.zeros(len(candidates))
        return candidates[
            acquire(nothing, k, method="random", ids=candidates, seed=round.derived("acquisition"), warn=False)
        ]

    async def _ask(
        self,
        round: RoundId,
        scoring: Scoring,
        found: Candidates,
        scores: np.ndarray,
        k: int,
        config: LearnerConfig,
        more: Mapping[str, Any],
    ) -> np.ndarray:
        stage = self._active_learn
        assert stage is not None
        given = {
            **more,
            **self._given(round, "active_learn", scoring, found),
            **self._predicted(found),
            "scores": scores,
            "query_size": k,
        }
        key = round.key("active_learn")
        places = np.asarray(await self._call(stage, key, found, given, config))
        if places.ndim != 1 or places.size == 0 or places.dtype.kind not in "iu" or len(places) > found.count:
            raise TaskFailedError(
                f"{stage.name} must return the places of the chosen candidates in `scores`, as whole numbers; "
                f"it returned {places.dtype} of shape {places.shape}",
                str(key),
            )
        if places.min() < 0 or places.max() >= found.count or len(np.unique(places)) != len(places):
            raise TaskFailedError(f"{stage.name} must return distinct places from 0 to {found.count - 1}", str(key))
        chosen: np.ndarray = found.indices[places]
        return chosen

    def _predicted(self, found: Candidates) -> dict[str, Any]:
        return {"mc_preds": np.stack(found.mc_preds), "classes": found.classes}

    def _given(self, round: RoundId, stage: str, scoring: Scoring, found: Candidates) -> dict[str, Any]:
        return {"candidates": found.indices, "query_size": scoring.rule.query_size, **round.given(stage)}

    async def _call(
        self, stage: Stage, key: Any, found: Candidates, given: Mapping[str, Any], config: LearnerConfig
    ) -> Any:
        binding = bind_stage(stage, config, key.iteration)
        stage = stage_for(stage, config, key.iteration)
        if stage.as_executable or "X" not in binding.names:
            samples = {"X": take(found.X.value, found.indices)} if "X" in binding.names else {}
            return await run_stage(self._runner, stage, key, binding, {**given, **samples})
        arguments = binding.arguments(**given)
        return await self._runner.function(key, stage, with_rows, binding.func, found.X, found.indices, **arguments)


def spreads_by_features(method: Acquisition) -> bool:
    """Return whether a method measures distances in features where there are some, and else in predictions."""
    return "features|mc_preds" in method.needs


def _wide(method: Acquisition, k: int) -> dict[str, float]:
    """Return the option by which a method looks at `WIDE` candidates, if it has one and looks at fewer."""
    beta = method.options.get("beta")
    return {} if beta is None or k == 0 else {"beta": max(beta, WIDE / k)}
