"""A learner's trackers are told of its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rose import SeqUQLearner
from rose.engine import ThreadEngine
from rose.errors import ConfigurationError
from rose.tracking import JSONTracker, PipelineManifest, TrackerBase, register_tracker
from tests.programs import classifier, teach


class Notes(TrackerBase):
    def __init__(self) -> None:
        self.manifests: list[PipelineManifest] = []
        self.told: list[Any] = []

    def on_start(self, manifest: PipelineManifest) -> None:
        self.manifests.append(manifest)

    def on_iteration(self, state: Any) -> None:
        self.told.append(state.iteration)

    def on_stop(self, final_state: Any, reason: str) -> None:
        self.told.append((final_state.iteration, reason))


def test_trackers_follow_a_run(tmp_path: Path) -> None:
    learner, notes = classifier(ThreadEngine(2), kind=SeqUQLearner), Notes()
    learner.add_tracker(notes)
    learner.add_tracker(JSONTracker(tmp_path / "log"))
    for _ in range(2):
        teach(learner, ["a", "b"], max_iter=2)
    assert notes.told == [0, 1, (1, "max_iter_reached")] * 2
    assert notes.manifests[0].tasks["training"].as_executable is False
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "iteration", "iteration", "stop"] * 2


class Leaving(Notes):
    def on_iteration(self, state: Any) -> None:
        super().on_iteration(state)
        raise SystemExit(3)


class Waiting(Notes):
    async def on_start(self, manifest: PipelineManifest) -> None:  # type: ignore[override]
        raise AssertionError("nobody awaits it")


def test_trackers_that_leave_or_wait_or_come_twice(caplog: pytest.LogCaptureFixture) -> None:
    learner, leaving, notes = classifier(ThreadEngine(2), kind=SeqUQLearner), Leaving(), Notes()
    for tracker in (leaving, notes, notes):
        learner.add_tracker(tracker)
    with pytest.raises(ConfigurationError, match=r"on_start of .* must be plain methods"):
        learner.add_tracker(Waiting())
    for _ in range(2):
        teach(learner, ["a", "b"], max_iter=2)
    assert leaving.told == [0]
    assert [record.getMessage() for record in caplog.records if "raised in on_iteration" in record.getMessage()]
    assert notes.told == [0, 1, (1, "max_iter_reached")] * 2
    with pytest.raises(ConfigurationError, match="must be a class"):
        register_tracker("of the lab")(3)  # type: ignore[type-var]
