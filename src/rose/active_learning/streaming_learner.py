"""Offer ROSE's import path of the streaming learner."""

from rose.learners.custom import Learner
from rose.learners.streaming import StreamingActiveLearner
from rose.loop.state import IterationState
from rose.stages.config import LearnerConfig

__all__ = ["IterationState", "Learner", "LearnerConfig", "StreamingActiveLearner"]
