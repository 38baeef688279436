"""Choosing a batch: uncertainty scores or stacked predictions in, candidates to label out.

    from rose.acquisition import acquire
    batch = acquire(scores, k=10, features=X, labelled=labelled)     # "diverse" unless told otherwise

Arrays in, indices out: no files, no workflow. `acquisitions()` lists the methods, `register_acquisition` adds one.
"""

from rose.acquisition import diverse as _diverse
from rose.acquisition import stochastic as _stochastic
from rose.acquisition import top as _top
from rose.acquisition.choose import acquire
from rose.acquisition.predictions import Predictions
from rose.acquisition.problem import Problem
from rose.acquisition.registry import Acquisition, acquisitions, get_acquisition, register_acquisition

__all__ = [
    "Acquisition",
    "Predictions",
    "Problem",
    "acquire",
    "acquisitions",
    "get_acquisition",
    "register_acquisition",
]

del _diverse, _stochastic, _top  # imported for what they register
