"""Define regression metrics over `[S, N]` values: the statistics they share, and the formulas.

`ValueStatistics` is the plain NumPy definition of every statistic; the compiled kernels may fill in the same attributes
faster, and the tests hold them to this file. Values are widened to float64 first, and deviations are taken before they
are squared: 1e8 + noise in float32 has the right variance. Quantiles interpolate linearly, as `numpy.percentile` does.

Edge cases, for all metrics here: `N = 0` gives an empty result; `S = 1` raises where only disagreement is measured
(`min_samples`); NaN and inf raise (`nan="omit"` drops NaN members of a candidate, never inf).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.metrics import PREDICTIVE_INTERVAL_WIDTH, PREDICTIVE_VARIANCE
from rose.scoring.registry import Array, declare


class ValueStatistics:
    """Compute statistics per candidate of S members' predictions for a block of candidates.

    Args:
        rows: S arrays `[n]`, float16 to float64.
        targets: true values `[n]`, for the statistics that need them.
        variances: S arrays `[n]` of the members' own (aleatoric) variances.
        level: the nominal coverage of the central interval, between 0 and 1.
    """

    def __init__(
        self,
        rows: Sequence[npt.NDArray[Any]],
        targets: Array | None = None,
        variances: Sequence[npt.NDArray[Any]] | None = None,
        level: float = 0.95,
    ) -> None:
        self.rows = rows
        self.targets = targets
        self.variances = variances
        self.level = level
        self.members = len(rows)

    @cached_property
    def mean(self) -> Array:
        """Return the mean over members, `[n]`, taken as a deviation from the first so that nothing is lost to size."""
        first = self.rows[0].astype(np.float64)
        total = np.zeros_like(first)
        for row in self.rows:
            total += row - first
        return first + total / self.members

    @cached_property
    def variance(self) -> Array:
        """Return the population variance over members (divided by S, as `numpy.var`), `[n]`."""
        total = np.zeros(len(self.rows[0]))
        for row in self.rows:
            deviation = row - self.mean
            total += deviation * deviation
        return total / self.members

    @cached_property
    def ordered(self) -> npt.NDArray[Any]:
        """Return each candidate's predictions in ascending order, `[n, S]`, in the input's dtype."""
        return np.sort(np.stack(list(self.rows), axis=1), axis=1)

    def quantile(self, q: float) -> Array:
        """Return the q-quantile over members, `[n]`, interpolated linearly between order statistics."""
        below, above, weight = quantile_position(q, self.members)
        return between(
            self.ordered[:, below].astype(np.float64), self.ordered[:, above].astype(np.float64), weight
        )  # fmt: skip

    @cached_property
    def lower(self) -> Array:
        """Return the lower end of the central interval of `level`."""
        return self.quantile((1.0 - self.level) / 2.0)

    @cached_property
    def upper(self) -> Array:
        """Return the upper end of the central interval of `level`."""
        return self.quantile((1.0 + self.level) / 2.0)

    @cached_property
    def lower_quartile(self) -> Array:
        """Return the 25 % quantile."""
        return self.quantile(0.25)

    @cached_property
    def upper_quartile(self) -> Array:
        """Return the 75 % quantile."""
        return self.quantile(0.75)

    @cached_property
    def smallest(self) -> Array:
        """Return the smallest prediction."""
        return np.asarray(np.minimum.reduce(list(self.rows)), dtype=np.float64)

    @cached_property
    def largest(self) -> Array:
        """Return the largest prediction."""
        return np.asarray(np.maximum.reduce(list(self.rows)), dtype=np.float64)

    @cached_property
    def mean_variance(self) -> Array:
        """Return the mean of the members' own variances."""
        assert self.variances is not None
        total = np.zeros(len(self.rows[0]))
        for row in self.variances:
            total += row
        return total / self.members

    @cached_property
    def total_variance(self) -> Array:
        """Return the total variance (its law); without member variances, the variance of the means alone."""
        return self.variance if self.variances is None else self.variance + self.mean_variance

    @cached_property
    def absolute_error(self) -> Array:
        """Return the mean over members of |x_s - y|."""
        assert self.targets is not None
        total = np.zeros(len(self.rows[0]))
        for row in self.rows:
            total += np.abs(row - self.targets)
        return total / self.members

    @cached_property
    def mean_difference(self) -> Array:
        """Return the mean over all pairs of |x_s - x_t|, from the order statistics."""
        ordered = self.ordered.astype(np.float64)
        ordered -= ordered[:, :1].copy()
        total = np.zeros(len(ordered))
        for i in range(self.members):
            total += (2.0 * i - self.members + 1.0) * ordered[:, i]
        return 2.0 * total / self.members**2


def quantiles_of(level: float) -> dict[str, float]:
    """Return the quantiles that statistics are, those of the central interval of that level among them."""
    return {
        "lower": (1.0 - level) / 2.0, "upper": (1.0 + level) / 2.0, "lower_quartile": 0.25, "upper_quartile": 0.75,
        "smallest": 0.0, "largest": 1.0,
    }  # fmt: skip


