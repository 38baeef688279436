"""Run uncertainty-driven active learning.

Train ensembles in parallel, measure where they are uncertain, simulate just those points, and repeat. The names below
are imported when first used, so that `import rose` costs nothing.
"""

import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rose.engine import LocalEngine, ThreadEngine
    from rose.learners.active import ParallelActiveLearner, SequentialActiveLearner
    from rose.learners.custom import Learner
    from rose.learners.selector import AlgorithmSelector
    from rose.learners.streaming import StreamingActiveLearner
    from rose.learners.tracking import PipelineManifest, TrackerBase
    from rose.learners.uq import ParallelUQLearner, SeqUQLearner
    from rose.loop.state import IterationState, Results, StopReason, WorkflowResult
    from rose.pool.pool import Pool
    from rose.spec.workflow import WorkflowSpec, load_spec
    from rose.stages.config import LearnerConfig, TaskConfig, UQLearnerConfig
    from rose.store import retry

__version__ = "0.1.0"

_PLACES = {
    "AlgorithmSelector": "rose.learners.selector",
    "IterationState": "rose.loop.state",
    "Learner": "rose.learners.custom",
    "LearnerConfig": "rose.stages.config",
    "LocalEngine": "rose.engine",
    "ParallelActiveLearner": "rose.learners.active",
    "ParallelUQLearner": "rose.learners.uq",
    "PipelineManifest": "rose.learners.tracking",
    "Pool": "rose.pool.pool",
    "Results": "rose.loop.state",
    "SeqUQLearner": "rose.learners.uq",
    "SequentialActiveLearner": "rose.learners.active",
    "StopReason": "rose.loop.state",
    "StreamingActiveLearner": "rose.learners.streaming",
    "TaskConfig": "rose.stages.config",
    "ThreadEngine": "rose.engine",
    "TrackerBase": "rose.learners.tracking",
    "UQLearnerConfig": "rose.stages.config",
    "WorkflowResult": "rose.loop.state",
    "WorkflowSpec": "rose.spec.workflow",
    "load_spec": "rose.spec.workflow",
    "retry": "rose.store",
}
# Modules that ROSE offers here, too.
_MODULES = {
    "active_learner": "rose.active_learning.active_learner",
    "active_learning": "rose.active_learning",
    "al": "rose.al",
    "learner": "rose.learner",
    "metrics": "rose.metrics",
    "selector": "rose.active_learning.selector",
    "reinforcement_learner": "rose.reinforcement_learning.reinforcement_learner",
    "reinforcement_learning": "rose.reinforcement_learning",
    "rl": "rose.rl",
    "spec": "rose.spec",
    "tracking": "rose.tracking",
    "uncertainty_quantification": "rose.uncertainty_quantification",
    "uq": "rose.uq",
    "uq_active_learner": "rose.uncertainty_quantification.uq_active_learner",
    "uq_learner": "rose.uncertainty_quantification.uq_learner",
    "uq_scorer": "rose.uncertainty_quantification.uq_scorer",
}

__all__ = [
    "AlgorithmSelector",
    "IterationState",
    "Learner",
    "LearnerConfig",
    "LocalEngine",
    "ParallelActiveLearner",
    "ParallelUQLearner",
    "PipelineManifest",
    "Pool",
    "Results",
    "SeqUQLearner",
    "SequentialActiveLearner",
    "StopReason",
    "StreamingActiveLearner",
    "TaskConfig",
    "ThreadEngine",
    "TrackerBase",
    "UQLearnerConfig",
    "WorkflowResult",
    "WorkflowSpec",
    "load_spec",
    "retry",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name.isupper() or name == "LearningMetrics":  # ROSE offers the names of metrics here, too
        metrics = import_module("rose.metrics")
        if name in metrics.__all__:
            return getattr(metrics, name)
    raise AttributeError(f"module 'rose' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES, *_MODULES})


def _warn_of_namesake() -> None:
    """Say so where ROSE itself is installed, whose package and command have the names of ours.

    It is looked for by its name where packages are installed: `importlib.metadata` would take longer than all else.
    """
    if any("rose.engine." in word or "multiprocessing." in word for word in sys.orig_argv):
        return  # a worker: the program that started it has been told
    places = {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    for place in sorted({os.path.dirname(os.path.dirname(__file__)), *places}):
        try:
            names = os.listdir(place)
        except OSError:
            continue
        if any(name.startswith("rose_surrogate_explorer-") for name in names):
            warnings.warn(
                f"ROSE (rose-surrogate-explorer) is installed in {place}, too: its package and its command are called "
                "`rose` as those of rose-uq, and files of the two may be mixed; install each in an environment of its "
                "own, and this one anew: pip uninstall rose-surrogate-explorer rose-uq; pip install rose-uq",
                RuntimeWarning,
                stacklevel=3,
            )
            return


_warn_of_namesake()
