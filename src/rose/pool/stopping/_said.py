"""Hold what an ensemble as a whole says of some candidates: the mean of its members, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rose.pool.ensemble.predictions import Predicted
from rose.pool.ensemble.truth import mean_probabilities, member_mean, total_std
from rose.stages.parsing import plain

_KEPT = 4096  # numbers of a prediction that are kept to be compared with the next one


class Said(NamedTuple):
    """Hold an ensemble's predictions of `n` candidates.

    Attributes:
        values: `[n, D]` float64; of classes, which of `names`, int64 `[n]`.
        unsure: `[n, D]`, the standard deviation of each value; of classes, `[n]`, one minus the probability.
        names: the classes, in plain values; None: these are values.
    """

    values: np.ndarray
    unsure: np.ndarray
    names: Sequence[Any] | None = None

    @classmethod
    def of(cls, predicted: Predicted) -> Said:
        """Return what members say together."""
        if predicted.task == "classification":
            mean = mean_probabilities(predicted)
            guess = mean.argmax(axis=1)
            names = range(mean.shape[1]) if predicted.classes is None else predicted.classes
            return cls(guess, 1.0 - mean[np.arange(len(mean)), guess], [plain(name) for name in names])
        mean = member_mean(predicted)
        return cls(mean.reshape(len(mean), -1), total_std(predicted).reshape(len(mean), -1))

    def at(self, rows: slice | np.ndarray) -> Said:
        """Return what is said of some of the candidates."""
        return Said(self.values[rows], self.unsure[rows], self.names)

    def off(self, labels: Sequence[Any], error: Sequence[float] | None) -> np.ndarray:
        """Return by how much predictions are off, `[n]`: of values, the largest of all outputs in units of `error`.

        Of classes, 0 where they are right, and else 2. So what is at most 1 is good enough.
        """
        if self.names is not None:
            said = [self.names[place] for place in self.values.tolist()]
            return np.array([0.0 if one == plain(label) else 2.0 for one, label in zip(said, labels, strict=True)])
        truth = np.array([np.ravel(label) for label in labels], dtype=np.float64).reshape(self.values.shape)
        return np.asarray(np.max(np.abs(truth - self.values) / _each(error, self.values.shape[1]), axis=1))

    def doubt(self, error: Sequence[float] | None) -> np.ndarray:
        """Return `[n]` how unsure it is: of values, the largest deviation of all outputs in units of `error`."""
        if self.names is not None:
            return self.unsure
        return np.asarray(np.max(self.unsure / _each(error, self.values.shape[1]), axis=1))

    @property
    def overall_doubt(self) -> float:
        """Return how unsure it is of all of them: of values the root mean square, of classes the mean."""
        return float(np.mean(self.unsure) if self.names is not None else np.sqrt(np.mean(self.unsure**2)))

    def to_plain(self) -> dict[str, Any]:
        """Return the predictions in plain values, of vectors with many outputs some of them."""
        if self.names is not None:
            return {"names": list(self.names), "values": self.values.astype(np.uint16).tobytes()}
        step = max(1, math.ceil(self.values.size / _KEPT))
        some = self.values[:, ::step].astype(np.float32)
        return {"outputs": some.shape[1], "step": step, "values": some.tobytes()}


def movement(before: Mapping[str, Any], now: Said, spread: np.ndarray | None) -> float:
    """Return how far predictions of the same candidates have moved: `before` is what `to_plain` gave of the last ones.

    Classes: 1 - Cohen's kappa of the two (Bloodgood and Vijay-Shanker 2009). Values: the root mean square of the
    differences, of each output in units of its `spread` `[D]`.
    """
    if now.names is not None:
        every = {name: place for place, name in enumerate(dict.fromkeys([*before["names"], *now.names]))}
        codes = np.frombuffer(before["values"], np.uint16)
        old = np.array([every[name] for name in before["names"]])[codes]
        new = np.array([every[name] for name in now.names])[now.values]
        return 1.0 - _kappa(old, new, len(every))
    old = np.frombuffer(before["values"], np.float32).reshape(-1, before["outputs"]).astype(np.float64)
    new, unit = now.values[:, :: before["step"]], np.ones(1) if spread is None else spread[:: before["step"]]
    moved = np.sqrt(np.mean(((new - old) / np.where(unit > 0, unit, 1.0)) ** 2))
    return float(moved)


def _kappa(one: np.ndarray, other: np.ndarray, count: int) -> float:
    """Return by how much two labellings agree beyond chance: 1 where they are the same."""
    agree = float(np.mean(one == other))
    shares = [np.bincount(each, minlength=count) / len(each) for each in (one, other)]
    chance = float(np.sum(shares[0] * shares[1]))
    return 1.0 if agree == 1.0 else (agree - chance) / (1.0 - chance)


def _each(error: Sequence[float] | None, outputs: int) -> np.ndarray:
    assert error is not None
    return np.broadcast_to(np.asarray(error, dtype=np.float64), (outputs,))
