"""ROSE's import path of the learners' base and their configuration."""

from rose.workflow.config import UQLearnerConfig
from rose.workflow.learner import UQLearner

__all__ = ["UQLearner", "UQLearnerConfig"]
