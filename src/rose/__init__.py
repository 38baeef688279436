"""Run uncertainty-driven active learning.

Train ensembles in parallel, measure where they are uncertain, simulate just those points, and repeat. The names below
are imported when first used, so that `import rose` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rose.comparison import compare
    from rose.engine import LocalEngine, ThreadEngine
    from rose.learners.custom import Learner
    from rose.learners.uq import ParallelUQLearner, SeqUQLearner
    from rose.loop.saved.loading import load
    from rose.loop.state import IterationState, Results, StopReason, WorkflowResult
    from rose.pool.pool import Pool
    from rose.stages.config import LearnerConfig, TaskConfig, UQLearnerConfig
    from rose.store import retry

__version__ = "0.1.0"

_PLACES = {
    "IterationState": "rose.loop.state",
    "Learner": "rose.learners.custom",
    "LearnerConfig": "rose.stages.config",
    "LocalEngine": "rose.engine",
    "ParallelUQLearner": "rose.learners.uq",
    "Pool": "rose.pool.pool",
    "Results": "rose.loop.state",
    "SeqUQLearner": "rose.learners.uq",
    "StopReason": "rose.loop.state",
    "TaskConfig": "rose.stages.config",
    "ThreadEngine": "rose.engine",
    "UQLearnerConfig": "rose.stages.config",
    "WorkflowResult": "rose.loop.state",
    "compare": "rose.comparison",
    "load": "rose.loop.saved.loading",
    "retry": "rose.store",
}

__all__ = [
    "IterationState",
    "Learner",
    "LearnerConfig",
    "LocalEngine",
    "ParallelUQLearner",
    "Pool",
    "Results",
    "SeqUQLearner",
    "StopReason",
    "TaskConfig",
    "ThreadEngine",
    "UQLearnerConfig",
    "WorkflowResult",
    "compare",
    "load",
    "retry",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name.isupper() or name == "LearningMetrics":  # ROSE offers the names of metrics here, too
        metrics = import_module("rose.metrics")
        if name in metrics.__all__:
            return getattr(metrics, name)
    raise AttributeError(f"module 'rose' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
