"""TensorBoard's tracker: its files, read by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rose.integrations.tensorboard_tracker import TensorBoardTracker
from rose.metrics import MODEL_ACCURACY
from rose.testing import TrackerContract
from tests.integrations.runs import learner, read_page, teach


@pytest.fixture(autouse=True)
def installed() -> None:
    pytest.importorskip("tensorboard")


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


class TestTensorBoardTracker(TrackerContract):
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_tracker(self) -> TensorBoardTracker:
        return TensorBoardTracker(self.folder)


def test_its_curves_are_what_a_run_reached_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    for max_iter in (2, 2, 4):
        teach(learner(tmp_path / "run"), TensorBoardTracker(tmp_path / "board"), max_iter)
    (folder,) = (tmp_path / "board").iterdir()
    events = read(folder)
    assert {*events.Tags()["scalars"]} == {
        MODEL_ACCURACY, "count", "share", "of/loss", "config/simulation/--n", "config/simulation/lr"
    }  # fmt: skip
    for name in events.Tags()["scalars"]:
        assert sorted(point.step for point in events.Scalars(name)) == [0, 1, 2, 3]  # files of one second
    assert events.Scalars(MODEL_ACCURACY)[0].value == pytest.approx(0.1)
    texts = {name.split("/text_summary")[0] for name in events.Tags()["tensors"]}
    assert {"parameters", "config/simulation/grid", "stop_reason"} <= texts
    (last,) = events.Tensors("stop_reason")[-1].tensor_proto.string_val
    assert last == b"max_iter_reached"
    first = events.Tensors("parameters")[0].tensor_proto.string_val[0].decode()
    assert "| task.training.depth | 3 |" in first


def test_workflows_are_curves_of_one_picture(tmp_path: Path) -> None:
    teach(learner(parallel=True), TensorBoardTracker(tmp_path, "mine"), workflows=("a", "b/c"))
    assert {folder.name for folder in (tmp_path / "mine").iterdir() if folder.is_dir()} == {"a", "b_c"}
    assert [point.step for point in read(tmp_path / "mine" / "b_c").Scalars(MODEL_ACCURACY)] == [0, 1]


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read_page("TensorBoard")
    (folder,) = (tmp_path / "board").iterdir()
    assert read(folder).Scalars("labeled_count")[2].value == 12
