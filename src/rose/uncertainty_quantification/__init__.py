"""Offer ROSE's import path for uncertainty-driven learning: names from other modules, no logic."""

from rose.learners.uq import ParallelUQLearner, SeqUQLearner, UQLearner
from rose.scoring import UQ_REGISTRY, UQScorer, register_uq
from rose.stages.config import UQLearnerConfig

__all__ = [
    "UQ_REGISTRY",
    "ParallelUQLearner",
    "SeqUQLearner",
    "UQLearner",
    "UQLearnerConfig",
    "UQScorer",
    "register_uq",
]
