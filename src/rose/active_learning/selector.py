"""Offer ROSE's import path of the selector of algorithms."""

from rose.learners.custom import Learner
from rose.learners.selector import AlgorithmSelector
from rose.stages.config import LearnerConfig, TaskConfig

__all__ = ["AlgorithmSelector", "Learner", "LearnerConfig", "TaskConfig"]
