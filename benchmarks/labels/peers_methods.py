"""Let scikit-activeml and bmdal_reg choose in our loop: only the choice is theirs, not models and start.

Each is registered as an acquisition method of ours. What they ask of a model is answered by our models' predictions of
the candidates: by place, so that nothing is fitted twice.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rose.acquisition import register_acquisition

NEEDS = ("scores", "features")
USES = ("mc_preds", "labelled")
Y: dict[str, Any] = {}  # the labels of all candidates, of which a method is shown those that are labelled


def _seed(problem: Any) -> int:
    return int(problem.rng.integers(2**31))


def _labels(problem: Any) -> np.ndarray:
    y = np.full(problem.size, np.nan)
    y[problem.labelled] = Y["y"][problem.labelled]
    return y


def _where(problem: Any) -> tuple[np.ndarray, Any]:
    """Our mean predictions, `[N]` or `[N, C]`, and what finds the places of rows of features."""
    predictions = problem.predictions.rows(np.arange(problem.size)).mean(axis=0, dtype=np.float64)
    X = np.asarray(problem.features, dtype=np.float64)
    where = {row.tobytes(): at for at, row in enumerate(X)}
    return predictions, lambda rows: [where[np.ascontiguousarray(row, dtype=np.float64).tobytes()] for row in rows]


def _classifier(problem: Any) -> Any:
    from skactiveml.base import SkactivemlClassifier

    known, places = _where(problem)

    class Ours(SkactivemlClassifier):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            return self

        def predict_proba(self, X: Any) -> Any:
            return known[places(X)]

    made = Ours(classes=np.arange(known.shape[1]))
    made.classes_ = np.arange(known.shape[1])
    return made


def _regressor(problem: Any) -> Any:
    from skactiveml.base import SkactivemlRegressor

    known, places = _where(problem)

    class Ours(SkactivemlRegressor):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            return self

        def predict(self, X: Any) -> Any:
            return known[places(X)]

    return Ours()


def _query(problem: Any, strategy: Any, *model: Any, **options: Any) -> np.ndarray:
    X = np.asarray(problem.features, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = strategy.query(
            X, _labels(problem), *model, batch_size=problem.k, candidates=problem.available, **options
        )
    return np.asarray(chosen)


@register_acquisition("sk_igs", needs=NEEDS, uses=USES)
def igs(problem: Any) -> np.ndarray:
    """Greedy sampling in inputs and predictions, Wu et al. 2019."""
    from skactiveml.pool import GreedySamplingTarget

    return _query(problem, GreedySamplingTarget(random_state=_seed(problem)), _regressor(problem), fit_reg=False)


@register_acquisition("sk_margin", needs=NEEDS, uses=USES, task="classification")
def margin(problem: Any) -> np.ndarray:
    """The smallest margins."""
    from skactiveml.pool import UncertaintySampling

    strategy = UncertaintySampling(method="margin_sampling", random_state=_seed(problem))
    return _query(problem, strategy, _classifier(problem), fit_clf=False)


@register_acquisition("sk_badge", needs=NEEDS, uses=USES, task="classification")
def badge(problem: Any) -> np.ndarray:
    """Diverse gradients, Ash et al. 2020; the gradients are those of a last layer on the features."""
    from skactiveml.pool import Badge

    return _query(problem, Badge(random_state=_seed(problem)), _classifier(problem), fit_clf=False)


@register_acquisition("sk_falcun", needs=NEEDS, uses=USES, task="classification")
def falcun(problem: Any) -> np.ndarray:
    """Margins, spread by how predictions differ, Gilhuber et al. 2024."""
    from skactiveml.pool import Falcun

    return _query(problem, Falcun(random_state=_seed(problem)), _classifier(problem), fit_clf=False)


def _bmdal(problem: Any, points: np.ndarray, **options: Any) -> np.ndarray:
    import torch
    from bmdal_reg.bmdal.algorithms import select_batch
    from bmdal_reg.bmdal.feature_data import TensorFeatureData

    vars(np)["Inf"] = np.inf  # NumPy 2 took the name away, which bmdal_reg says
    torch.manual_seed(_seed(problem))
    torch.set_num_threads(1)
    rows = torch.as_tensor(np.ascontiguousarray(points), dtype=torch.float64)
    data = {
        "train": TensorFeatureData(rows[problem.labelled.copy()]),
        "pool": TensorFeatureData(rows[problem.available.copy()]),
    }
    y = torch.as_tensor(_labels(problem)[problem.labelled][:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen, _ = select_batch(problem.k, [None], data, y, base_kernel="linear", kernel_transforms=[], **options)
    return problem.available[np.asarray(chosen)]


@register_acquisition("bm_lcmd", needs=NEEDS, uses=USES, task="regression")
def lcmd(problem: Any) -> np.ndarray:
    """Largest cluster, maximum distance, on the features: Holzmüller et al. 2023."""
    return _bmdal(problem, problem.features, selection_method="lcmd", sel_with_train=True)


@register_acquisition("bm_lcmd_predictions", needs=NEEDS, uses=USES, task="regression")
def lcmd_predictions(problem: Any) -> np.ndarray:
    """The same on the centred predictions: the predictive covariance is the kernel."""
    points = problem.predictions.centred(np.arange(problem.size))
    return _bmdal(problem, points, selection_method="lcmd", sel_with_train=True)


@register_acquisition("bm_maxdet", needs=NEEDS, uses=USES, task="regression")
def maxdet(problem: Any) -> np.ndarray:
    """The largest determinant of the predictive covariance: as batches of BALD."""
    points = problem.predictions.centred(np.arange(problem.size))
    scaled = points / max(points.std(), 1e-12)
    return _bmdal(problem, scaled, selection_method="maxdet", sel_with_train=False, maxdet_sigma=0.1)


METHODS = {
    "classification": ["sk_margin", "sk_badge", "sk_falcun"],
    "regression": ["sk_igs", "bm_lcmd", "bm_lcmd_predictions", "bm_maxdet"],
}
