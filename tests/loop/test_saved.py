"""What was learned is kept: saved, pickled, or in its run directory, it is read by programs that have not made it."""

import asyncio
import copy
import json
import logging
import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rose
from rose import Pool, SeqUQLearner, ThreadEngine
from rose.errors import (
    ConfigurationError,
    CorruptRunError,
    MissingDefinitionError,
    MissingPackageError,
    PoolError,
    RunDirectoryError,
)
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_VARIANCE
from tests.programs import blobs, classifier, dataflow

TWO = ["a", "b"]
X = np.random.default_rng(0).random((5, 2))

PROGRAM = """
import pickle, sys
import numpy as np
import rose

class Plane:
    def __init__(self, w):
        self.w = w

def simulate(x):
    return np.array([x[0] + 2 * x[1], x[0] * x[1]])

def train(X, y, seed):
    X = np.c_[X, np.ones(len(X))]
    return Plane(np.linalg.lstsq(X, y, rcond=None)[0] + np.random.default_rng(seed).normal(0, 0.01, (3, 2)))

def predict(model, X, seed, scale):
    return np.c_[X, np.ones(len(X))] @ model.w * scale + np.random.default_rng(seed).random() / 100

if __name__ == "__main__":
    folder = sys.argv[1]
    pool = rose.Pool(np.random.default_rng(1).random((40, 2)), initial=4)
    learner = rose.ParallelUQLearner(rose.ThreadEngine(2), pool=pool, run_dir=folder + "/run")
    learner.simulation_task(as_executable=False)(simulate)
    learner.training_task(as_executable=False)(train)
    learner.prediction_task(as_executable=False)(predict)
    learner.uncertainty_quantification("predictive_variance", query_size=2, reduction="mean")
    scaled = rose.UQLearnerConfig(prediction=rose.TaskConfig(kwargs={"scale": 1.5}))
    results = learner.run(["w"], ["a", "b"], num_predictions=2, max_iter=3, learner_configs={"w": scaled})
    result = results["w"]
    result.save(folder + "/saved")
    with open(folder + "/results.pkl", "wb") as file:
        pickle.dump(results, file)
    found = result.predict(np.load(folder + "/X.npy"))
    np.savez(folder + "/told.npz", labels=result.labels, indices=result.indices, mean=found.mean,
             uncertainty=found.uncertainty, per_output=found.per_output)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a program has left that is not there any more: functions and a class of its own, and vector labels."""
    folder = tmp_path_factory.mktemp("made")
    np.save(folder / "X.npy", X)
    (folder / "program.py").write_text(PROGRAM)
    subprocess.run([sys.executable, folder / "program.py", folder], check=True, timeout=100)
    (folder / "program.py").unlink()
    return folder


@pytest.mark.parametrize("which", ["run", "saved", "results.pkl", "again"])
def test_it_predicts_bit_for_bit_without_its_program(made: Path, tmp_path: Path, which: str) -> None:
    if which == "results.pkl":
        results = pickle.loads((made / which).read_bytes())
    elif which == "again":  # a run is saved whose classes have not been read
        results = rose.load(rose.load(made / "run").save(tmp_path / "again"))
    else:
        results = rose.load(made / which)
    found, told = results.predict(X), np.load(made / "told.npz")
    for name in ("mean", "uncertainty", "per_output"):
        np.testing.assert_array_equal(getattr(found, name), told[name])
    assert found.per_output is not None
    assert found.per_output.shape == found.mean.shape == (5, 2)
    np.testing.assert_allclose(found.per_output.mean(axis=1), found.uncertainty)
    np.testing.assert_array_equal(results["w"].labels, told["labels"])
    np.testing.assert_array_equal(results["w"].indices, told["indices"])
    assert [type(model).__name__ for model in results["w"].models.values()] == ["Plane", "Plane"]
    assert [entry["labels"] for entry in results["w"].iterations] == [4, 6, 8]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, rose.Results]:
    """A run of two workflows with a criterion and a hold-out, and what it gave."""
    folder = tmp_path_factory.mktemp("learned")
    learner = classifier(ThreadEngine(2))
    points, labels = blobs()
    learner.pool = Pool(points, initial=[1, 2, 3, 100, 101, 102], seed=0, holdout=(points[::5], labels[::5]))
    learner._run_dir = folder / "run"
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0)
    return folder, learner.run(["x", "y"], TWO, max_iter=2)


