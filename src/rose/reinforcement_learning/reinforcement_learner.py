"""Offer ROSE's import path of the reinforcement learners."""

from rose.learners.custom import Learner
from rose.learners.reinforcement import (
    ParallelExperience,
    ParallelReinforcementLearner,
    ReinforcementLearner,
    SequentialReinforcementLearner,
)
from rose.loop.state import IterationState
from rose.stages.config import LearnerConfig, TaskConfig

__all__ = [
    "IterationState",
    "Learner",
    "LearnerConfig",
    "ParallelExperience",
    "ParallelReinforcementLearner",
    "ReinforcementLearner",
    "SequentialReinforcementLearner",
    "TaskConfig",
]
