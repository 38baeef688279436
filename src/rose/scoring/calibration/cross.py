"""Make intervals and label sets without a hold-out: by models that were refitted without a fold of the labelled set.

CV+ (of which jackknife+, with as many folds as samples, is a case) promises no less than 2 level - 1, and holds about
`level`, of new samples that are drawn as the labelled ones were. After active selection the labelled set is no sample
of the pool. Weights, by how much likelier a sample like that is in the pool than among the labelled, mend what of that
they can know: where something was labelled, and not where nothing was.

References:
    Barber, Candes, Ramdas & Tibshirani 2021, Predictive Inference with the Jackknife+.
    Romano, Sesia & Candes 2020, Classification with Valid and Adaptive Coverage (CV+ for sets).
    Prinster, Liu & Saria 2022, JAWS: Auditing Predictive Uncertainty Under Covariate Shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose.scoring.calibration.quantiles import Floats, check_level, weighted_quantile

_BLOCK = 1 << 22  # numbers that are looked at in one go
_MOST = 20.0  # times the median that a weight may be: one sample must not decide


def folds_of(samples: int, folds: int, seed: int, labels: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Return the fold of each sample, `[n]`, by the seed; with labels, each class is spread over all folds.

    >>> np.bincount(folds_of(10, 3, seed=0))
    array([4, 3, 3])
    """
    order = np.random.default_rng(seed).permutation(samples)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    found = np.empty(samples, dtype=np.int64)
    found[order] = np.arange(samples) % min(folds, samples)
    return found


@dataclass(frozen=True)
class CrossScores:
    """Hold how far off each labelled sample was predicted by models that had not learned from its fold.

    Attributes:
        scores: `[n]`: |y - mean| / scale of values, 1 - p of the true class.
        folds: `[n]`, the fold of each.
        weights: `[n]`, how much likelier such a sample is among the new ones; None: alike.
    """

    scores: Floats
    folds: NDArray[np.int64]
    weights: Floats | None = None

    def intervals(
        self, level: float, means: Sequence[Floats], scales: Sequence[Floats], own: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return lower and upper ends, `[m]`.

        Args:
            level: between 0 and 1.
            means: by fold, what the models without it predict of the new samples, `[m]` each.
            scales: the same of their scales.
            own: `[m]`, the new samples' own weights, if the labelled have some.

        Raises:
            ConfigurationError: if so few samples cannot promise the level.
        """
        check_level(level, len(self.scores), "calibrated by cross-validation: ")
        weights, own = self._weights(own, len(means[0]))
        ends: list[tuple[Floats, Floats]] = []
        for part in _blocks(len(self.scores), len(means[0])):
            mean = np.stack([one[part] for one in means])[self.folds]
            half = self.scores[:, None] * np.stack([one[part] for one in scales])[self.folds]
            lower = -weighted_quantile(half - mean, weights, own[part], level)
            ends.append((lower, weighted_quantile(mean + half, weights, own[part], level)))
        return np.concatenate([one for one, _ in ends]), np.concatenate([one for _, one in ends])

    def sets(self, level: float, probabilities: Sequence[Floats], own: Floats | None = None) -> NDArray[np.bool_]:
        """Tell which classes belong to each new sample's set, `[m, C]`; by fold, given probabilities `[m, C]`.

        Raises:
            ConfigurationError: if so few samples cannot promise the level.
        """
        check_level(level, len(self.scores), "calibrated by cross-validation: ")
        weights, own = self._weights(own, len(probabilities[0]))
        below = np.zeros(probabilities[0].shape)  # the weight of samples that were less strange than a class would be
        for fold, p in enumerate(probabilities):
            mine = np.flatnonzero(self.folds == fold)
            order = mine[np.argsort(self.scores[mine])]
            sums = np.concatenate([[0.0], np.cumsum(weights[order])])
            below += sums[np.searchsorted(self.scores[order], 1.0 - p, side="left")]
        return np.asarray(below < level * (weights.sum() + own[:, None]) * (1.0 - 1e-12))

    def _weights(self, own: Floats | None, new: int) -> tuple[Floats, Floats]:
        if self.weights is None or own is None:
            return np.ones(len(self.scores)), np.ones(new)
        return self.weights, own


def _blocks(samples: int, new: int) -> list[slice]:
    size = max(1, _BLOCK // samples)
    return [slice(start, start + size) for start in range(0, new, size)]


def likelihood_ratios(labelled: Floats, pool: Floats, new: Floats, seed: int = 0) -> tuple[Floats, Floats]:
    """Return how much likelier samples are in the pool than among the labelled: of the labelled, and of new ones.

    A classifier tells pool from labelled: logistic regression on standardised features and their squares, with a
    regularisation that is cross-validated, so that the weights are equal where it can tell nothing.

    Reference: Bickel, Brückner & Scheffer 2009, Discriminative Learning Under Covariate Shift.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    some = np.random.default_rng(seed).permutation(len(pool))[: max(1000, 5 * len(labelled))]
    X = np.concatenate([labelled, pool[some]])
    of_pool = np.r_[np.zeros(len(labelled), dtype=np.int64), np.ones(len(some), dtype=np.int64)]
    degree = 2 if X.shape[1] <= 20 else 1
    model = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(degree, include_bias=False),
        StandardScaler(),
        GridSearchCV(
            LogisticRegression(class_weight="balanced", max_iter=1000),
            {"C": [1e-4, 1e-3, 1e-2, 0.1]},
            scoring="neg_log_loss",
            cv=5,
        ),
    ).fit(X, of_pool)
    odds = [np.exp(model.decision_function(one)) for one in (labelled, new)]
    middle = float(np.median(odds[0]))
    return np.minimum(odds[0] / middle, _MOST), np.minimum(odds[1] / middle, _MOST)
