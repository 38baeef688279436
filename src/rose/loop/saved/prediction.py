"""Hold what an ensemble says of some samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Labelled:
    """Hold the candidates, which of them were labelled, and their labels."""

    pool: Any
    indices: np.ndarray
    labels: Any


@dataclass(frozen=True)
class Asked:
    """Say which intervals or label sets predictions are to have.

    Attributes:
        level: the share of truths that they hold.
        calibration: samples and their labels that tell how far off predictions are; None: the hold-out does.
        labelled: what tells it instead, by cross-validation.
        by_class: whether the level holds of each class by itself.
    """

    level: float
    calibration: tuple[Any, Any] | None = None
    labelled: Labelled | None = None
    by_class: bool = False


class _MeanAndUncertainty(NamedTuple):
    mean: np.ndarray
    uncertainty: np.ndarray


class Prediction(_MeanAndUncertainty):
    """Hold what an ensemble says of some samples: a pair, `mean, uncertainty = result.predict(X)`.

    Attributes:
        mean: `[n, C]` mean probabilities, or `[n]` mean values (`[n, D]` of several outputs).
        uncertainty: `[n]`, by the metric of the workflow that trained the ensemble.
        classes: the label of each column of the probabilities; None for values, or where no model says it.
        per_output: the uncertainty of each output by itself, `[n, D]`; None where there is one, or classes.
        level: the share of truths that intervals or sets hold; None: none were asked for.
        lower, upper: the ends of intervals, of the shape of `mean`; None for classes, or without a level.
        sets: which classes belong to each sample's set, bool `[n, C]`; None for values, or without a level.
    """

    classes: list[Any] | None
    per_output: np.ndarray | None
    level: float | None
    lower: np.ndarray | None
    upper: np.ndarray | None
    sets: np.ndarray | None

    def __new__(
        cls,
        mean: np.ndarray,
        uncertainty: np.ndarray,
        classes: list[Any] | None = None,
        per_output: np.ndarray | None = None,
        level: float | None = None,
        lower: np.ndarray | None = None,
        upper: np.ndarray | None = None,
        sets: np.ndarray | None = None,
    ) -> Prediction:
        made = super().__new__(cls, mean, uncertainty)
        made.classes, made.per_output = classes, per_output
        made.level, made.lower, made.upper, made.sets = level, lower, upper, sets
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.classes, self.per_output, self.level, self.lower, self.upper, self.sets)

    @property
    def label_sets(self) -> list[list[Any]] | None:
        """Return the labels in each sample's set, as lists; None where there are no sets."""
        if self.sets is None:
            return None
        names = list(range(self.sets.shape[1])) if self.classes is None else self.classes
        return [[names[place] for place in np.flatnonzero(row)] for row in self.sets]
