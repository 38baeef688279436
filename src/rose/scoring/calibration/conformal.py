"""Make intervals and label sets that contain the truth as often as they say, whatever made the predictions.

Split conformal prediction: a hold-out tells how far predictions have to be widened. All it assumes is that hold-out and
new samples come from the same source in no particular order, and that nothing was trained, chosen or stopped by looking
at the hold-out; samples that active learning picked are no such hold-out. What is guaranteed is the share of all new
samples, not of those in one corner. `result.predict(X, level=0.9)` does this by the pool's hold-out; here it is for
arrays of your own:

    mean, std = ...  # of samples X, y that were drawn at random and kept aside
    intervals = conformal_intervals(y, mean, std, level=0.9)
    lower, upper = intervals(mean_new, std_new)
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rose.arrays import as_vector
from rose.errors import ConfigurationError, MissingPackageError, PredictionError
from rose.scoring._truth import true_values
from rose.scoring.calibration.holdout import ClassScores, ValueScores
from rose.scoring.calibration.measures import classified
from rose.scoring.calibration.quantiles import Floats, check_level
from rose.scoring.probabilities import mean_probabilities, normalised

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
    _scores: ValueScores = field(repr=False)

    def __call__(self, mean: object, uncertainty: object = None) -> tuple[Floats, Floats]:
        """Return lower and upper ends, `[n]` each, for means `[n]` and, if the hold-out had them, uncertainties `[n]`.

        Raises:
            PredictionError: for numbers that are not finite, or uncertainties below 0.
            ConfigurationError: if uncertainties are missing, or given where the hold-out had none.
        """
        if self.scaled != (uncertainty is not None):
            have, want = ("no ", "one") if self.scaled else ("", "none")
            raise ConfigurationError(f"{have}uncertainty is given, but the intervals were made with {want}")
        return self._scores.intervals(self.level, *_checked(mean, uncertainty))


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
    _sets: Any = field(repr=False)

    def __call__(self, probabilities: object) -> NDArray[np.bool_]:
        """Tell which classes belong to each sample's set, `[n, C]`, for probabilities `[n, C]`.

        Raises:
            PredictionError: if they are no probabilities of so many classes.
        """
        p = mean_probabilities(probabilities, self.normalise, self.classes)
        if not len(p):
            return np.empty(p.shape, dtype=np.bool_)
        return np.asarray(self._sets(normalised(p)), dtype=np.bool_)


def conformal_intervals(
    targets: object, mean: object, uncertainty: object = None, *, level: float = 0.95
) -> ConformalIntervals:
    """Make intervals around a regression ensemble's means that hold a new target with probability `level` or more.

    Args:
        targets: the hold-out's true values `[n]`.
        mean: what was predicted for them, `[n]`.
        uncertainty: `[n]` numbers that errors tend to grow with, best in the targets' units (the standard deviation
            over members). An interval is mean +- q * (uncertainty + floor), where the floor is the hold-out's median
            uncertainty: scaled by the uncertainty alone, intervals are as narrow as chance makes members agree, and all
            others pay for it. Without them, or where all are equal or 0, all intervals are equally wide.
        level: between 0 and 1; n samples can promise at most n / (n + 1).

    Formula: q is the ceil((n + 1) level)-th smallest |y - mean| / (uncertainty + floor) of the hold-out.

    Reference: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018, Distribution-Free Predictive Inference for Regression.

    Raises:
        ConfigurationError: if the level cannot be had from so few samples, or arrays do not fit each other.
        PredictionError: for numbers that are not finite, or uncertainties below 0.

    >>> y = np.linspace(-1.0, 1.0, 99)  # predicted as 0
    >>> intervals = conformal_intervals(y, np.zeros(99), level=0.9)
    >>> lower, upper = intervals([10.0])
    >>> lower.round(2), upper.round(2)
    (array([9.08]), array([10.92]))
    """
    means, stds = _checked(mean, uncertainty)
    y = true_values(targets, means.shape, "targets")
    check_level(level, len(y))
    return ConformalIntervals(level, uncertainty is not None, ValueScores.of(y, means, stds))


def conformal_sets(
    probabilities: object,
    labels: object,
    *,
    level: float = 0.95,
    method: SetMethod = "lac",
    by_class: bool = False,
    normalise: bool = False,
) -> ConformalSets:
    """Make sets of classes that hold a new sample's class with probability `level` or more.

    Args:
        probabilities: the hold-out's mean predictions `[n, C]`.
        labels: the true classes' columns `[n]`; classes may be missing.
        level: between 0 and 1; n samples can promise at most n / (n + 1).
        method: "lac", the smallest sets, which may be empty where no class is probable enough. The others are MAPIE's
            (install `rose-uq[conformal]`): "aps", which adapt more to how hard a sample is; "raps" or "top_k". "raps"
            sets a fifth of the hold-out aside to choose its penalty, and needs each class that occurs twice. Where
            fewer than three classes occur, which MAPIE does not serve, samples of one or two classes that do not exist
            are added to the hold-out: sets then hold the truth a little more often than they say, never less.
        by_class: whether the level holds of each class by itself (Mondrian; "lac" only): a class of which the hold-out
            has too few samples for it is in every set.
        normalise: divide probabilities by their sums (here and when called), which must be within 5 % of 1.

    Reference: Sadinle, Lei & Wasserman 2019, Least Ambiguous Set-Valued Classifiers (lac); Romano, Sesia & Candes 2020,
        Classification with Valid and Adaptive Coverage (aps); Vovk, Lindsay, Nouretdinov & Gammerman 2003, Mondrian
        Confidence Machine (by_class).

    Raises:
        MissingPackageError: if MAPIE is needed, and not installed.
        ConfigurationError: if the level cannot be had from so few samples, labels do not fit, one class occurs too
            seldom for "raps", or `by_class` is asked of another method than "lac".
        PredictionError: for what are no probabilities.

    >>> p = np.tile([[0.7, 0.2, 0.1]], (100, 1))
    >>> sets = conformal_sets(p, [0] * 70 + [1] * 20 + [2] * 10, level=0.85)
    >>> sets([[0.7, 0.2, 0.1], [0.9, 0.06, 0.04]])
    array([[ True,  True, False],
           [ True, False, False]])
    """
    if method not in ("lac", "aps", "raps", "top_k"):
        raise ConfigurationError(f"method={method!r} is none of 'lac', 'aps', 'raps', 'top_k'")
    if by_class and method != "lac":
        raise ConfigurationError(f"by_class=True goes with method='lac', not {method!r}")
    p, y = classified(probabilities, labels, normalise)
    check_level(level, len(y))
    if method == "lac":
        scores = ClassScores.of(normalised(p), y)
        return ConformalSets(level, p.shape[1], normalise, lambda new: scores.sets(level, new, by_class))
    return ConformalSets(level, p.shape[1], normalise, _mapies_sets(normalised(p), y, level, method))


def _mapies_sets(p: Floats, y: NDArray[np.int64], level: float, method: str) -> Any:
    """Return MAPIE's function from probabilities to sets."""
    if method == "raps":
        _check_raps(level, y)
    mapie = _mapie()
    from rose.scoring.calibration._given import GivenProbabilities  # scikit-learn is slow to import

    classes = p.shape[1]
    strangers = max(0, 3 - len(np.unique(y)))
    p, y = _with_strangers(p, y, strangers, 2 if method == "raps" else 1)
    fitted = mapie.SplitConformalClassifier(
        GivenProbabilities(classes + strangers), confidence_level=level, conformity_score=method, prefit=True,
        random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():  # coverage over all samples does not need each class in the hold-out
        warnings.filterwarnings("ignore", message=".*conformalization dataset has less labels")
        fitted = fitted.conformalize(p, y)

    def sets(new: Floats) -> Any:
        return fitted.predict_set(np.pad(new, ((0, 0), (0, strangers))))[1][:, :classes, 0]

    return sets


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
    check_level(level, len(y) // 5, "method='raps' sets a fifth of the hold-out aside: ")


def _mapie() -> Any:
    """Return MAPIE's module of classification; imported here, because that takes seconds."""
    how = "pip install 'rose-uq[conformal]', or use method='lac'"
    try:
        found = importlib.import_module("mapie.classification")
    except ImportError as error:
        raise MissingPackageError(f"this method of label sets needs MAPIE ({error}): {how}") from error
    if not hasattr(found, "SplitConformalClassifier"):
        raise MissingPackageError(f"this method of label sets needs MAPIE 1.0 or newer: {how}")
    return found


def _checked(mean: object, uncertainty: object) -> tuple[Floats, Floats]:
    """Return means and uncertainties, `[n]` each; 0 where there are none."""
    m = as_vector(mean, "means", PredictionError).astype(np.float64)
    if m.ndim != 1:
        raise PredictionError(f"means must be [n], not of shape {m.shape}")
    if not np.isfinite(m).all():
        raise PredictionError("means must be finite numbers")
    if uncertainty is None:
        return m, np.zeros_like(m)
    u = as_vector(uncertainty, "uncertainties", PredictionError).astype(np.float64)
    if u.shape != m.shape:
        raise ConfigurationError(f"means {m.shape} and uncertainties {u.shape} must both be [n]")
    if not (np.isfinite(u) & (u >= 0.0)).all():
        raise PredictionError("uncertainties must be finite and not negative")
    return m, u
