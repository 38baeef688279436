"""Choose a batch: uncertainty scores or stacked predictions in, candidates to label out.

    from rose.acquisition import acquire
    batch = acquire(scores, k=10, features=X, labelled=labelled)     # "diverse" unless told otherwise

Arrays in, indices out: no files, no workflow. `acquisitions()` lists the methods, `register_acquisition` adds one.
"""

from rose.acquisition.by_task import AUTO, for_task
from rose.acquisition.choose import acquire
from rose.acquisition.exploring import exploring  # noqa: F401  (it registers)
from rose.acquisition.methods import (  # noqa: F401  (they register)
    alc,
    badge,
    batchbald,
    diverse,
    facility,
    kcenter,
    lcmd,
    maxdet,
    stochastic,
    top,
)
from rose.acquisition.methods.batchbald import SaturatedBatchWarning
from rose.acquisition.methods.kmeans import kmeans
from rose.acquisition.partwise import draws_by_keys, kept_of_part, keys_of_part
from rose.acquisition.predictions import Predictions
from rose.acquisition.problem import Problem
from rose.acquisition.registry import ACQUISITIONS, Acquisition, acquisitions, get_acquisition, register_acquisition
from rose.acquisition.ties import tie_keys

ACQUISITIONS.seal()

__all__ = [
    "ACQUISITIONS",
    "AUTO",
    "Acquisition",
    "Predictions",
    "Problem",
    "SaturatedBatchWarning",
    "acquire",
    "acquisitions",
    "draws_by_keys",
    "for_task",
    "get_acquisition",
    "kept_of_part",
    "keys_of_part",
    "kmeans",
    "register_acquisition",
    "tie_keys",
]
