"""Make intervals and label sets that contain the truth as often as they say, whatever made the predictions.

Split conformal prediction: a hold-out tells how far predictions have to be widened. All it assumes is that hold-out and
new samples come from the same source in no particular order, and that nothing was trained, chosen or stopped by looking
at the hold-out; samples that active learning picked are no such hold-out. What is guaranteed is the share of all new
samples, not of those in one corner. The mathematics is MAPIE's: install `rose-uq[conformal]`.

With a learner's result, and samples `X, y` that were drawn at random and kept aside:

    mean, variance = results["w"].predict(X)
    intervals = conformal_intervals(y, mean, np.sqrt(variance), level=0.9)
    mean, variance = results["w"].predict(X_new)
    lower, upper = intervals(mean, np.sqrt(variance))
"""

from __future__ import annotations

import importlib
import math
import warnings
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rose.arrays import as_vector
from rose.errors import ConfigurationError, MissingPackageError, PredictionError
from rose.scoring._truth import true_values
from rose.scoring.calibration.measures import classified
from rose.scoring.probabilities import mean_probabilities, normalised

Floats = NDArray[np.float64]
SetMethod = Literal["lac", "aps", "raps", "top_k"]


@dataclass(frozen=True)
class ConformalIntervals:
    """Give the ends of intervals when called with new predictions; made by `conformal_intervals`.

    Attributes:
        level: the share of truths that lies within.
        scaled: whether an interval's width follows the prediction's uncertainty.
    """

    level: float
    scaled: bool
    _mapie: Any = field(repr=False)
    _unit: float = field(repr=False)

    def __call__(self, mean: object, uncertainty: object = None) -> tuple[Floats, Floats]:
        """Return lower and upper ends, `[n]` each, for means `[n]` and, if the hold-out had them, uncertainties `[n]`.

        Raises:
            PredictionError: for numbers that are not finite, or uncertainties that are not above 0.
            ConfigurationError: if uncertainties are missing, or given where the hold-out had none.
        """
        if self.scaled != (uncertainty is not None):
            have, want = ("no ", "one") if self.scaled else ("", "none")
            raise ConfigurationError(f"{have}uncertainty is given, but the intervals were made with {want}")
        columns = _columns(mean, uncertainty, self._unit)
        if not len(columns):
            return np.empty(0), np.empty(0)
        ends = self._mapie.predict_interval(columns)[1]
        return ends[:, 0, 0], ends[:, 1, 0]


@dataclass(frozen=True)
class ConformalSets:
    """Give the classes of label sets when called with new probabilities; made by `conformal_sets`.

    Attributes:
        level: the share of true classes that is in its set.
        classes: how many there are.
        normalise: whether probabilities are divided by their sums first.
    """

    level: float
    classes: int
    normalise: bool
    _mapie: Any = field(repr=False)
    _strangers: int = field(repr=False)

    def __call__(self, probabilities: object) -> NDArray[np.bool_]:
        """Tell which classes belong to each sample's set, `[n, C]`, for probabilities `[n, C]`.

        Raises:
            PredictionError: if they are no probabilities of so many classes.
        """
        p = mean_probabilities(probabilities, self.normalise, self.classes)
        if not len(p):
            return np.empty(p.shape, dtype=np.bool_)
        p = np.pad(normalised(p), ((0, 0), (0, self._strangers)))
        return np.asarray(self._mapie.predict_set(p)[1][:, : self.classes, 0], dtype=np.bool_)


