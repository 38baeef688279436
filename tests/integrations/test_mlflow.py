"""MLflow's tracker, with MLflow's own database in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rose import ParallelUQLearner
from rose.errors import RunFailedError
from rose.integrations.mlflow_tracker import MLflowTracker
from rose.loop.state import IterationState
from rose.metrics import MODEL_ACCURACY
from rose.testing import TrackerContract
from rose.tracking import PipelineManifest
from tests.integrations.runs import learner, read_page, teach

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and SQLAlchemy


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for all: it takes seconds to be set up."""
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    before = dict(os.environ)
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    yield f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def runs_of(client: Any, experiment: str) -> dict[str, Any]:
    """Its runs by name."""
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def steps(client: Any, run: Any, metric: str) -> list[int]:
    return [point.step for point in client.get_metric_history(run.info.run_id, metric)]


class TestMLflowTracker(TrackerContract):
    @pytest.fixture(autouse=True)
    def database(self, uri: str) -> None:
        self.uri = uri

    def make_tracker(self) -> MLflowTracker:
        return MLflowTracker("contract", tracking_uri=self.uri)


def test_what_a_run_is_and_what_it_reaches_and_a_resumed_one_goes_on(client: Any, uri: str, tmp_path: Path) -> None:
    for max_iter in (2, 2, 4):
        teach(learner(tmp_path / "run"), MLflowTracker("one", "mine", tracking_uri=uri), max_iter)
    run = runs_of(client, "one")["mine"]
    assert run.data.params == {
        "learner_type": "SeqUQLearner",
        "criterion/metric_name": MODEL_ACCURACY,
        "criterion/threshold": "0.95",
        "criterion/operator": ">=",
        "criterion/split": "test",
        "task.training.depth": "3",
        **{f"task.{slot}.as_executable": "False" for slot in ("simulation", "training", "prediction", "active_learn")},
    }
    assert run.data.metrics == {
        MODEL_ACCURACY: 0.1, "count": 7, "share": 0.25, "of/loss": 2,
        "config/simulation/--n": 4, "config/simulation/lr": 0.5,
    }  # fmt: skip
    for name in run.data.metrics:
        assert steps(client, run, name) == [0, 1, 2, 3]
    ended = {"config/simulation/grid": "fine", "stop_reason": "max_iter_reached", "final_iteration": "3"}
    assert ended.items() <= run.data.tags.items()
    assert run.info.status == "FINISHED"


def test_several_trackers_of_several_workflows_of_which_one_fails(client: Any, uri: str, tmp_path: Path) -> None:
    import mlflow

    both = learner(tmp_path / "run", parallel=True)
    both.add_tracker(MLflowTracker("other", tracking_uri=uri))
    with pytest.raises(RunFailedError):
        teach(both, MLflowTracker("two", tracking_uri=uri), workflows=("fine", "it's", "bad"))
    assert mlflow.active_run() is None
    assert (
        runs_of(client, "other").keys() == runs_of(client, "two").keys() == {ParallelUQLearner.__name__, "fine", "it's"}
    )
    runs = runs_of(client, "two")
    outer = runs["ParallelUQLearner"]
    assert outer.data.params["parallel_learners"] == "3"
    assert (outer.info.status, outer.data.tags["stop_reason"]) == ("FAILED", "error")
    inner = runs["it's"]
    assert inner.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert (inner.info.status, inner.data.tags["stop_reason"]) == ("FINISHED", "max_iter_reached")
    assert inner.data.tags["config/simulation/grid"] == "it's"
    assert steps(client, inner, MODEL_ACCURACY) == steps(client, outer, f"it_s/{MODEL_ACCURACY}") == [0, 1]


DRIVER = """
import os, signal, sys
from rose.integrations.mlflow_tracker import MLflowTracker
from rose.loop.state import IterationState
from rose.tracking import PipelineManifest
tracker = MLflowTracker("killed", tracking_uri=sys.argv[1])
tracker.on_start(PipelineManifest("SeqUQLearner"))
tracker.on_iteration(IterationState(0, "loss", 0.5))
assert "mlflow" not in sys.modules
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_program_has_told_is_written_and_nothing_of_it_stays(client: Any, uri: str) -> None:
    # That this ends says that nobody has the pipe any more.
    done = subprocess.run([sys.executable, "-c", DRIVER, uri], stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert runs_of(client, "killed")["SeqUQLearner"].data.metrics == {"loss": 0.5}


def test_what_goes_wrong_is_raised_once_and_concerns_one_tracker(uri: str) -> None:
    wrong, right = (MLflowTracker("wrong", tracking_uri=uri) for _ in range(2))
    right.on_start(PipelineManifest("SeqUQLearner"))
    wrong.on_iteration(IterationState(0, "loss", 0.5))  # of no run that has begun
    right.on_iteration(IterationState(0, "loss", 0.5))
    right.on_stop(None, "max_iter_reached")
    with pytest.raises(KeyError):
        wrong.on_idle()
    wrong.on_idle()
    with pytest.raises(Exception, match="nowhere"):
        MLflowTracker(tracking_uri="nowhere://here")


def test_the_page_runs(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    read_page("MLflow")
