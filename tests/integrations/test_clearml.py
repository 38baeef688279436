"""ClearML's tracker, in ClearML's offline mode: what a session leaves in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rose.errors import RunFailedError
from rose.integrations.clearml_tracker import ClearMLTracker
from rose.metrics import MODEL_ACCURACY
from rose.testing import TrackerContract
from tests.integrations.runs import learner, read_page, teach

pytestmark = pytest.mark.filterwarnings("ignore")  # of ClearML


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLEARML_CACHE_DIR", str(tmp_path_factory.mktemp("clearml")))
        patched.setenv("CLEARML_LOG_LEVEL", "ERROR")
        clearml = pytest.importorskip("clearml", reason="ClearML is not among what CI installs")
        clearml.Task.set_offline(True)  # for good: leaving it looks for a server
        yield


class Own(ClearMLTracker):
    """As documentation shows it: a subclass that uses ClearML's own."""

    def on_start(self, manifest: Any) -> None:
        super().on_start(manifest)
        self.folder = Path(self._task.get_offline_mode_folder())
        self._logger.report_scalar(title="own", series="value", value=1.0, iteration=0)

    def points(self, title: str) -> list[tuple[str, int, float]]:
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        found = [point for line in lines for point in json.loads(line) if point["metric"] == title]
        return [(point["variant"], point["iter"], point["value"]) for point in found]


class TestClearMLTracker(TrackerContract):
    def make_tracker(self) -> ClearMLTracker:
        return ClearMLTracker("rose", "contract")


def test_a_task_has_what_a_run_is_and_what_it_reached(tmp_path: Path) -> None:
    teach(learner(tmp_path / "run"), first := Own("project", "mine"))
    teach(learner(tmp_path / "run"), again := Own("project", "mine"))
    for tracker in (first, again):
        assert tracker.points("own") == [("value", 0, 1.0)]
        assert sorted(tracker.points("config/simulation/--n")) == [("value", 0, 4), ("value", 1, 4)]
        assert len(tracker.points(MODEL_ACCURACY)) == 2
    task = json.loads((again.folder / "task.json").read_text())
    assert (task["name"], task["project_name"]) == ("mine", "project")
    assert {"stop:max_iter_reached", "final_iter:1"} <= {*task["tags"]}
    assert [tag for tag in task["tags"] if tag.startswith("run:")]
    params = {f"{part}/{name}": one["value"] for part, of in task["hyperparams"].items() for name, one in of.items()}
    assert params["General/learner_type"] == "SeqUQLearner"
    assert params["criterion/metric_name"] == MODEL_ACCURACY
    assert params["task/training/depth"] == "3"
    assert params["config/simulation/grid"] == "fine"


def test_workflows_are_series_and_an_error_fails_the_task() -> None:
    both = learner(parallel=True)
    with pytest.raises(RunFailedError):
        teach(both, tracker := Own("project", "both"), workflows=("fine", "bad"))
    assert tracker.points("count") == [("fine", 0, 7), ("fine", 1, 7)]
    task = json.loads((tracker.folder / "task.json").read_text())
    assert sorted(task["tags"]) == ["final_iter:1", "stop:error"]


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read_page("ClearML")