def conformal_intervals(
    targets: object, mean: object, uncertainty: object = None, *, level: float = 0.95
) -> ConformalIntervals:
    """Make intervals around a regression ensemble's means that hold a new target with probability `level` or more.

    Args:
        targets: the hold-out's true values `[n]`.
        mean: what was predicted for them, `[n]`.
        uncertainty: `[n]` positive numbers that errors tend to grow with, best in the targets' units (the standard
            deviation over members): an interval is mean +- q * uncertainty. 0, where all members agree, is refused (as
            is 1e-8 of the median): nothing can be scaled by it; a floor is honest, as `uncertainty +
            np.median(uncertainty)`. Without them all intervals are equally wide.
        level: between 0 and 1; n samples can promise at most 1 - 1/n.

    Formula: q is the ceil((n + 1) level)-th smallest |y - mean| / uncertainty of the hold-out.

    Reference: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018, Distribution-Free Predictive Inference for Regression.

    Raises:
        MissingPackageError: if MAPIE is not installed.
        ConfigurationError: if the level cannot be had from so few samples, or arrays do not fit each other.
        PredictionError: for numbers that are not finite, or uncertainties that are not above 0.

    >>> y = np.linspace(-1.0, 1.0, 99)  # predicted as 0
    >>> intervals = conformal_intervals(y, np.zeros(99), level=0.9)
    >>> lower, upper = intervals([10.0])
    >>> lower.round(2), upper.round(2)
    (array([9.08]), array([10.92]))
    """
    unit = 1.0 if uncertainty is None else _unit(uncertainty)
    columns = _columns(mean, uncertainty, unit)
    y = true_values(targets, columns.shape[:1], "targets")
    _check_level(level, len(y))
    regression, scores = _mapie("regression"), _mapie("conformity_scores")
    from rose.scoring.calibration._given import GivenValues  # scikit-learn is slow to import

    score = "absolute" if uncertainty is None else scores.ResidualNormalisedScore(GivenValues(1), prefit=True)
    fitted = regression.SplitConformalRegressor(
        GivenValues(0), confidence_level=level, conformity_score=score, prefit=True
    )
    return ConformalIntervals(level, uncertainty is not None, fitted.conformalize(columns, y), unit)


