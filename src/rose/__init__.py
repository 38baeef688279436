"""ROSE: uncertainty-driven active learning.

Train ensembles in parallel, measure where they are uncertain, simulate just those points, and repeat. The names below
are imported when first used, so that `import rose` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rose.engine import LocalEngine, ThreadEngine
    from rose.store import retry
    from rose.workflow.config import LearnerConfig, TaskConfig, UQLearnerConfig
    from rose.workflow.learner import ParallelUQLearner, SeqUQLearner
    from rose.workflow.pool import Pool
    from rose.workflow.state import IterationState, Results, StopReason, WorkflowResult

__version__ = "0.1.0"

_PLACES = {
    "IterationState": "rose.workflow.state",
    "LearnerConfig": "rose.workflow.config",
    "LocalEngine": "rose.engine",
    "ParallelUQLearner": "rose.workflow.learner",
    "Pool": "rose.workflow.pool",
    "Results": "rose.workflow.state",
    "SeqUQLearner": "rose.workflow.learner",
    "StopReason": "rose.workflow.state",
    "TaskConfig": "rose.workflow.config",
    "ThreadEngine": "rose.engine",
    "UQLearnerConfig": "rose.workflow.config",
    "WorkflowResult": "rose.workflow.state",
    "retry": "rose.store",
}

__all__ = [
    "IterationState",
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
    "retry",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'rose' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