def test_a_run_and_what_is_saved_of_it_are_what_the_program_was_given(learned) -> None:
    folder, results = learned
    for again in (rose.load(folder / "run"), rose.load(str(results.save(folder / "saved")))):
        assert list(again.keys()) == ["x", "y"]
        for name, result in results.items():
            one = again[name]
            assert json.dumps(one) == json.dumps(result)
            assert list(one) == list(result)
            np.testing.assert_array_equal(one.labels, result.labels)
            np.testing.assert_array_equal(one.predict(blobs()[0]).mean, result.predict(blobs()[0]).mean)
            assert one.predict(blobs()[0]).classes == [0, 1]
            assert one.state.metric_name == MODEL_ACCURACY
            assert one.state.metric_value == result.state.metric_value
            for curve, values in result.curves.items():
                np.testing.assert_array_equal(one.curves[curve], values)
        assert {"labels", "metric", "uncertainty", "brier"} <= one.curves.keys()
        with pytest.raises(ConfigurationError, match=r"2 workflows \(x, y\): say which"):
            again.predict(X)
    assert results.save(folder / "saved") == folder / "saved"  # replaced
    assert not [one.name for one in folder.iterdir() if one.name.startswith(".saved")]


def test_one_vocabulary(learned) -> None:
    result = learned[1]["x"]
    entry, state = result.iterations[-1], result.state
    assert entry["metric_value"] == entry["metric"] == state.metric == state.metric_value
    assert entry["uq_value"] == entry["uncertainty"] == state.uncertainty == state.uq_value
    assert result["learner_id"] == result["workflow"] == state.workflow == state.learner_id == "x"
    state = copy.deepcopy(state)
    state.state["metric"] = "a task's own"
    assert state.metric == "a task's own"


def test_tables(learned, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    frame = learned[1].to_frame()
    assert frame.columns[:5].tolist() == ["workflow", "iteration", "labels", "metric", "uncertainty"]
    assert frame.groupby("workflow")["labels"].max().to_dict() == {"x": 10, "y": 10}
    assert learned[1]["x"].to_frame()["metric"].tolist() == learned[1]["x"].curves["metric"].tolist()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pip install pandas"):
        learned[1].to_frame()


def test_what_is_not_there_and_what_is_in_the_way(learned, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="there is neither a run nor saved results"):
        rose.load(tmp_path / "none")
    learned[1].save(tmp_path / "inner")
    with pytest.raises(RunDirectoryError, match=r"but 'inner' in it does"):
        rose.load(tmp_path)
    with pytest.raises(ConfigurationError, match="holds no saved results: give another path"):
        learned[1].save(learned[0] / "run")
    manifest = tmp_path / "inner" / "surrogate.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(RunDirectoryError, match="newer ROSE"):
        rose.load(tmp_path / "inner")
    manifest.write_text("{")
    with pytest.raises(CorruptRunError, match=r"surrogate.json' is damaged"):
        rose.load(tmp_path / "inner")


def test_a_link_is_saved_through_and_damage_is_said_in_terms_of_what_was_saved(learned, tmp_path: Path) -> None:
    saved = learned[1]["x"].save(tmp_path / "saved")
    (tmp_path / "link").symlink_to(saved)
    assert learned[1]["y"].save(tmp_path / "link") == saved.resolve()
    assert (tmp_path / "link").is_symlink()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "saved"]
    assert list(rose.load(saved).keys()) == ["y"]
    for nothing in (None, 3.0):
        with pytest.raises(PoolError, match="X must hold samples"):
            rose.load(saved)["y"].predict(nothing)
    arrays = sorted((saved / "objects").rglob("*.npy"))
    for file in arrays:  # one of them is the candidates', which is read at once
        file.rename(file.with_suffix(".gone"))
    with pytest.raises(CorruptRunError, match=rf"^\S+npy is missing: what is in '{saved}' refers to it"):
        rose.load(saved)
    for file in arrays:
        file.write_bytes(b"other")
    with pytest.raises(CorruptRunError, match=r"^\S+npy is damaged: .* put a sound copy there"):
        rose.load(saved)
    manifest = saved / "surrogate.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"workflows": [3]}))
    with pytest.raises(CorruptRunError, match=r"surrogate.json' is damaged"):
        rose.load(saved)


