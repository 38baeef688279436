"""Ways to choose are compared by seeds: with the same labels, first samples and first models."""

import json
import math
import sys

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

import rose
from rose import Pool, SeqUQLearner, ThreadEngine, UQLearnerConfig
from rose.cli import main
from rose.comparison import Comparison
from rose.errors import ConfigurationError, MissingPackageError, UnknownAcquisitionError
from rose.loop.saved.frames import Entry
from rose.loop.state import Results, WorkflowResult
from rose.watch.facts.paired import Paired
from rose.watch.report import report
from tests.programs import dataflow

X = np.random.default_rng(0).random((80, 2))


def truth(x: np.ndarray) -> float:
    return float(np.sin(9 * x[0]) * (x[1] > 0.5))


def learner_of(simulated: list[int] | None = None, holdout: bool = True) -> SeqUQLearner:
    """A learner of trees that draw by their seeds; what it simulates is counted."""
    known = (X[::4], [truth(x) for x in X[::4]]) if holdout else None
    learner = SeqUQLearner(ThreadEngine(2), pool=Pool(X, initial=8, seed=5, holdout=known))
    learner.models(a=DecisionTreeRegressor(splitter="random"), b=DecisionTreeRegressor(max_features=1))

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        if simulated is not None:
            simulated.append(int(np.flatnonzero((x == X).all(axis=1))[0]))
        return truth(x)

    learner.uncertainty_quantification("predictive_variance", query_size=4, threshold=1e9)
    return learner


def test_ways_of_one_seed_begin_alike_and_a_candidate_is_simulated_once(tmp_path, monkeypatch) -> None:
    simulated: list[int] = []
    learner = learner_of(simulated)
    found = rose.compare(learner, ["top_k", "diverse"], seeds=2, max_iter=3, run_dir=tmp_path / "run")
    assert found.labels.tolist() == [8, 12, 16]
    assert len(simulated) == len({*simulated})
    assert {*simulated} == {int(i) for result in found.results.values() for i in result.indices}
    first, second = ([found.results[f"{way}-{seed}"] for way in found.workflows] for seed in (0, 1))
    for results in (first, second):
        assert len({tuple(result.indices[:8]) for result in results}) == 1
        assert len({result.iterations[0]["metric"] for result in results}) == 1  # the same models
    assert first[0].indices[:8].tolist() != second[0].indices[:8].tolist()
    assert found.curves["top_k"][:, 0].tolist() == found.curves["random"][:, 0].tolist()
    assert learner.criterion is None  # it stays as it is
    assert learner.rule.threshold == 1e9
    again = rose.compare(learner_of(simulated), ["top_k", "diverse"], seeds=2, max_iter=3, run_dir=tmp_path / "run")
    assert len(simulated) == len({*simulated})  # it was resumed
    assert str(again) == str(found)
    assert rose.load(tmp_path / "run")["diverse-1"].stop_reason == "max_iter_reached"
    json.dumps(found.to_dict())
    html = report(tmp_path / "run").html
    for line in found.rows():  # the report says the same of it
        for said in (line.quality, line.difference or line.quality):
            assert f"<td>{said}</td>" in html
    pytest.importorskip("matplotlib")
    found.picture(tmp_path / "curves.svg")
    assert "diverse" in (tmp_path / "curves.svg").read_text()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"rose-uq\[plot\]"):
        found.picture(tmp_path / "curves.png")


def found_with(higher: bool, **curves: list[list[float]]) -> Comparison:
    """A comparison with these curves at 10, 20 and 30 labels."""
    results, workflows = Results(), {}
    for way, seeds in curves.items():
        workflows[way] = [f"{way}-{seed}" for seed in range(len(seeds))]
        for name, values in zip(workflows[way], seeds, strict=True):
            results[name] = WorkflowResult(name)
            results[name]["iterations"] = [
                Entry(iteration=i, labels=10 * (i + 1), metric=value, uncertainty=None, criterion_values=None)
                for i, value in enumerate(values)
            ]
    return Comparison(results, "accuracy", higher, "random", range(2), workflows)


def test_the_table_says_what_was_saved_and_how_sure_that_is() -> None:
    good, random = [[0.5, 0.8, 0.9], [0.6, 0.7, 0.8]], [[0.5, 0.7, 0.8], [0.6, 0.6, 0.9]]
    found = found_with(True, good=good, random=random)
    row, control = found.rows()
    assert row.quality.mean == pytest.approx(0.85)
    # Two differences, 0.1 and -0.1: Student's t with 1 degree of freedom at 0.975 is 12.706.
    assert row.difference.mean == pytest.approx(0.0)
    assert row.difference.high == pytest.approx(12.7062 * 0.1, rel=1e-4)
    assert row.difference.low == pytest.approx(-row.difference.high)
    assert (row.saved.mean, row.saved.seeds, row.reached) == (10.0, 1, 1)  # the other never reached 0.9
    assert control.difference is None
    text = str(found)
    assert "accuracy (higher is better), 2 seeds, 10 to 30 labels" in text
    assert "10 in 1 of 2 seeds" in text
    assert "Student's t" in text
    frame = pytest.importorskip("pandas") and found.to_frame()
    assert frame[frame.acquisition == "good"]["difference"].round(6).tolist() == [0.0, 0.1, 0.0]
    falling = found_with(False, good=[[3, 1, 1], [3, 2, 1]], random=[[3, 2, 1], [3, 2, 2]]).rows()[0]
    assert falling.saved.mean == 10.0
    assert found_with(True, good=good, random=[[0.5, 0.7], [0.6, 0.6]]).labels.tolist() == [10, 20]
    lost = Paired("accuracy", True, "random", {"good": [{10: 0.5, 19: 0.7, 29: 0.9}], "random": [{10: 0.5, 20: 0.6}]})
    assert (lost.labels.tolist(), lost.curves["good"].tolist()) == ([10, 19, 20], [[0.5, 0.7, 0.7]])  # one was dropped
    assert math.isnan(found_with(True, good=good[:1], random=random[:1]).rows()[0].quality.low)
    assert "nothing was measured" in str(found_with(True, good=[[]], random=[[]]))


