"""The one metric that ranks candidates whatever the task: what all members together do not know."""

from __future__ import annotations

from rose.metrics import TOTAL_UNCERTAINTY
from rose.scoring.classification import ClassStatistics
from rose.scoring.registry import Array, declare
from rose.scoring.regression import ValueStatistics


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
