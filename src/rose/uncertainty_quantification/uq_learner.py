"""Offer ROSE's import path of the learners' base and their configuration."""

from rose.learners.custom import Learner
from rose.learners.uq import UQLearner
from rose.stages.config import LearnerConfig, TaskConfig, UQLearnerConfig

__all__ = ["Learner", "LearnerConfig", "TaskConfig", "UQLearner", "UQLearnerConfig"]
