"""Scale by a temperature: make an overconfident ensemble's mean probabilities honest by one number.

scikit-learn does it (1.8 or newer); here it is fitted to predictions that were made already.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.errors import ConfigurationError, MissingPackageError
from rose.scoring.calibration.measures import classified
from rose.scoring.probabilities import mean_probabilities, normalised

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TemperatureScaling:
    """Calibrate the probabilities that it is called with; made by `temperature_scaling`.

    Attributes:
        temperature: above 1 if predictions were too sure of themselves, below 1 if too unsure.
        classes: how many there are.
        at_bound: whether there is no best temperature, and this is but where the search for it ended (e^-10, e^10).
        normalise: whether probabilities are divided by their sums first.
    """

    temperature: float
    classes: int
    at_bound: bool
    normalise: bool
    _fitted: Any = field(repr=False)

    def __call__(self, probabilities: object) -> Floats:
        """Return calibrated probabilities `[n, C]` of mean probabilities `[n, C]`; the most probable class stays so.

        Raises:
            PredictionError: if they are no probabilities of so many classes.
        """
        p = mean_probabilities(probabilities, self.normalise, self.classes)
        return np.asarray(self._fitted.predict_proba(normalised(p))) if len(p) else p


def temperature_scaling(probabilities: object, labels: object, *, normalise: bool = False) -> TemperatureScaling:
    """Return the temperature that gives the hold-out's labels the highest likelihood.

    Args:
        probabilities: the hold-out's mean predictions `[n, C]`, C at least 2.
        labels: the true classes' columns `[n]`; classes may be missing.
        normalise: divide probabilities by their sums (here and when called), which must be within 5 % of 1.

    Warns:
        UserWarning: where no temperature is best (`at_bound`): if each label of the hold-out is the most probable
            class, the lower the likelier; if predictions tell no more of labels than chance, the higher.

    Formula: q_c proportional to p_c^(1/T), T = argmin -sum_i log q_i[y_i], from e^-10 to e^10

    Reference: Guo, Pleiss, Sun & Weinberger 2017, On Calibration of Modern Neural Networks.

    Raises:
        MissingPackageError: if scikit-learn is older than 1.8.
        ConfigurationError: if labels do not fit, or there is one class only.
        PredictionError: for what are no probabilities.

    >>> p = np.tile([[0.9, 0.1]], (100, 1))  # 90 % sure, and right in 75 % of cases
    >>> calibrate = temperature_scaling(p, [0] * 75 + [1] * 25)
    >>> calibrate([[0.9, 0.1]]).round(2), round(calibrate.temperature, 2)
    (array([[0.75, 0.25]]), 2.0)
    """
    p, y = classified(probabilities, labels, normalise)
    n, classes = p.shape
    if classes < 2:
        raise ConfigurationError("temperature scaling needs at least two classes")
    import sklearn
    from sklearn.calibration import CalibratedClassifierCV

    if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 8):
        raise MissingPackageError(
            f"temperature scaling needs scikit-learn 1.8 or newer, not {sklearn.__version__}: "
            "pip install 'rose-uq[conformal]'"
        )
    from rose.scoring.calibration._given import GivenProbabilities

    missing = np.setdiff1d(np.arange(classes), y)  # scikit-learn wants to see each class: once, with no weight
    p = np.vstack([normalised(p), np.full((len(missing), classes), 1.0 / classes)])
    y = np.concatenate([y, missing])
    everything = np.arange(len(y))
    fitted = CalibratedClassifierCV(
        GivenProbabilities(classes), method="temperature", cv=[(everything, everything)], ensemble=False
    ).fit(p, y, sample_weight=np.r_[np.ones(n), np.zeros(len(missing))])
    # Scaling divides log p_0 / p_1 by the temperature: one sample tells it, with a ratio that bears any temperature.
    probe = np.r_[math.exp(0.01), 1.0, np.zeros(classes - 2)][None]
    scaled = fitted.predict_proba(normalised(probe))[0]
    temperature = float(0.01 / np.log(scaled[0] / scaled[1]))
    separated = bool((p[np.arange(n), y[:n]] == p[:n].max(axis=1)).all())
    at_bound = separated or abs(math.log(temperature)) > _BOUND - 1e-3
    if at_bound:
        _warn_of_bound(temperature)
    return TemperatureScaling(temperature, classes, at_bound, normalise, fitted)


_BOUND = 10.0  # of |log T|, in scikit-learn's search


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
