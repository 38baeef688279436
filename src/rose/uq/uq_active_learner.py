"""ROSE's import path of the learners."""

from rose.workflow.config import UQLearnerConfig
from rose.workflow.learner import ParallelUQLearner, SeqUQLearner

__all__ = ["ParallelUQLearner", "SeqUQLearner", "UQLearnerConfig"]
