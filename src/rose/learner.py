"""Offer ROSE's import path of the configuration and state classes."""

from rose.loop.state import IterationState
from rose.stages.config import LearnerConfig, TaskConfig

__all__ = ["IterationState", "LearnerConfig", "TaskConfig"]