def learner_of(module: Any, run_dir: Path | None = None) -> SeqUQLearner:
    """A learner whose models are of a class of that module."""
    learner = SeqUQLearner(ThreadEngine(1), pool=Pool(np.linspace(0, 1, 20)[:, None], initial=3), run_dir=run_dir)
    learner.simulation_task(as_executable=False)(lambda x: float(x[0]))
    learner.training_task(as_executable=False)(lambda X, y, seed: module.Mean(y.mean() + seed % 7))
    learner.prediction_task(as_executable=False)(lambda model, X: np.full(len(X), model.value))
    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
    return learner


def test_models_that_cannot_be_read_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    (tmp_path / "mymodels.py").write_text("class Mean:\n    def __init__(self, value):\n        self.value = value\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import mymodels

    result = learner_of(mymodels, tmp_path / "run").run(TWO, max_iter=1)
    saved = result.save(tmp_path / "saved")
    manifest = saved / "surrogate.json"
    told = json.loads(manifest.read_text())
    told["workflows"][0]["versions"] |= {"scikit-learn": "0.9", "Python": "CPython 3.8"}
    manifest.write_text(json.dumps(told))
    with caplog.at_level(logging.WARNING, "rose"):
        assert rose.load(saved).predict([[0.5]]).mean == result.predict([[0.5]]).mean
    assert "made with CPython 3.8 (here " in caplog.text
    assert "scikit-learn 0.9 (here " in caplog.text
    monkeypatch.delitem(sys.modules, "mymodels")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(tmp_path)])
    for place in ("run", "saved"):
        again = rose.load(tmp_path / place)
        assert again["UQLearner"].labels.tolist() == result.labels.tolist()
        with pytest.raises(MissingDefinitionError, match=r"model 'a' of workflow .*No module named 'mymodels'"):
            again.predict([[0.5]])
    for file in (saved / "objects").rglob("*.pkl"):
        file.write_bytes(b"other")
    with pytest.raises(CorruptRunError, match="damaged"):
        rose.load(saved).predict([[0.5]])


class Large:
    """A model that is a file of its own in a run directory."""

    def __init__(self, value: float) -> None:
        self.value, self.more = value, np.zeros(5000)


def test_models_that_the_run_has_freed(tmp_path: Path) -> None:
    def learn(rounds: int) -> None:
        learner_of(types.SimpleNamespace(Mean=Large), tmp_path / "run").run(TWO, max_iter=rounds)

    learn(1)
    early = rose.load(tmp_path / "run")
    learn(2)
    with pytest.raises(RunDirectoryError, match="the run has gone on with newer ones; load it again"):
        early.predict([[0.5]])
    assert rose.load(tmp_path / "run").predict([[0.5]]).mean.shape == (1,)


def test_a_dataflow_run_gives_its_history(tmp_path: Path) -> None:
    learner = dataflow(ThreadEngine(2), tmp_path / "log")
    learner._run_dir = tmp_path / "run"
    results = learner.run(["p", "q"], TWO, max_iter=2)
    for again in (rose.load(tmp_path / "run"), rose.load(results.save(tmp_path / "saved"))):
        assert json.dumps(again) == json.dumps(results)
        assert again["p"].models == {}
        with pytest.raises(ConfigurationError, match="holds no ensemble to predict with"):
            again["p"].predict(X)


def test_a_run_that_goes_on_can_be_looked_at(tmp_path: Path) -> None:
    learner = classifier(ThreadEngine(2))
    learner._run_dir = tmp_path / "run"

    async def main() -> None:
        states = learner.start(["w"], TWO, max_iter=3)
        async for state in states:
            for found in (learner.results["w"], rose.load(tmp_path / "run")["w"]):
                assert len(found.iterations) == state.iteration + 1
                assert found.stop_reason != "max_iter_reached"
                assert found.predict(blobs()[0]).mean.shape == (120, 2)
            if state.iteration == 1:
                break
        await states.aclose()

    asyncio.run(main())
    assert rose.load(tmp_path / "run")["w"].stop_reason == learner.results["w"].stop_reason == "stopped"
    assert len(learner.learner_results["w"].iterations) == 2
