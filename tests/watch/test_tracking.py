"""Trackers: what they are told, and that none holds a run up."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rose.errors import ConfigurationError, UnknownNameError
from rose.learners.tracking import TRACKERS, Tracking
from rose.testing import TrackerContract
from rose.testing.tracker_contract import MANIFEST, state
from rose.tracking import JSONTracker, TrackerBase, register_tracker
from tests.plugged import fresh


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    with fresh(TRACKERS):
        yield


class TestJSONTracker(TrackerContract):
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def make_tracker(self) -> JSONTracker:
        return JSONTracker()

    def test_its_lines_are_json(self, caplog: pytest.LogCaptureFixture) -> None:
        def run(tracking: Tracking) -> None:
            tracking.started(MANIFEST)
            tracking.iteration(state(0, loss=float("nan")))
            tracking.stopped("criterion_met")

        tracker = self.follow(caplog, run)
        start, iteration, stop = map(json.loads, tracker.path.read_text().splitlines())
        assert start["event"] == "start"
        assert start["criterion"]["threshold"] == 0.1
        assert start["tasks"]["training"]["as_executable"] is True
        assert iteration["mean_uncertainty"] == 0.25
        assert iteration["loss"] == "nan"
        assert stop["reason"] == "criterion_met"
        assert stop["final_state"]["iteration"] == 0


class Notes(TrackerBase):
    def __init__(self) -> None:
        self.told: list[Any] = []
        self.threads: set[str] = set()

    def on_start(self, manifest: Any) -> None:
        self.told.append(manifest)

    def on_iteration(self, state: Any) -> None:
        self.threads.add(threading.current_thread().name)
        self.told.append(state)

    def on_stop(self, final_state: Any, reason: str) -> None:
        self.told.append(reason)


def test_they_are_told_in_order_in_a_thread_of_their_own() -> None:
    register_tracker("notes")(Notes)
    early, late, tracking = Notes(), Notes(), Tracking()
    tracking.add(early)
    for _ in range(2):  # one learner, two runs
        tracking.started(MANIFEST)
        first = state(0)
        tracking.iteration(first)
        first.state["labels"] = "changed since"
        tracking.add(late) if late not in [told._tracker for told in tracking._trackers] else None
        tracking.iteration(state(1))
        tracking.stopped("stopped")
        tracking.close()
    kinds = [getattr(one, "iteration", one) for one in early.told]
    assert kinds == [MANIFEST, 0, 1, "stopped"] * 2
    assert early.told[1].state["labels"] == 3
    assert late.told[0] == MANIFEST  # at once, though the run goes on already
    assert [getattr(one, "iteration", one) for one in late.told[1:3]] == [1, "stopped"]
    assert early.threads == {"rose-tracker"}


def test_one_that_raises_is_reported_once_and_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Notes):
        def on_iteration(self, state: Any) -> None:
            super().on_iteration(state)
            raise OSError("no server")

    broken, good, tracking = Broken(), Notes(), Tracking()
    tracking.add(broken)
    tracking.add(good)
    with caplog.at_level(logging.WARNING, logger="rose"):
        tracking.started(MANIFEST)
        for i in range(3):
            tracking.iteration(state(i))
        tracking.stopped("stopped")
        tracking.close()
    (record,) = caplog.records
    assert "raised in on_iteration: it is told nothing more, and the run goes on" in record.message
    assert "no server" in caplog.text
    assert len(broken.told) == 2
    assert len(good.told) == 5


def test_no_run_waits_for_one(caplog: pytest.LogCaptureFixture) -> None:
    held = threading.Event()

    class Slow(Notes):
        def on_start(self, manifest: Any) -> None:
            held.wait(20)

    tracking = Tracking()
    tracking.add(Slow())
    with caplog.at_level(logging.WARNING, logger="rose"):
        tracking.started(MANIFEST)
        for i in range(1500):
            tracking.iteration(state(i))
        tracking.close(patience=0.01)
    held.set()
    (record,) = caplog.records
    assert "is 1000 events late" in record.message


def test_what_is_no_tracker_is_refused() -> None:
    tracking = Tracking()
    with pytest.raises(ConfigurationError, match="give an instance, not the class"):
        tracking.add(Notes)
    with pytest.raises(ConfigurationError, match=r"is no tracker .* it has no on_start, on_iteration, on_stop"):
        tracking.add(3)
    with pytest.raises(UnknownNameError, match="no tracker is called 'jsn'; did you mean 'json'"):
        tracking.add("jsn")
