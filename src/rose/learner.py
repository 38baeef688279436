"""ROSE's import path of the configuration and state classes."""

from rose.workflow.config import LearnerConfig, TaskConfig
from rose.workflow.state import IterationState

__all__ = ["IterationState", "LearnerConfig", "TaskConfig"]
