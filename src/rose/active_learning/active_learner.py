"""Offer ROSE's import path of the active learners."""

from rose.learners.active import ParallelActiveLearner, SequentialActiveLearner
from rose.learners.custom import Learner
from rose.loop.state import IterationState
from rose.stages.config import LearnerConfig, TaskConfig

__all__ = [
    "IterationState",
    "Learner",
    "LearnerConfig",
    "ParallelActiveLearner",
    "SequentialActiveLearner",
    "TaskConfig",
]
