"""Offer ROSE's import path of the learners."""

from rose.learners.uq import ParallelUQLearner, SeqUQLearner
from rose.stages.config import UQLearnerConfig

__all__ = ["ParallelUQLearner", "SeqUQLearner", "UQLearnerConfig"]
