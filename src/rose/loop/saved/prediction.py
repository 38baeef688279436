"""Hold what an ensemble says of some samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


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
    """

    classes: list[Any] | None
    per_output: np.ndarray | None

    def __new__(
        cls,
        mean: np.ndarray,
        uncertainty: np.ndarray,
        classes: list[Any] | None = None,
        per_output: np.ndarray | None = None,
    ) -> Prediction:
        made = super().__new__(cls, mean, uncertainty)
        made.classes, made.per_output = classes, per_output
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.classes, self.per_output)
