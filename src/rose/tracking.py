"""ROSE's import path for trackers: names from `rose.watch.tracking`, no logic."""

from rose.watch.tracking import (
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
