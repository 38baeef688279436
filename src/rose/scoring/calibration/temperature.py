"""Scale by a temperature: make an overconfident ensemble's mean probabilities honest by one number where it helps."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose.errors import ConfigurationError
from rose.scoring.calibration.measures import classified
from rose.scoring.probabilities import mean_probabilities, normalised

Floats = NDArray[np.float64]

_BOUND = 10.0  # of |log T|
_FOLDS = 5


@dataclass(frozen=True)
class TemperatureScaling:
    """Calibrate the probabilities that it is called with; made by `temperature_scaling`.

    Attributes:
        temperature: what is applied: above 1 if predictions were too sure of themselves, below 1 if too unsure; 1 where
            no other helps.
        fitted: the likeliest temperature of the hold-out, whether or not it helps.
        gain: by how much `fitted` ones lower the log loss of samples that they were not fitted to, by
            cross-validation within the hold-out; below 0: they raise it.
        helps: whether it is applied: the gain is above its standard error.
        classes: how many there are.
        at_bound: whether there is no best temperature, and this is but where the search for it ended (e^-10, e^10).
        normalise: whether probabilities are divided by their sums first.
    """

    temperature: float
    fitted: float
    gain: float
    helps: bool
    classes: int
    at_bound: bool
    normalise: bool

    def __call__(self, probabilities: object) -> Floats:
        """Return calibrated probabilities `[n, C]` of mean probabilities `[n, C]`; the most probable class stays so.

        Raises:
            PredictionError: if they are no probabilities of so many classes.
        """
        p = mean_probabilities(probabilities, self.normalise, self.classes)
        return np.exp(_scaled(_logarithms(normalised(p)), 1.0 / self.temperature)) if len(p) else p


def temperature_scaling(probabilities: object, labels: object, *, normalise: bool = False) -> TemperatureScaling:
    """Return the temperature that gives the hold-out's labels the highest likelihood, or 1 where that does not help.

    It helps if, fitted to four fifths of the hold-out, it lowers the log loss of the rest.

    Args:
        probabilities: the hold-out's mean predictions `[n, C]`, C at least 2.
        labels: the true classes' columns `[n]`; classes may be missing.
        normalise: divide probabilities by their sums (here and when called), which must be within 5 % of 1.

    Warns:
        UserWarning: where no temperature is best (`at_bound`): if each label of the hold-out is the most probable
            class, the lower the likelier (which is not applied); if predictions tell no more of labels than chance, the
            higher.

    Formula: q_c proportional to p_c^(1/T), T = argmin -sum_i log q_i[y_i], from e^-10 to e^10

    Reference: Guo, Pleiss, Sun & Weinberger 2017, On Calibration of Modern Neural Networks.

    Raises:
        ConfigurationError: if labels do not fit, or there is one class only.
        PredictionError: for what are no probabilities.

    >>> p = np.tile([[0.9, 0.1]], (100, 1))  # 90 % sure, and right in 75 % of cases
    >>> calibrate = temperature_scaling(p, [0, 0, 0, 1] * 25)
    >>> calibrate([[0.9, 0.1]]).round(2), round(calibrate.temperature, 2), calibrate.helps
    (array([[0.75, 0.25]]), 2.0, True)
    """
    p, y = classified(probabilities, labels, normalise)
    if p.shape[1] < 2:
        raise ConfigurationError("temperature scaling needs at least two classes")
    logs = _logarithms(normalised(p))
    fitted = _likeliest(logs, y)
    separated = bool((logs[np.arange(len(y)), y] == logs.max(axis=1)).all())
    at_bound = separated or abs(math.log(fitted)) > _BOUND - 1e-3
    if at_bound:
        _warn_of_bound(fitted)
    gains = _gains(logs, y)
    gain, error = float(gains.mean()), float(gains.std() / math.sqrt(len(gains)))
    helps = gain > error and not (at_bound and fitted < 1.0)
    return TemperatureScaling(fitted if helps else 1.0, fitted, gain, helps, p.shape[1], at_bound, normalise)


def _logarithms(p: Floats) -> Floats:
    return np.log(np.maximum(p, np.finfo(np.float64).eps))


def _scaled(logs: Floats, power: float) -> Floats:
    """Return the logarithms of probabilities that were raised to a power, and divided by their sums."""
    raised = power * (logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised - np.log(np.exp(raised).sum(axis=1, keepdims=True)))


def _likeliest(logs: Floats, y: NDArray[np.int64]) -> float:
    """Return the temperature with the highest likelihood, which is concave in 1 / T: where its slope is 0."""
    seen = logs[np.arange(len(y)), y]
    low, high = -_BOUND, _BOUND  # of log 1 / T
    for _ in range(60):
        middle = (low + high) / 2.0
        expected = np.sum(np.exp(_scaled(logs, math.exp(middle))) * logs, axis=1)
        low, high = (middle, high) if float(np.sum(seen - expected)) > 0.0 else (low, middle)
    return math.exp(-(low + high) / 2.0)


def _gains(logs: Floats, y: NDArray[np.int64]) -> Floats:
    """Return by how much log losses fall, `[n]`, by temperatures that were fitted to the other samples."""
    n = len(y)
    gains = np.zeros(n)
    fold = np.random.default_rng(0).permutation(n) % min(_FOLDS, n)
    for one in range(min(_FOLDS, n) if n > 1 else 0):
        held = np.flatnonzero(fold == one)
        scaled = _scaled(logs[held], 1.0 / _likeliest(logs[fold != one], y[fold != one]))
        gains[held] = (scaled - _scaled(logs[held], 1.0))[np.arange(len(held)), y[held]]
    return gains


def _warn_of_bound(temperature: float) -> None:
    if temperature < 1.0:
        bound, why = "e^-10", "each label of the hold-out is the most probable class, so the surer, the likelier"
    else:
        bound, why = (
            "e^10",
            "predictions tell no more of the hold-out's labels than chance; the less sure, the likelier",
        )
    warnings.warn(
        f"the temperature ({temperature:.3g}) ran to its bound {bound}: {why}. It says nothing of how sure predictions "
        "should be: give a larger hold-out",
        stacklevel=3,
    )
