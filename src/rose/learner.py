"""Offer ROSE's import path of the learner for programs of one's own, and of the configuration and state classes."""

from rose.learners.custom import Learner
from rose.learners.tracking import CriterionManifest, PipelineManifest, TaskManifest, TrackerBase
from rose.loop.state import IterationState
from rose.stages.config import LearnerConfig, TaskConfig

__all__ = [
    "CriterionManifest",
    "IterationState",
    "Learner",
    "LearnerConfig",
    "PipelineManifest",
    "TaskConfig",
    "TaskManifest",
    "TrackerBase",
]
