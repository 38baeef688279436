"""Offer ROSE's import path of the learners."""

from rose.learners.uq import ParallelUQLearner, SeqUQLearner, UQLearner
from rose.loop.state import IterationState
from rose.stages.config import TaskConfig, UQLearnerConfig

__all__ = ["IterationState", "ParallelUQLearner", "SeqUQLearner", "TaskConfig", "UQLearner", "UQLearnerConfig"]