def quantile_position(q: float, members: int) -> tuple[int, int, float]:
    """Tell which two order statistics the q-quantile lies between, and how far from the first.

    >>> quantile_position(0.5, 4)
    (1, 2, 0.5)
    """
    position = q * (members - 1)
    below = min(max(math.floor(position), 0), members - 1)
    return below, min(below + 1, members - 1), position - below


def between(low: Array, high: Array, weight: float) -> Array:
    """Return the point at `weight` between `low` and `high`, from the nearer end, as NumPy's percentile does."""
    gap = high - low
    return low + gap * weight if weight < 0.5 else high - gap * (1.0 - weight)


_VALUES = {"values"}


@declare(PREDICTIVE_VARIANCE, task="regression", needs=_VALUES, uses={"variance"}, min_samples=2,
         takes={"variances"}, aliases=("variance",))  # fmt: skip
def predictive_variance(s: ValueStatistics) -> Array:
    """Variance of the members' predictions (population: divided by S); of a single member, its own variance.

    Formula: V = mean_s (x_s - mean_t x_t)^2; with S = 1 and variances, v_1

    Reference: Seung et al. 1992, COLT; Lakshminarayanan et al. 2017, NeurIPS
    """
    return s.total_variance if s.members == 1 else s.variance


@declare("standard_deviation", task="regression", needs=_VALUES, uses={"variance"}, min_samples=2,
         takes={"variances"}, aliases=("std",))  # fmt: skip
def standard_deviation(s: ValueStatistics) -> Array:
    """Standard deviation of the members' predictions, in the units of the target; of a single member, its own.

    Formula: SD = sqrt(mean_s (x_s - mean_t x_t)^2); with S = 1 and variances, sqrt(v_1)

    Reference: Lakshminarayanan et al. 2017, NeurIPS
    """
    return np.sqrt(s.total_variance if s.members == 1 else s.variance)


@declare(PREDICTIVE_INTERVAL_WIDTH, task="regression", needs=_VALUES, uses={"lower", "upper"}, min_samples=2,
         aliases=("interval_width",))  # fmt: skip
def predictive_interval_width(s: ValueStatistics) -> Array:
    """Width of the central interval that holds `level` (0.95) of the members' predictions.

    Formula: W = Q((1 + level) / 2) - Q((1 - level) / 2), quantiles interpolated linearly

    Reference: Hyndman and Fan 1996, The American Statistician 50 (type 7)
    """
    return s.upper - s.lower


@declare("interquartile_range", task="regression", needs=_VALUES, uses={"lower_quartile", "upper_quartile"},
         min_samples=2, aliases=("iqr",))  # fmt: skip
def interquartile_range(s: ValueStatistics) -> Array:
    """Width of the middle half of the members' predictions: robust to outlying members.

    Formula: IQR = Q(0.75) - Q(0.25), quantiles interpolated linearly

    Reference: Hyndman and Fan 1996, The American Statistician 50 (type 7)
    """
    return s.upper_quartile - s.lower_quartile


@declare("coefficient_of_variation", task="regression", needs=_VALUES, uses={"mean", "variance"}, min_samples=2,
         aliases=("cv",))  # fmt: skip
def coefficient_of_variation(s: ValueStatistics) -> Array:
    """Standard deviation relative to the size of the mean; 0 if all agree, inf if they disagree around a mean of 0.

    Formula: CV = sqrt(mean_s (x_s - m)^2) / |m|, m = mean_s x_s

    Reference: Pearson 1896, Philosophical Transactions of the Royal Society A 187
    """
    spread = np.sqrt(s.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0.0, spread / np.abs(s.mean), 0.0)


@declare("range", task="regression", needs=_VALUES, uses={"smallest", "largest"}, min_samples=2)
def value_range(s: ValueStatistics) -> Array:
    """Distance between the largest and the smallest prediction.

    Formula: R = max_s x_s - min_s x_s

    Reference: Seung et al. 1992, COLT
    """
    return s.largest - s.smallest


GAUSSIAN = {"values", "variances"}


@declare("total_variance", task="regression", needs=GAUSSIAN, uses={"variance", "mean_variance"})
def total_variance(s: ValueStatistics) -> Array:
    """Variance of the mixture of all members' predictive distributions; with S = 1, the member's own variance.

    Formula: T = mean_s v_s + mean_s (x_s - mean_t x_t)^2

    Reference: Lakshminarayanan et al. 2017, NeurIPS (law of total variance)
    """
    return s.total_variance


@declare("epistemic_variance", task="regression", needs=GAUSSIAN, uses={"variance"}, min_samples=2)
def epistemic_variance(s: ValueStatistics) -> Array:
    """Variance of the members' means: what more data can remove.

    Formula: V = mean_s (x_s - mean_t x_t)^2

    Reference: Kendall and Gal 2017, NeurIPS
    """
    return s.variance


@declare("aleatoric_variance", task="regression", needs=GAUSSIAN, uses={"mean_variance"})
def aleatoric_variance(s: ValueStatistics) -> Array:
    """Mean of the members' own variances: noise that more data does not remove.

    Formula: A = mean_s v_s

    Reference: Kendall and Gal 2017, NeurIPS
    """
    return s.mean_variance
