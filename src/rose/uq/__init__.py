"""ROSE's import path for uncertainty-driven learning: names from `rose.workflow` and `rose.scoring`, no logic."""

from rose.scoring import UQ_REGISTRY, UQScorer, register_uq
from rose.workflow.config import UQLearnerConfig
from rose.workflow.learner import ParallelUQLearner, SeqUQLearner, UQLearner

__all__ = [
    "UQ_REGISTRY",
    "ParallelUQLearner",
    "SeqUQLearner",
    "UQLearner",
    "UQLearnerConfig",
    "UQScorer",
    "register_uq",
]
