"""Offer ROSE's import path of the learners' base and their configuration."""

from rose.learners.uq import UQLearner
from rose.stages.config import UQLearnerConfig

__all__ = ["UQLearner", "UQLearnerConfig"]
