"""Programs over a pool that are files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import load_spec
from rose.engine import ThreadEngine
from rose.errors import ChangedRunError
from rose.spec.builder import LearnerBuilder
from tests.spec.programs import POOL, T, written


def learned(path: Path, **options: Any) -> Any:
    """What the learner of a program gives."""
    builder = LearnerBuilder(path, ThreadEngine(2), **options)
    return builder.build().run(**builder.arguments())


def test_estimators_over_a_pool_until_its_criterion(tmp_path: Path) -> None:
    text = POOL + "stop_criterion: {metric: mean_squared_error_mse, threshold: 1e-6}\nrun_dir: run\nseed: 3\n"
    path = written(tmp_path, text)
    result = learned(path)
    assert result["stop_reason"] == "criterion_met"
    assert result.labels.shape == (5,)
    assert set(result.models) == {"ridge", "line"}
    again = learned(path)
    assert again["iterations"] == result["iterations"]
    for changed in (text.replace("alpha: 1e-6", "alpha: 2"), text.replace("seed: 3", "seed: 4")):
        with pytest.raises(ChangedRunError):
            learned(written(tmp_path, changed))


def test_a_program_that_is_moved_is_the_same(tmp_path: Path) -> None:
    text = POOL.replace(f'function: "{T}:label"', 'command: "cat {directory}/label"').replace(
        "max_iter: 2", "max_iter: 1"
    )
    places = tmp_path / "here", tmp_path / "there; now"
    places[0].mkdir()
    written(places[0], "1\n", "label")
    learned(written(places[0], text + "run_dir: run\n"))
    places[0].rename(places[1])
    (places[1] / "label").unlink()
    assert set(learned(places[1] / "program.yaml").labels) == {1.0}
    written(places[1], "2\n", "label")
    written(places[1], text)
    assert set(learned(places[1] / "program.yaml").labels) == {2.0}


def test_functions_of_ones_own_in_several_workflows(tmp_path: Path) -> None:
    text = POOL.partition("models")[0] + POOL.partition("LinearRegression\n")[2]
    text += f'training: {{function: "{T}:fit"}}\nprediction: {{function: "{T}:guess"}}\nmodels: [a, b]\nbudget: 8\n'
    text += (
        "parameters: {offset: 10}\nworkflows: {sure: predictive_variance, any: {acquisition: random, query_size: 2}}\n"
    )
    results = learned(written(tmp_path, text))
    assert {name: len(result.labels) for name, result in results.items()} == {"sure": 8, "any": 7}
    assert min(results["sure"].labels) >= 10
    results = asyncio.run(
        load_spec(tmp_path / "program.yaml").workflow_with(max_iter=1).workflow(engine=ThreadEngine(2))
    )
    assert [len(result["iterations"]) for result in results.values()] == [1, 1]


@pytest.mark.parametrize("candidates", ["npy", "csv"])
def test_files_and_commands(tmp_path: Path, candidates: str) -> None:
    X = np.linspace(0.0, 1.0, 20)[:, None] * [1, 2]
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", X.sum(axis=1))
    np.savetxt(tmp_path / "x.csv", np.column_stack([X, X]), delimiter=",", header="a,b,c,d", comments="")
    columns = ", columns: [a, b]" if candidates == "csv" else ""
    holdout = f"{{X: x.{candidates}, y: y.npy}}"
    text = POOL.replace(f'"{T}:candidates"', f"x.{candidates}{columns}").replace(f'"{T}:heldout"', holdout)
    text = text.replace(f'function: "{T}:label"', "COMMAND").replace("max_iter: 2", "max_iter: 1")
    text += "stop_criterion: {metric: mean_squared_error_mse, threshold: 0}\nparameters: {given: 2}\n"
    result = learned(written(tmp_path, text.replace("COMMAND", 'command: "expr {index} + {given}"')))
    assert result.labels.tolist() == [2 + i for i in result.indices]
    result = learned(written(tmp_path, text.replace("COMMAND", "command: \"echo {x} | cut -d ' ' -f {given}\"")))
    assert np.allclose(result.labels, X[result.indices, 1])


def test_what_comes_from_data_is_no_shell_code(tmp_path: Path) -> None:
    written(tmp_path, "def words():\n    return ['1; echo 2', '$(echo 3)', 'a b']\n", "words_of_pool.py")
    text = POOL.replace(f"{T}:candidates", "words_of_pool:words").replace(f', holdout: "{T}:heldout"', "")
    text = text.replace(f'function: "{T}:label"', 'command: "printf %s\\\\n {x} | wc -l"').replace(
        "initial: 5", "initial: 3"
    )
    builder = LearnerBuilder(written(tmp_path, text), ThreadEngine(1))
    simulate = builder.build().simulation_function["func"]
    assert simulate(x="1; echo 2") == "printf %s\\n '1; echo 2' | wc -l"
    assert simulate(x=np.array([0.5, 2.0])) == "printf %s\\n 0.5 2.0 | wc -l"
