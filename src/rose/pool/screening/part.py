"""Screen, in a worker, a part of a pool that is too large to be predicted as a whole.

One task takes a part of the pool: it predicts with every member, scores, and keeps the most uncertain candidates'
indices and scores. That is what the driver merges: stacked predictions of the pool never exist, and the driver's memory
depends on the size of a batch. Here is what runs in a worker; `Screener` is what the driver does.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rose.acquisition import Acquisition, kept_of_part, keys_of_part, tie_keys
from rose.errors import NotANumberError
from rose.pool.ensemble.columns import Classes
from rose.pool.ensemble.members import RoundId
from rose.pool.ensemble.passes import Passed
from rose.pool.ensemble.predictions import Predicted, predict, sliced, usable
from rose.pool.scoring_rule import score_passes, silent
from rose.scoring import Metric
from rose.stages.stage import Reduction


@dataclass(frozen=True)
class Question:
    """Hold what every part of a pool is asked in a round; shipped once.

    Attributes:
        func: the user's prediction function.
        calls: by model, its arguments in each stochastic pass.
        classes: by model, the label of each column of its probabilities, where it is known.
        task: "classification" or "regression"; None: what the predictions look like.
        normalise: whether probabilities are divided by their sums.
        metric, reduction: what scores the candidates.
        method: what will choose the batch.
        query_size: how many it will choose.
        least: how many of the most uncertain it has to see at least.
        draws: whether it draws by keys of the candidates.
        round: which it is, for messages and seeds.
        tie_seed: what puts candidates with equal scores in order, in all parts alike.
    """

    func: Callable[..., Any]
    calls: Mapping[str, Sequence[Mapping[str, Any]]]
    classes: Mapping[str, Classes]
    task: str | None
    normalise: bool
    metric: Metric
    reduction: Reduction | None
    method: Acquisition
    query_size: int
    least: int
    draws: bool
    round: RoundId
    tie_seed: int

    @property
    def kept(self) -> int:
        """Return how many of the most uncertain matter; where the method draws, for the uncertainty alone."""
        if self.draws:
            return self.query_size
        return max(self.query_size, self.least, kept_of_part(self.method, self.query_size))


class Bar(NamedTuple):
    """Say where a candidate stands: the smaller the more wanted.

    First its key, a score (its negative where higher is more uncertain) or the negative of what the method draws by;
    among equal keys, what the seed makes of its index.
    """

    key: float = math.inf
    tie: int = 2**64 - 1


class Bars(NamedTuple):
    """Hold the last of those that may be chosen: of the most uncertain, and of those that are drawn."""

    uncertain: Bar = Bar()
    drawn: Bar = Bar()


class Screened(NamedTuple):
    """Hold what is kept of one part of a pool.

    Attributes:
        part: (start, stop) of the part.
        indices, scores: the most uncertain candidates, ascending by index.
        drawn, keys: those with the largest keys, where the method gives candidates keys; else nothing.
        lowest, highest: of all scores of the part.
        form: what the predictions looked like, in words.
        silent: whether the metric is of what members differ in, and they all predict the same of the part.
        held_back: the last of those that are kept, where there were more that might be chosen than were asked for.
    """

    part: tuple[int, int]
    indices: np.ndarray
    scores: np.ndarray
    drawn: np.ndarray
    keys: np.ndarray
    lowest: float
    highest: float
    form: str
    silent: bool
    held_back: Bars

    def packed(self) -> bytes:
        """Pickle it for a task's result: the journal keeps a few bytes in passing, and loads an object in a thread."""
        return pickle.dumps(tuple(self), protocol=5)

    @classmethod
    def unpacked(cls, data: bytes) -> Screened:
        """Return what `packed` has packed."""
        return cls(*pickle.loads(data))


def screen(
    question: Question, start: int, stop: int, taken: np.ndarray, most: int, bars: Bars, X: Any, /, *models: Any
) -> bytes:
    """Look at candidates `start` to `stop - 1` but those `taken`, with all `models`; gives a packed `Screened`.

    Args:
        most: how many candidates are sent at most. A part of many has its share of those that will be chosen.
        bars: what is beyond them could not be chosen, and is not sent.

    Raises:
        PredictionError, NotANumberError: naming the model, the iteration and the candidates.
    """
    free = np.delete(np.arange(start, stop), taken - start)
    samples = sliced(X, free, 0, len(free)) if len(taken) else sliced(X, None, start, stop)
    where = f"{question.round.where}, candidates {start} to {stop - 1}"
    passes = {
        name: [
            one
            for number in range(len(question.calls[name]))
            for one in _predict(question, name, number, model, samples)
        ]
        for name, model in zip(question.calls, models, strict=True)
    }
    predicted = usable(passes, question.classes, len(free), question.task, where, question.normalise)
    scores = score_passes(predicted.ordered, question.metric, question.reduction)
    if np.isnan(scores).any():
        raise NotANumberError(f"{where}: the score of candidate {free[np.argmax(np.isnan(scores))]} is NaN")
    return _kept(question, (start, stop), free, scores, most, bars, predicted).packed()


def _predict(question: Question, name: str, number: int, model: Any, samples: Any) -> list[Passed]:
    calls = question.calls[name]
    try:
        return predict(question.func, model, samples, calls[number])
    except Exception as error:
        error.add_note(f"raised by model {name!r}" + (f", pass {number}" if len(calls) > 1 else ""))
        raise


def _kept(
    question: Question, part: tuple[int, int], free: np.ndarray, scores: np.ndarray, most: int, bars: Bars,
    predicted: Predicted,
) -> Screened:  # fmt: skip
    metric, size = question.metric, question.query_size
    seed = question.round.derived("acquisition", part=part[0])
    keys = keys_of_part(question.method, scores, metric.direction, metric.range, seed) if question.draws else None
    ties = tie_keys(question.tie_seed, free)
    wanted = scores if metric.direction == "lower" else -scores
    first, last = _first(wanted, ties, question.kept, most, bars.uncertain)
    drawn, last_drawn = np.empty(0, dtype=np.int64), Bar()
    if keys is not None:
        drawn, last_drawn = _first(-keys, ties, size, most, bars.drawn)
    return Screened(
        part, free[first], scores[first], free[drawn], np.empty(0) if keys is None else keys[drawn],
        float(scores.min()), float(scores.max()), predicted.form,
        silent(predicted.ordered, metric, question.reduction), Bars(last, last_drawn),
    )  # fmt: skip


def _first(keys: np.ndarray, ties: np.ndarray, count: int, most: int, bar: Bar) -> tuple[np.ndarray, Bar]:
    """Return the positions of the smallest keys, and where the last one stands if that holds any back.

    They are ascending: of the `count` smallest keys those that are not beyond the bar, `most` at most.
    """
    near = np.arange(len(keys))
    if count < len(keys):
        near = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1])
    near = near[np.lexsort((ties[near], keys[near]))[:count]]
    near = near[within(keys[near], ties[near], bar)]
    if len(near) <= most:
        return np.sort(near), Bar()
    last = near[most - 1]
    return np.sort(near[:most]), Bar(float(keys[last]), int(ties[last]))


def within(keys: np.ndarray, ties: np.ndarray, bar: Bar) -> np.ndarray:
    """Return which candidates are not beyond a bar."""
    return np.asarray((keys < bar.key) | ((keys == bar.key) & (ties <= np.uint64(bar.tie))))
