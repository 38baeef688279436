"""Score the uncertainty of stacked predictions: every metric declared once, block by block in bounded memory.

>>> import numpy as np
>>> p = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.8, 0.2]]])  # 2 members, 2 candidates, 2 classes
>>> score(p, "mutual_information").round(4)
array([0.    , 0.1927])
>>> top_k(p, 1, "bald")[0]
array([1])
>>> get_metric("margin").direction
'lower'
"""

from rose.scoring import classification, mixture, regression, targets  # noqa: F401  # these declare the built-in metrics
from rose.scoring.inputs import check_predictions
from rose.scoring.ranking import check_k, most_uncertain
from rose.scoring.registry import METRICS, Metric, describe, get_metric, metrics, register_metric, table
from rose.scoring.scorer import UQ_REGISTRY, UQScorer, register_uq
from rose.scoring.scores import score, top_k

METRICS.seal()

__all__ = [
    "METRICS",
    "UQ_REGISTRY",
    "Metric",
    "UQScorer",
    "check_k",
    "check_predictions",
    "describe",
    "get_metric",
    "metrics",
    "most_uncertain",
    "register_metric",
    "register_uq",
    "score",
    "table",
    "top_k",
]
