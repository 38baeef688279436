"""Define the score of what a label would teach about all candidates, by the covariance of stacked predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rose.scoring.registry import METRICS, Array, Metric, documented
from rose.scoring.scorer import UQScorer

_BLOCK = 4096  # candidates at a time
_NOISE = 0.01  # of a label, as a share of the mean variance


def _declared(function: Any) -> Metric:
    return Metric(
        "expected_variance_reduction", "any", "higher", (0.0, np.inf), frozenset(), 2, ("alc", "imse"),
        *documented(function), kind="whole", definition=function, scorer=UQScorer, built_in=True,
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
