"""A control selects without an ensemble beside the workflows of a pool, and what they saved is told against it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

import rose
from rose import ParallelUQLearner, Pool, SeqUQLearner, ThreadEngine, UQLearnerConfig
from rose.al import SequentialActiveLearner
from rose.cli import main
from rose.errors import ChangedRunError, ConfigurationError
from rose.loop.saved.frames import Entry
from rose.loop.state import Results, WorkflowResult
from tests.programs import dataflow

X = np.random.default_rng(0).random((90, 2))
SHOWN = {"a": UQLearnerConfig(seed=0), "b": UQLearnerConfig(seed=1)}


def truth(x: np.ndarray) -> float:
    return float(np.sin(6 * x[0]) * x[1])


def learner_of(
    kind: type = SeqUQLearner, run_dir: Path | None = None, calls: list[float] | None = None, **pool: Any
) -> Any:
    known = {"holdout": (X[::4], [truth(x) for x in X[::4]]), **pool}
    learner = kind(
        ThreadEngine(2), pool=Pool(X, initial=6, seed=5, features=X, **known), run_dir=run_dir, acquisition="kcenter"
    )
    learner.models(a=KNeighborsRegressor(1), b=DecisionTreeRegressor(splitter="random"))

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        if calls is not None:
            calls.append(float(x[0]))
        return truth(x)

    learner.uncertainty_quantification("predictive_variance", query_size=4)
    return learner


def test_each_seed_has_a_control_that_begins_alike_and_is_recorded_as_one(tmp_path, capsys) -> None:
    calls: list[float] = []
    run = tmp_path / "run"
    seen = []

    async def played():
        learner = learner_of(ParallelUQLearner, run, calls)
        states = learner.start(workflows=SHOWN, max_iter=3, control=True)
        seen.extend([state.workflow async for state in states])
        results = await learner.teach(workflows=SHOWN, max_iter=3, control=True)
        await learner.shutdown()
        return results

    results = asyncio.run(played())
    assert set(seen) == {"a", "b"}, "nobody has asked for the states of a control"
    assert list(results.keys()) == ["a", "b", "control-0", "control-1"]
    assert len(calls) == len(set(calls)), "labels are shared"
    for one, seed in (("a", 0), ("b", 1)):
        mine, control = results[one], results[f"control-{seed}"]
        assert mine.indices[:6].tolist() == control.indices[:6].tolist()
        assert mine.iterations[0]["holdout"]["rmse"] == control.iterations[0]["holdout"]["rmse"], "the same models"
        assert mine.indices.tolist() != control.indices.tolist()
        assert list(mine.controls) == [f"control-{seed}"]
        assert control.stop_reason == "max_iter_reached"
    found = results.worth
    assert {(one.control, one.at, one.measure, one.main.saved.seeds) for one in found} == {
        ("control-0", "random", "rmse", 1),
        ("control-1", "random", "rmse", 1),
    }
    assert all(one.savings[-1].share == 1.0 and len(one.to_dict()["savings"]) == len(one.savings) for one in found)
    again = rose.load(run)
    assert [str(one) for one in again.worth] == [str(one) for one in found]
    assert str(rose.load(again.save(tmp_path / "saved")).worth) == str(again.worth)
    assert main(["status", str(run)]) == 0
    assert str(found[0]).partition(". ")[0] in capsys.readouterr().out
    assert main(["status", str(run), "--json"]) == 0
    assert [one["text"] for one in json.loads(capsys.readouterr().out)["worth"]] == [str(one) for one in found]
    assert str(found[0]).partition(". ")[0][:40] in results.report().html
    more = learner_of(ParallelUQLearner, run, calls).run(workflows=SHOWN, max_iter=4, control=True)
    assert more["control-1"].iterations[:3] == results["control-1"].iterations[:2] + more["control-1"].iterations[2:3]
    assert len(more["control-1"].iterations) == 4
    assert len(calls) == len(set(calls))
    with pytest.raises(ChangedRunError, match="control was random, and is lhs"):
        learner_of(ParallelUQLearner, run).run(workflows=SHOWN, max_iter=4, control="lhs")


def test_a_control_ends_when_the_others_have_and_it_has_shown_enough(tmp_path) -> None:
    learner = learner_of(run_dir=tmp_path / "run")
    learner.as_stop_criterion("root_mean_squared_error_rmse", 0.1)
    first = learner.run(max_iter=20)
    learner = learner_of(run_dir=tmp_path / "run")
    learner.as_stop_criterion("root_mean_squared_error_rmse", 0.1)
    result = learner.run(max_iter=20, control=True)  # of a run that was begun without one
    assert result.iterations == first.iterations
    (control,) = result.controls.values()
    assert control.iterations[0]["metric"] == result.iterations[0]["metric"], "it has the seeds of the other"
    assert control.stop_reason in ("criterion_met", "others_ended")
    assert len(control.indices) < 2 * len(result.indices) + 4
    assert all(one["uncertainty"] is None for one in control.iterations), "its ensemble is asked for nothing else"
    (found,) = result.worth
    assert (found.workflow, found.control) == ("UQLearner", "control")
    assert found.main.labels == len(result.indices)
    assert rose.load(tmp_path / "run").predict(X[:2]).mean.shape == (2,)
    again = learner_of(run_dir=tmp_path / "run")
    again.as_stop_criterion("root_mean_squared_error_rmse", 0.1)
    assert again.run(max_iter=20, control=True).controls["control"].iterations == control.iterations


def test_a_control_may_fill_space() -> None:
    result = learner_of().run(max_iter=4, control="lhs")
    chosen = result.controls["control"].indices
    assert len(set(chosen.tolist())) == len(chosen) == 18
    apart = np.linalg.norm(X[chosen[6:, None]] - X[chosen[None]], axis=2)
    apart[np.arange(12), np.arange(6, 18)] = np.inf
    assert apart.min() > 0.02
    assert result.worth[0].at == "lhs"
    assert "(to fill space)" in str(result.worth[0])


def test_what_cannot_be_compared_is_refused_before_anything_runs(tmp_path) -> None:
    calls: list[float] = []
    with pytest.raises(ConfigurationError, match="nothing to tell it by: give the pool a hold-out"):
        learner_of(calls=calls, holdout=None).run(max_iter=2, control=True)
    with pytest.raises(ConfigurationError, match="control='lsh' must be True or 'random', 'lhs'"):
        learner_of(calls=calls).run(max_iter=2, control="lsh")
    words = SeqUQLearner(1, pool=Pool(["a", "b", "c"], initial=1, holdout=(["d"], [1.0])))
    words.training_task(as_executable=False)(lambda X, y: 0)
    words.prediction_task(as_executable=False)(lambda model, X: np.zeros(len(X)))
    words.simulation_task(as_executable=False)(lambda x: 1.0)
    words.uncertainty_quantification("predictive_variance", query_size=1)
    with pytest.raises(ConfigurationError, match="give the pool features"):
        words.run(["m"], max_iter=2, control="lhs")
    assert not calls
    with pytest.raises(ConfigurationError, match="which takes a pool to select from"):
        dataflow(ThreadEngine(1), tmp_path / "log").run(["a"], ["m"], max_iter=1, control=True)
    with pytest.raises(ConfigurationError, match="which takes a pool to select from"):
        SequentialActiveLearner(1).teach(max_iter=1, control=True)


def results_of(**curves: list[list[float]]) -> Results:
    """Accuracies of workflows and their controls at 10, 20, ... labels, a list a seed."""
    results = Results()
    for name, seeds in curves.items():
        for seed, values in enumerate(seeds):
            one = results[f"{name}-{seed}"] = WorkflowResult(f"{name}-{seed}")
            one["iterations"] = [
                Entry(iteration=i, labels=10 * (i + 1), metric=None, uncertainty=None, holdout={"accuracy": value})
                for i, value in enumerate(values)
            ]
            if name == "mine":
                one.settings = {"seed": seed}
            else:
                one.settings = {"seed": seed, "control_of": [f"mine-{seed}"], "acquisition": "random"}
    return results


def test_it_is_told_in_plain_words_whether_choosing_helped() -> None:
    slow, fast = [0.5, 0.6, 0.7, 0.8, 0.9], [0.5, 0.7, 0.9, 0.9, 0.9]
    (found,) = results_of(mine=[fast, fast, fast], control=[slow, slow, [*slow[:4], 0.88]]).worth
    assert (found.workflow, found.control, found.helped) == ("mine", "control", True)
    assert [(one.share, one.labels, one.control_labels) for one in found.savings] == [
        (0.5, 20.0, 30.0), (0.75, pytest.approx(30.0), pytest.approx(40.0)), (1.0, 30.0, 50.0),
    ]  # fmt: skip
    assert str(found).startswith(
        "mine saved 20 [20, 20] labels (40%) to be as good as accuracy 0.8933: 30 against 50 of control (at random), "
        "over 3 seeds. On the way, mine saved 10 [10, 10] at accuracy 0.6967, "
    )
    (found,) = results_of(mine=[slow, fast], control=[fast, slow]).worth
    assert found.helped is False
    assert "did not help: control (at random) needed as many labels" in str(found)
    assert str(found).partition(". On")[0].endswith("that may be chance")
    (found,) = results_of(mine=[fast, slow, fast], control=[slow, slow, slow]).worth
    assert found.helped is None
    assert "that may be chance: the interval holds none saved." in str(found)
    (found,) = results_of(mine=[slow], control=[fast]).worth
    assert "did not help: control-0 (at random) needed 20 fewer labels" in str(found)
    assert "of one seed" in str(found)
    assert found.to_dict()["savings"][-1]["saved"] == {"mean": -20.0, "low": None, "high": None, "seeds": 1}
    assert results_of(mine=[slow]).worth == []
