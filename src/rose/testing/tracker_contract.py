"""Test the contract of trackers (`rose.tracking.TrackerBase`)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rose.learners.tracking import CriterionManifest, PipelineManifest, TaskManifest, Tracking
from rose.loop.state import IterationState
from rose.stages.config import LearnerConfig, TaskConfig

MANIFEST = PipelineManifest(
    "ParallelUQLearner",
    {
        "simulation": TaskManifest("simulate", "program", False, {"num_gpus": 1}, {"grid": 64}),
        "training": TaskManifest("train", "program", True),
    },
    CriterionManifest("check", "program", False, metric_name="mean_squared_error_mse", threshold=0.1, operator="<"),
    parallel_count=2,
)


def state(iteration: int, learner: str | int | None = "w", **reported: Any) -> IterationState:
    """Return a workflow's state after an iteration."""
    config = LearnerConfig(simulation=TaskConfig(kwargs={"--n": 4, "lr": 0.1}))
    return IterationState(
        iteration, "mean_squared_error_mse", 0.5, 0.1, [0.5] * (iteration + 1), False, config, learner,
        {"mean_uncertainty": np.float32(0.25), "labels": np.int64(3), **reported},
    )  # fmt: skip


class TrackerContract:
    """Test what every tracker keeps; a subclass named `Test...` gives `make_tracker` (see `rose.testing`)."""

    def make_tracker(self) -> Any:
        """Return a new tracker that writes where a test may."""
        raise NotImplementedError

    def follow(self, caplog: pytest.LogCaptureFixture, tell: Callable[[Tracking], None]) -> Any:
        """Tell a tracker of a run as a learner does; it must take in all without an error."""
        tracker, tracking = self.make_tracker(), Tracking()
        with caplog.at_level(logging.WARNING, logger="rose"):
            tracking.add(tracker)
            tell(tracking)
            tracking.close()
        assert not [record for record in caplog.records if record.name == "rose"], caplog.text
        return tracker

    def test_it_follows_a_run(self, caplog: pytest.LogCaptureFixture) -> None:
        def run(tracking: Tracking) -> None:
            tracking.started(MANIFEST)
            for iteration in range(3):
                for learner in ("a", "b", 0, None):
                    tracking.iteration(state(iteration, learner))
            tracking.stopped("criterion_met", [("a", state(2, "a"), "criterion_met"), ("b", None, "error")])

        self.follow(caplog, run)

    def test_it_takes_in_what_tasks_report(self, caplog: pytest.LogCaptureFixture) -> None:
        def run(tracking: Tracking) -> None:
            tracking.started(PipelineManifest("SeqUQLearner"))
            tracking.iteration(state(0, loss=float("nan"), best=float("inf"), text="a\nb", nothing=None))
            tracking.iteration(state(1, array=np.arange(3.0), nested={"a": [1, {"b": 2}]}, flag=np.bool_(True)))
            none = IterationState(2)
            tracking.iteration(none)
            tracking.stopped("error")

        self.follow(caplog, run)

    def test_a_run_may_end_before_it_has_a_state(self, caplog: pytest.LogCaptureFixture) -> None:
        def run(tracking: Tracking) -> None:
            tracking.started(MANIFEST)
            tracking.stopped("stopped")

        self.follow(caplog, run)

    def test_it_leaves_states_as_they_are(self) -> None:
        tracker, given = self.make_tracker(), state(0)
        before = copy.deepcopy(given)
        tracker.on_start(MANIFEST)
        tracker.on_iteration(given)
        assert given == before
        tracker.on_stop(given, "max_iter_reached")
        assert given == before
