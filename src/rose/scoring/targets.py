"""Define metrics that need the truth: proper scores, for held-out data or for ranking where models are wrong.

"More uncertain" here means "worse predicted". `y_true` is `[N]`: class numbers (classification) or values (regression).
Where a predictive distribution must be assumed it is Gaussian; its variance is that of the members' predictions, plus
the mean of the members' own variances where those are given.
"""

from __future__ import annotations

import math

import numpy as np

from rose.metrics import NEGATIVE_LOG_LIKELIHOOD, TOTAL_UNCERTAINTY
from rose.scoring.classification import ClassStatistics, class_log_likelihood
from rose.scoring.mixture import mixture_log_density
from rose.scoring.registry import Array, declare
from rose.scoring.regression import ValueStatistics

SMALLEST_VARIANCE = 1e-8  # ROSE's floor: keeps the likelihood of a unanimous ensemble finite


@declare(NEGATIVE_LOG_LIKELIHOOD, task="any", range=(-math.inf, math.inf), needs={"targets"}, takes={"variances"},
         uses={"target_probability", "mean", "variance"}, min_samples=2, aliases=("nll",))  # fmt: skip
def negative_log_likelihood(s: ClassStatistics | ValueStatistics) -> Array:
    """Negative log-likelihood of the truth.

    Formula: classification -log mean_s p_s[y]; regression (log(2 pi V) + (y - m)^2 / V) / 2 with mean m and variance V
    of the members, V at least 1e-8; with member variances, -log mean_s N(y; x_s, v_s)

    Reference: Good 1952, JRSS B 14; Lakshminarayanan et al. 2017, NeurIPS

    Classification: inf where no member gives the true class any probability. Regression with S = 1 needs variances.
    """
    if isinstance(s, ClassStatistics):
        return class_log_likelihood(s)
    assert s.targets is not None
    if s.variances is not None:
        return -mixture_log_density(s, s.targets, SMALLEST_VARIANCE)
    variance = np.maximum(s.variance, SMALLEST_VARIANCE)
    return np.asarray(0.5 * (np.log(2.0 * np.pi * variance) + np.square(s.targets - s.mean) / variance))


@declare("crps_ensemble", task="regression", needs={"values", "targets"}, uses=(), aliases=("crps",))
def crps_ensemble(s: ValueStatistics) -> Array:
    """Continuous ranked probability score of the members as an empirical distribution; |x - y| with S = 1.

    Formula: CRPS = mean_s |x_s - y| - (1 / 2 S^2) sum_s sum_t |x_s - x_t|

    Reference: Gneiting and Raftery 2007, JASA 102
    """
    return np.maximum(s.absolute_error - 0.5 * s.mean_difference, 0.0)


@declare("crps_gaussian", task="regression", needs={"values", "targets"}, uses={"mean", "variance"},
         takes={"variances"})  # fmt: skip
def crps_gaussian(s: ValueStatistics) -> Array:
    """Continuous ranked probability score of the Gaussian with the members' mean and total variance; |m - y| if V = 0.

    Formula: CRPS = sd (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (y - m) / sd

    Reference: Gneiting et al. 2005, Monthly Weather Review 133
    """
    from scipy.special import erf  # only here, and slow to import

    assert s.targets is not None
    error = s.targets - s.mean
    spread = np.sqrt(s.total_variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = error / spread
        density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        value = spread * (z * erf(z / math.sqrt(2.0)) + 2.0 * density - 1.0 / math.sqrt(math.pi))
    return np.where(spread > 0.0, np.maximum(value, 0.0), np.abs(error))


@declare("interval_score", task="regression", needs={"values", "targets"}, uses={"lower", "upper"}, min_samples=2,
         aliases=("winkler_score",))  # fmt: skip
def interval_score(s: ValueStatistics) -> Array:
    """Width of the central interval of `level` (0.95), plus a penalty where the truth lies outside.

    Formula: IS = (u - l) + (2 / a) max(l - y, 0) + (2 / a) max(y - u, 0), a = 1 - level

    Reference: Gneiting and Raftery 2007, JASA 102; Winkler 1972, JASA 67
    """
    assert s.targets is not None
    missed = np.maximum(s.lower - s.targets, 0.0) + np.maximum(s.targets - s.upper, 0.0)
    return np.asarray((s.upper - s.lower) + missed * (2.0 / (1.0 - s.level)))


# --- and what ranks candidates whatever the task, without the truth ---------------------------------------------------


@declare(TOTAL_UNCERTAINTY, task="any", needs=(), uses={"entropy", "variance"}, min_samples=2, takes={"variances"},
         aliases=("total",))  # fmt: skip
def total_uncertainty(s: ClassStatistics | ValueStatistics) -> Array:
    """Total uncertainty: the entropy of the mean prediction, or the total variance of values.

    Formula: classification H = -sum_c p_c log p_c, p = mean_s p_s; regression T = mean_s (x_s - mean_t x_t)^2, plus
    mean_s v_s where the members' own variances are given

    Reference: Shannon 1948, Bell System Technical Journal 27; Lakshminarayanan et al. 2017, NeurIPS (law of total
    variance)

    Regression with S = 1 needs variances.
    """
    return s.entropy if isinstance(s, ClassStatistics) else s.total_variance