def test_what_cannot_be_compared_is_said_at_once() -> None:
    learner = learner_of()
    with pytest.raises(ConfigurationError, match="give max_iter or budget"):
        rose.compare(learner, ["top_k"])
    with pytest.raises(UnknownAcquisitionError, match="top_k"):
        rose.compare(learner, ["top_kk"], max_iter=1)
    with pytest.raises(ConfigurationError, match="the control, alone"):
        rose.compare(learner, ["random"], max_iter=1)
    with pytest.raises(ConfigurationError, match="seeds=0 must be"):
        rose.compare(learner, ["top_k"], seeds=0, max_iter=1)
    with pytest.raises(ConfigurationError, match="must be a name or a UQLearnerConfig"):
        rose.compare(learner, {"mine": 3}, max_iter=1)
    with pytest.raises(ConfigurationError, match="model_accuracy is a classification metric"):
        rose.compare(learner, ["top_k"], metric="model_accuracy", max_iter=1)
    with pytest.raises(ConfigurationError, match="give the pool a hold-out"):
        rose.compare(learner_of(holdout=False), ["top_k"], max_iter=1)
    with pytest.raises(ConfigurationError, match="needs an uncertainty-driven learner with a pool"):
        rose.compare(SeqUQLearner(1), ["top_k"], max_iter=1)


def test_a_seed_is_a_setting_of_workflows_over_a_pool(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="greater than or equal to 0"):
        UQLearnerConfig(seed=-1)
    with pytest.raises(ConfigurationError, match="seed= needs a pool"):
        dataflow(ThreadEngine(1), tmp_path / "log").plan(
            ["w"], ["a"], max_iter=1, learner_configs={"w": UQLearnerConfig(seed=1)}
        )


def test_configurations_with_metrics_of_their_own() -> None:
    learner = learner_of()
    learner.models(a=KNeighborsRegressor(1), b=KNeighborsRegressor(3))
    ways = {"width": UQLearnerConfig(uq_metric_name="predictive_interval_width", query_size=2), "random": "random"}
    found = rose.compare(learner, ways, seeds=[3], budget=12, control="random")
    assert [*found.workflows] == ["width", "random"]
    assert found.labels.tolist() == [8, 12]
    assert ", 1 seed, " in str(found)
    assert found.metric == "root_mean_squared_error_rmse"


SCRIPT = """
import numpy as np
from sklearn.neighbors import KNeighborsRegressor
from rose import ParallelUQLearner, Pool, ThreadEngine

X = np.linspace(0.0, 1.0, 30)[:, None]

def simulate(x):
    return float(x[0]) ** 2

learner = ParallelUQLearner(ThreadEngine(2), pool=Pool(X, initial=4, holdout=(X, X[:, 0] ** 2)))
learner.models(a=KNeighborsRegressor(1), b=KNeighborsRegressor(2))
learner.simulation_task(as_executable=False)(simulate)
learner.uncertainty_quantification("predictive_variance", query_size=2)

if __name__ == "__main__":
    raise AssertionError("it is not run")
"""


def test_a_script_is_compared_by_the_command(tmp_path, monkeypatch, capsys) -> None:
    for name in ("argv", "path"):
        monkeypatch.setattr(sys, name, [*getattr(sys, name)])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    given = ["compare", str(script), "top_k", "--seeds", "2", "--max-iter", "2"]
    assert main(given) == 0
    assert "root_mean_squared_error_rmse (lower is better), 2 seeds, 4 to 6 labels" in capsys.readouterr().out
    assert main([*given, "--json", "--run-dir", str(tmp_path / "run")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told["rows"]] == ["top_k", "random"]
    assert told["labels"] == [4, 6]
    assert main([*given, "--learner", "lerner"]) == 1
    assert "defines no 'lerner' (--learner learner?)" in capsys.readouterr().err
    assert main(["compare", str(script)]) == 1
    assert "give --max-iter or --budget" in capsys.readouterr().err
    (tmp_path / "after.py").write_text(SCRIPT.replace("raise", "results = {}; raise") + "print(results)\n")
    assert main(["compare", str(tmp_path / "after.py"), "--max-iter", "1"]) == 1
    assert "name 'results' is not defined; what is under `if __name__" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "none.py"), "--max-iter", "1"]) == 1
    assert "cannot be read as a Python script" in capsys.readouterr().err
