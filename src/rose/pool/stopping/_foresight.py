"""Foresee what an audit would find, by what the ensembles have said of labels before they had them.

Nothing of it is a promise: it decides when to look, since every look costs confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LAST = 30  # predictions that are looked back at
_SAME = 5  # predictions as good as these stand for what the ensemble claims


def foreseen(doubt: np.ndarray, pairs: Sequence[Sequence[float]], classes: bool) -> float:
    """Return the share of the candidates that is predicted well enough, as it may be expected.

    The candidates that were chosen were predicted before they had labels. By how much these predictions were off, in
    units of what the ensemble had said, tells what its claims are worth. (The most uncertain are chosen, of which it
    may claim otherwise than of all; that is why it stays a guess.)

    Args:
        doubt: `[n]`, of each candidate (`Said.doubt`).
        pairs: of earlier predictions, by how much they were off (`Said.off`), and the doubt then.
        classes: whether they are of classes.
    """
    from scipy.special import ndtr  # slow to import

    off, said = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    if classes:
        factor = (np.sum(off > 1.0) + 1.0) / (np.sum(said) + 1.0)
        return float(1.0 - min(1.0, factor * np.mean(doubt)))
    doubt = np.maximum(doubt, 1e-12)
    claimed = float(np.mean(2.0 * ndtr(1.0 / doubt) - 1.0))
    if not len(off):
        return claimed
    ratios = np.sort(off / np.maximum(said, 1e-12))
    found = float(np.mean(np.searchsorted(ratios, 1.0 / doubt, side="right"))) / len(ratios)
    return (found * len(ratios) + claimed * _SAME) / (len(ratios) + _SAME)
