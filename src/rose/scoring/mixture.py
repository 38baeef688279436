"""Compute what takes members together: density and entropy of their Gaussian mixture, covariance of candidates."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.scoring.registry import METRICS, Array, Metric, declare, documented
from rose.scoring.regression import GAUSSIAN, ValueStatistics


@declare("mixture_entropy", task="regression", range=(-math.inf, math.inf), needs=GAUSSIAN, uses=())
def mixture_entropy(s: ValueStatistics) -> Array:
    """Differential entropy of the Gaussian mixture of all members, by quadrature.

    Formula: H = -integral f(x) log f(x) dx, f = mean_s N(x_s, v_s)

    Reference: Huber et al. 2008, IEEE MFI; Depeweg et al. 2018, ICML

    Gauss-Legendre between the marks (mean +- multiples of the deviation) of all members together: narrow members are
    resolved inside wide ones. Absolute error below 1e-6. Costs S^2 per candidate. A variance of 0 counts as 1e-12
    times that of the members' means (or as 1e-300 if that is 0, too).
    """
    assert s.variances is not None
    total = np.empty(len(s.rows[0]))
    some = max(1, _MARKED_ELEMENTS // s.members)
    for low in range(0, len(total), some):
        at = slice(low, low + some)
        means, variances = (np.stack([row[at] for row in rows]).astype(np.float64) for rows in (s.rows, s.variances))
        total[at] = _entropy_between_marks(means, np.maximum(variances, np.maximum(1e-12 * s.variance[at], 1e-300)))
    return total


def _entropy_between_marks(means: Array, variances: Array) -> Array:
    nodes, weights = np.polynomial.legendre.leggauss(6)
    deviations, constants = np.sqrt(variances), -0.5 * np.log(2.0 * np.pi * variances)
    marks = np.concatenate([means + offset * deviations for offset in _MARKS])
    marks.sort(axis=0)
    total = np.zeros(means.shape[1])
    for left, right in itertools.pairwise(marks):
        half = 0.5 * (right - left)
        for node, weight in zip(nodes, weights, strict=True):
            logs = constants - 0.5 * np.square(left + (1.0 + node) * half - means) / variances
            log_density = _log_mean_exp(logs)
            total -= weight * half * np.exp(log_density) * log_density
    return total


_MARKED_ELEMENTS = 1 << 12  # members times candidates that are marked at a time: there are many marks
_MARKS = [sign * x for x in (0.75, 1.5, 2.25, 3.0, 4.0, 5.0, 6.5, 8.5) for sign in (-1, 1)] + [0.0]


def mixture_log_density(s: ValueStatistics, at: Array, floor: Array | float) -> Array:
    """Return log of the members' mixture density at one point per candidate, `[n]`; variances: at least `floor`."""
    assert s.variances is not None
    logs = np.empty((s.members, len(at)))
    for out, mean, variance in zip(logs, s.rows, s.variances, strict=True):
        wide = np.maximum(variance, floor, dtype=np.float64)
        out[:] = -0.5 * (np.log(2.0 * np.pi * wide) + np.square(at - mean) / wide)
    return _log_mean_exp(logs)


def _log_mean_exp(logs: Array) -> Array:
    """Return log of the mean over members of exp(logs), `[S, n]` -> `[n]`; `logs` is overwritten."""
    top = logs.max(axis=0)
    logs -= top
    total = np.zeros(len(top))
    for row in np.exp(logs, out=logs):
        total += row
    return np.asarray(top + np.log(total / len(logs)))


# --- of all candidates together --------------------------------------------------------------------------------------

_BLOCK = 4096  # candidates at a time
_NOISE = 0.01  # of a label, as a share of the mean variance


def _declared(function: Any) -> Metric:
    return Metric(
        "expected_variance_reduction", "any", "higher", (0.0, np.inf), frozenset(), 2, ("alc", "imse"),
        *documented(function), kind="whole", definition=function, scorer=str, built_in=True,
    )  # fmt: skip


@METRICS.register("expected_variance_reduction", _declared, ("alc", "imse"))
def expected_variance_reduction(_scorer: object, mc_preds: npt.NDArray[Any]) -> Array:
    """Mean reduction of all candidates' predictive variance that a label of this one would bring.

    The covariance of candidates is that of the members, summed over classes or outputs. It is never computed: with
    deviations `a_i` of one candidate, `mean_j c_ij ** 2` is `a_i M a_i`, M the mean of `a_j a_j` over all candidates.

    Formula: R_i = mean_j c_ij^2 / (c_ii + 0.01 mean_j c_jj), c_ij = mean_s (x_si - m_i)(x_sj - m_j)

    Reference: Cohn 1996, Neural Networks 9; Sacks et al. 1989, Statistical Science 4
    """
    count = mc_preds.shape[1]
    starts = range(0, count, _BLOCK)
    mean: Any = 0.0
    for start in starts:
        some = _deviations(mc_preds[:, start : start + _BLOCK])
        mean = mean + some.T @ some
    out = np.empty(count)
    mean = mean / max(count, 1)
    noise = _NOISE * float(np.trace(mean)) if count else 0.0
    if not noise > 0:
        return np.zeros(count)
    for start in starts:
        some = _deviations(mc_preds[:, start : start + _BLOCK])
        effect, variance = np.einsum("nd,nd->n", some @ mean, some), np.einsum("nd,nd->n", some, some)
        out[start : start + _BLOCK] = np.maximum(effect, 0.0) / (variance + noise)
    return out


def _deviations(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return `[n, S]` (`[n, S * C]`) deviations of the members from their mean, over sqrt(S), of `[S, n]` or more."""
    apart = rows - rows[0].astype(np.float64)  # exactly 0 where members agree, as the mean is not
    apart -= apart.mean(axis=0)
    return np.asarray(np.moveaxis(apart, 0, 1).reshape(rows.shape[1], -1) / np.sqrt(len(rows)))