def conformal_sets(
    probabilities: object, labels: object, *, level: float = 0.95, method: SetMethod = "lac", normalise: bool = False
) -> ConformalSets:
    """Make sets of classes that hold a new sample's class with probability `level` or more.

    Args:
        probabilities: the hold-out's mean predictions `[n, C]`.
        labels: the true classes' columns `[n]`; classes may be missing.
        level: between 0 and 1; n samples can promise at most 1 - 1/n.
        method: "lac", the smallest sets, which may be empty where no class is probable enough; "aps", which adapt more
            to how hard a sample is; "raps" or "top_k": as MAPIE explains them. "raps" sets a fifth of the hold-out
            aside to choose its penalty, and needs each class that occurs twice. Where fewer than three classes occur,
            which MAPIE serves with "lac" only, the others add to the hold-out samples of one or two classes that do not
            exist: sets then hold the truth a little more often than they say, never less.
        normalise: divide probabilities by their sums (here and when called), which must be within 5 % of 1.

    Reference: Sadinle, Lei & Wasserman 2019, Least Ambiguous Set-Valued Classifiers (lac); Romano, Sesia & Candes 2020,
        Classification with Valid and Adaptive Coverage (aps).

    Raises:
        MissingPackageError: if MAPIE is not installed.
        ConfigurationError: if the level cannot be had from so few samples, labels do not fit, or one class occurs too
            seldom for "raps".
        PredictionError: for what are no probabilities.

    >>> p = np.tile([[0.7, 0.2, 0.1]], (100, 1))
    >>> sets = conformal_sets(p, [0] * 70 + [1] * 20 + [2] * 10, level=0.85)
    >>> sets([[0.7, 0.2, 0.1], [0.9, 0.06, 0.04]])
    array([[ True,  True, False],
           [ True, False, False]])
    """
    if method not in ("lac", "aps", "raps", "top_k"):
        raise ConfigurationError(f"method={method!r} is none of 'lac', 'aps', 'raps', 'top_k'")
    p, y = classified(probabilities, labels, normalise)
    _check_level(level, len(y))
    if method == "raps":
        _check_raps(level, y)
    classification = _mapie("classification")
    from rose.scoring.calibration._given import GivenProbabilities

    classes = p.shape[1]
    strangers = 0 if method == "lac" else max(0, 3 - len(np.unique(y)))
    p, y = _with_strangers(normalised(p), y, strangers, 2 if method == "raps" else 1)
    fitted = classification.SplitConformalClassifier(
        GivenProbabilities(classes + strangers), confidence_level=level, conformity_score=method, prefit=True,
        random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():  # coverage over all samples does not need each class in the hold-out
        warnings.filterwarnings("ignore", message=".*conformalization dataset has less labels")
        return ConformalSets(level, classes, normalise, fitted.conformalize(p, y), strangers)


def _with_strangers(
    p: Floats, y: NDArray[np.int64], strangers: int, of_each: int
) -> tuple[Floats, NDArray[np.int64]]:  # fmt: skip
    """Return a hold-out with so many more classes, that no prediction thinks possible, and so many samples of each.

    Theirs are the worst scores there can be, so the quantile is at least what it would be without them.
    """
    n, classes = p.shape
    p = np.pad(p, ((0, of_each * strangers), (0, strangers)))
    p[n:, :classes] = 1.0 / classes
    return p, np.concatenate([y, np.repeat(np.arange(classes, classes + strangers), of_each)])


def _check_raps(level: float, y: NDArray[np.int64]) -> None:
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        raise ConfigurationError(
            f"method='raps' needs each class that occurs at least twice, but there is one of class "
            f"{classes[counts.argmin()]}: leave it out, or use 'aps'"
        )
    if len(y) // 5 < len(classes):
        raise ConfigurationError(
            f"method='raps' sets a fifth of the hold-out aside, which must hold each of the {len(classes)} classes: "
            f"give at least {5 * len(classes)} samples, or use 'aps'"
        )
    _check_level(level, len(y) // 5, "method='raps' sets a fifth of the hold-out aside: ")


def _mapie(module: str) -> Any:
    """Return one of MAPIE's modules; imported here, because that takes seconds."""
    try:
        found = importlib.import_module(f"mapie.{module}")
    except ImportError as error:
        raise MissingPackageError(
            f"conformal prediction needs MAPIE ({error}): pip install 'rose-uq[conformal]'"
        ) from error
    if module == "regression" and not hasattr(found, "SplitConformalRegressor"):
        raise MissingPackageError("conformal prediction needs MAPIE 1.0 or newer: pip install 'rose-uq[conformal]'")
    return found


def _check_level(level: float, n: int, why: str = "") -> None:
    if not isinstance(level, Real) or not 0.0 < level < 1.0:
        raise ConfigurationError(f"level={level!r} must lie between 0 and 1")
    least = math.ceil(1.0 / min(level, 1.0 - level) - 1e-9)
    if n < least:
        what = f"{n} samples cannot promise level={level:g}: give at least {least}"
        raise ConfigurationError(f"{why}{what}{' there' if why else ''}")


def _unit(uncertainty: object) -> float:
    """Return the median uncertainty, in which they are measured: MAPIE takes what is below 1e-8 for 1e-8."""
    u = as_vector(uncertainty, "uncertainties", PredictionError)
    known = u[np.isfinite(u)]
    return float(np.median(known)) if len(known) else 1.0


def _columns(mean: object, uncertainty: object, unit: float) -> Floats:
    """Return means and uncertainties (in units of `unit`) side by side, `[n, 1]` or `[n, 2]`, checked."""
    m = as_vector(mean, "means", PredictionError).astype(np.float64)
    if m.ndim != 1:
        raise PredictionError(f"means must be [n], not of shape {m.shape}")
    if not np.isfinite(m).all():
        raise PredictionError("means must be finite numbers")
    if uncertainty is None:
        return m[:, None]
    u = as_vector(uncertainty, "uncertainties", PredictionError).astype(np.float64)
    if u.shape != m.shape:
        raise ConfigurationError(f"means {m.shape} and uncertainties {u.shape} must both be [n]")
    if not (np.isfinite(u) & (u >= 0.0)).all():
        raise PredictionError("uncertainties must be finite and not negative")
    if (u <= _LEAST * unit).any():
        at = int(np.flatnonzero(u <= _LEAST * unit)[0])
        raise PredictionError(
            f"the uncertainty of sample {at} is {u[at]:.3g}, from which no interval can be scaled; give all of them a "
            "floor, as uncertainty + np.median(uncertainty), in the hold-out and after"
        )
    return np.column_stack([m, u / unit])


_LEAST = 1e-8  # of the median uncertainty of the hold-out
