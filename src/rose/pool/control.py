"""Play a control beside the workflows that an ensemble steers: it selects without one, at random or to fill space.

It begins with the same samples and models, takes as many at a time, shares their labels, and ends when it has shown
what it is there for. What the others saved is told against it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from rose.errors import ConfigurationError
from rose.loop.protocol import ControlOf, Outcome, RunRequest
from rose.loop.state import StopReason
from rose.pool._coordinates import Coordinates
from rose.pool.labelling.labelled_set import LabelledSet
from rose.pool.pool import Pool
from rose.pool.start import LHS, first_of
from rose.stages.config import LearnerConfig, UQLearnerConfig

Kind = Literal["random", "lhs"]

NAME = "control"
_MOST = 2  # times the labels of the workflow that held most: beyond, the control has shown enough


def with_controls(request: RunRequest, control: bool | str) -> RunRequest:
    """Return a request with a control for the workflows of each seed, if one is asked for.

    Raises:
        ConfigurationError: if it is asked for by a word that means nothing.
    """
    if control is False:
        return request
    kind = "random" if control is True else control
    if kind not in get_args(Kind):
        raise ConfigurationError(f"control={control!r} must be True or 'random', 'lhs' (which fills space), or False")
    by_seed: dict[int | None, list[str]] = {}
    for name in request.names:
        by_seed.setdefault(getattr(request.configs[name], "seed", None), []).append(name)
    called = NAME
    while any(name == called or name.startswith(f"{called}-") for name in request.names):
        called += "-" + NAME
    controls, configs = {}, dict(request.configs)
    for seed, of in by_seed.items():
        name = called if seed is None or len(by_seed) == 1 else f"{called}-{seed}"
        controls[name] = ControlOf(kind, tuple(of))
        configs[name] = _config(request.configs[of[0]])
    return replace(
        request,
        names=(*request.names, *controls),
        stages={**request.stages, **{name: request.stages[one.of[0]] for name, one in controls.items()}},
        configs=configs,
        controls=controls,
    )


def _config(config: LearnerConfig) -> LearnerConfig:
    """Return the configuration of a workflow, for its control."""
    made = config if isinstance(config, UQLearnerConfig) else UQLearnerConfig(**dict(config))
    return made.model_copy(update={"acquisition": "random"})


def check_controls(request: RunRequest, pool: Pool) -> None:
    """Check that a control can be compared with, and can choose.

    Raises:
        ConfigurationError: if there is nothing to compare by, or nothing to fill.
    """
    for name, one in request.controls.items():
        if pool.holdout is None and any(request.stages[of].criterion is None for of in one.of):
            raise ConfigurationError(
                "control= tells what choosing saved, and there is nothing to tell it by: give the pool a hold-out, "
                "Pool(X, holdout=(X_test, y_test)), or the learner a stop criterion that measures how good the models "
                "are; or leave control= out"
            )
        if one.kind == "lhs" and pool.near is None:
            raise ConfigurationError(
                f"workflow {name!r}: control='lhs' spreads over numbers, which the candidates are not: give the pool "
                "features, Pool(X, features=...), or use control='random'"
            )


class Progress:
    """Follow how far the workflows of a run have come, and how good they were."""

    def __init__(self) -> None:
        self._labels: dict[str, int] = {}
        self._last: dict[str, Value] = {}
        self._ended: set[str] = set()
        self._waiting: list[asyncio.Future[None]] = []

    def tell(self, name: str, labels: int, value: Value | None) -> None:
        """Take note of an iteration."""
        self._labels[name] = labels
        if value is not None:
            self._last[name] = value
        self._wake()

    def end(self, name: str) -> None:
        """Take note that a workflow has ended."""
        self._ended.add(name)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def ends(self, names: Sequence[str], labels: int) -> tuple[int, list[Value]] | None:
        """Return the most labels that any of them held at its end, and how good they were; None: one goes on.

        It waits until each has ended, or holds more labels than so many.
        """
        while not all(name in self._ended or self._labels.get(name, 0) > labels for name in names):
            one = asyncio.get_running_loop().create_future()
            self._waiting.append(one)
            await one
        if not self._ended.issuperset(names):
            return None
        return max(self._labels.get(name, 0) for name in names), [self._last[one] for one in names if one in self._last]


class Value(NamedTuple):
    """Hold how good an iteration was."""

    value: float
    higher: bool  # whether more is better

    def as_good(self, other: Value) -> bool:
        """Return whether it is as good as another."""
        return self.value >= other.value if self.higher else self.value <= other.value


def value_of(outcome: Outcome, operator: str | None) -> Value | None:
    """Return how good an iteration was: the criterion's value, which `operator` says of, else accuracy or RMSE."""
    if outcome.metric_value is not None and operator is not None:
        return Value(outcome.metric_value, operator.startswith(">"))
    for name in ("accuracy", "rmse"):
        value = (outcome.quality or {}).get(name)
        if value is not None:
            return Value(value, name == "accuracy")
    return None


@dataclass
class Control:
    """Choose without an ensemble, and decide when that has been compared with enough.

    It is never ahead of the workflows that it is compared with: they have the workers first, and when it ends depends
    on what they came to, not on who was faster. When all of them have ended it plays on until it has been as good as
    each was at its end, or holds twice the labels of the one that holds most.
    """

    of: Sequence[str]
    progress: Progress
    near: Coordinates | None  # where it fills space; None: it chooses at random
    _best: Value | None = None

    def tell(self, value: Value | None) -> None:
        """Take note of how good an iteration was."""
        if value is not None and (self._best is None or value.as_good(self._best)):
            self._best = value

    async def over(self, labels: int) -> bool:
        """Return whether it has been compared with enough, holding so many labels."""
        found = await self.progress.ends(self.of, labels)
        if found is None:
            return False
        most, levels = found
        as_good = all(self._best is not None and self._best.as_good(level) for level in levels)
        return (labels >= most and as_good) or labels >= _MOST * most


@dataclass(frozen=True)
class Compared:
    """Stand for a workflow among those that are compared.

    `operator` is that of its criterion, if it has one; `control` is what chooses and ends in its place, if it is one.
    """

    name: str
    operator: str | None
    progress: Progress
    control: Control | None

    def tell(self, outcome: Outcome) -> None:
        """Take note of an iteration."""
        value = value_of(outcome, self.operator)
        self.progress.tell(self.name, outcome.labels or 0, value)
        if self.control is not None:
            self.control.tell(value)

    async def ended(self, outcome: Outcome) -> Outcome:
        """Return the outcome, which ends a control that has been compared with enough."""
        if outcome.stop is None and self.control is not None and await self.control.over(outcome.labels or 0):
            return replace(outcome, stop=StopReason.OTHERS_ENDED)
        return outcome

    async def filled(self, labelled: LabelledSet, k: int, seed: int) -> np.ndarray | None:
        """Return `k` candidates of a control that fills space; None: it is none."""
        if self.control is None or self.control.near is None:
            return None
        taken = np.concatenate([labelled.indices, labelled.pending])
        return await asyncio.to_thread(first_of, LHS, self.control.near, labelled.candidates, k, seed, taken)

    def end(self) -> None:
        """Take note that it has ended."""
        self.progress.end(self.name)
