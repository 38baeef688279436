"""Offer ROSE's import path for trackers: names from `rose.learners.tracking` and one of ours, no logic."""

from rose.integrations.json_tracker import JSONTracker
from rose.learners.tracking import (
    CriterionManifest,
    PipelineManifest,
    TaskManifest,
    TrackerBase,
    register_tracker,
)

__all__ = [
    "CriterionManifest",
    "JSONTracker",
    "PipelineManifest",
    "TaskManifest",
    "TrackerBase",
    "register_tracker",
]
