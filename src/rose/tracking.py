"""Offer ROSE's import path for trackers: names from `rose.learners.tracking`, no logic."""

from rose.learners.tracking import (
    CriterionManifest,
    JSONTracker,
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
