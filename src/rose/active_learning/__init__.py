"""Offer ROSE's import path of active learning: names from other modules, no logic."""

from rose.active_learning.active_learner import ParallelActiveLearner, SequentialActiveLearner
from rose.active_learning.selector import AlgorithmSelector
from rose.active_learning.streaming_learner import StreamingActiveLearner

__all__ = ["AlgorithmSelector", "ParallelActiveLearner", "SequentialActiveLearner", "StreamingActiveLearner"]
