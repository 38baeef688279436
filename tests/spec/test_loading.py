"""What is wrong in a file is said with its line, and what was perhaps meant."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rose.errors import ConfigurationError, RoseError
from rose.spec import load_spec
from rose.spec.builder import LearnerBuilder
from rose.spec.loading import read
from rose.spec.pool_learner import read_csv
from rose.spec.schema import LearnerSpec, StopCriterionDef, TaskDef, WorkflowConfig
from tests.spec.programs import ACTIVE, POOL, UQ, T, written

MISTAKES = {
    "a key": (ACTIVE + "simulatoin: {command: ls}\n", "simulatoin (line 10) is no key; did you mean 'simulation'?"),
    "a key below": (ACTIVE.replace("threshold", "treshold"), "treshold (line 7) is no key; did you mean 'threshold'"),
    "a key of a pool": (POOL.replace("query_size", "querysize"), "querysize (line 6) is no key; did you mean 'query_s"),
    "twice": (ACTIVE + "training: {command: ls}\n", "training (line 10) is there already, on line 3"),
    "a type": (
        ACTIVE.replace("ial_active", "ual_active"),
        "learner.type (line 1): 'sequentual_active_learner' is no le",
    ),
    "a number": (ACTIVE.replace("max_iter: 3", "max_iter: many"), "learner.max_iter (line 1): input should be a valid"),
    "no criterion": (ACTIVE.partition("stop_criterion")[0], "it has no 'stop_criterion', which is needed"),
    "no threshold": (ACTIVE.replace("  threshold: 0.9\n", ""), "stop_criterion (line 5) has no 'threshold'"),
    "no stage": (ACTIVE.replace("training:", "# "), "sequential_active_learner needs a training task"),
    "another's stage": (ACTIVE + "update: {command: ls}\n", "update (line 10): sequential_active_learner has no such"),
    "no command": (ACTIVE.replace("python", "shell", 1), "simulation (line 2): a task of type shell has a command"),
    "both": (ACTIVE.replace("type: python", "command: ls", 1), "simulation (line 2): a task has either a command or a"),
    "no module": (
        ACTIVE.replace(f"{T}:train", "train"),
        "training.function (line 3): 'train' names nothing: write mod",
    ),
    "operator": (ACTIVE.replace("threshold: 0.9", "threshold: 1\n  operator: ~~"), "stop_criterion.operator (line 8)"),
    "parameter": (ACTIVE.replace("rate:", "iteration:"), "parameters.iteration (line 9): is told to every task anyway"),
    "option": (
        POOL.replace('label"', 'label", options: {cpu: 2}'),
        "simulation.options.cpu (line 2): cpu is no option",
    ),
    "learners": (ACTIVE + "learners: []\n", "learners (line 10): sequential_active_learner is one learner"),
    "names alone": (
        POOL.replace("models:", "models: [a]\n#").replace("  ", "#"),
        "models (line 3): these are names al",
    ),
    "array": (
        POOL.replace("max", 'training: {command: "fit {X}"}\nmax'),
        "training.command (line 7): only a simulation",
    ),
    "YAML": (ACTIVE + "a: [1\nb: 2\n", "program.yaml, line 11: expected ',' or ']'"),
    "an object": ("a: !!python/object/apply:os.getcwd []\n", "line 1: could not determine a constructor"),
    "itself": ("a: &a {b: *a}\n", "line 1: this is nested in itself"),
    "too much": (
        "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefgh")),
        "says more than 100000 things",
    ),
    "depth": ("a: " + "[" * 100 + "]" * 100, "or too deeply"),
    "a list": ("- 1\n", "must hold keys and what they mean"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, mistake: str) -> None:
    text, message = MISTAKES[mistake]
    with pytest.raises(ConfigurationError) as caught:
        load_spec(written(tmp_path, text))
    assert str(caught.value).startswith("program.yaml")
    assert message in str(caught.value)


BUILT = {
    "function": (
        ACTIVE.replace(":train", ":trian"),
        "training.function (line 3): 'tests.spec.tasks:trian': tests.spec.",
    ),
    "module": (ACTIVE.replace(f"{T}:train", "absent:train"), "(line 3): 'absent:train': there is no module absent"),
    "placeholder": (
        UQ.replace(f'function: "{T}:predict"', 'command: "echo {rat}"'),
        "(line 10): {rat} is no parameter",
    ),
    "tracker": (ACTIVE + "tracking: {backend: jsno}\n", "tracking.backend (line 10): no tracker is called 'jsno'"),
    "estimator": (POOL.replace(".Ridge", ".Rigde"), "models.ridge (line 4): 'sklearn.linear_model:Rigde'"),
    "its parameter": (POOL.replace("alpha", "alhpa"), "models.ridge (line 4): sklearn.linear_model.Ridge(...): Ridge."),
    "file": (POOL.replace(f'"{T}:candidates"', "absent.npy"), "pool.candidates (line 1): there is no file"),
    "in a line": (
        POOL.replace(f'function: "{T}:label"', 'command: "solve {y}"'),
        "simulation.command (line 2): {y} is",
    ),
}


@pytest.mark.parametrize("mistake", BUILT)
def test_a_mistake_that_shows_when_it_is_built(tmp_path: Path, mistake: str) -> None:
    text, message = BUILT[mistake]
    spec = load_spec(written(tmp_path, text))  # what is not here may be elsewhere
    with pytest.raises(RoseError) as caught:
        LearnerBuilder(spec.config, 1).build()
    assert message in str(caught.value)


def test_imports_are_checked_where_asked(tmp_path: Path) -> None:
    for text, count in ((ACTIVE, 4), (POOL, 1)):
        load_spec(written(tmp_path, text), validate_imports=True)
        broken = text.replace(f"{T}:", f"{T}_:")
        load_spec(written(tmp_path, broken))
        with pytest.raises(ConfigurationError, match="there is no module") as caught:
            load_spec(written(tmp_path, broken), validate_imports=True)
        assert str(caught.value).count("there is no module") == count
    with pytest.raises(FileNotFoundError):
        load_spec(tmp_path / "absent.yaml")


def test_what_yaml_says_is_what_it_means(tmp_path: Path) -> None:
    text = "a: 1e-3\nb: =\nc: &x {d: 2024-01-02, e: [1, yes]}\nf: {<<: *x, g: 'x'}\n"
    source = read(written(tmp_path, text))
    assert source.data["a"] == 1e-3
    assert source.data["b"] == "="
    assert source.data["f"]["e"] == [1, True]
    assert source.at(("c", "e", 1)) == "c.e[1] (line 3)"


def test_the_parts_have_roses_names_and_defaults(tmp_path: Path) -> None:
    learner, task = LearnerSpec(type="x"), TaskDef(type="shell", command="ls")
    assert (learner.max_iter, learner.parallel_learners, task.function) == (0, 2, None)
    assert StopCriterionDef(metric="mine", threshold=1.0, evaluator=task).operator == "<"
    assert WorkflowConfig.from_yaml(written(tmp_path, ACTIVE)).learner.type == "sequential_active_learner"
    for wrong in ({"type": "python", "function": "no_colon"}, {"type": "shell", "comand": "ls"}):
        with pytest.raises(ValueError, match=r"comand is no key; did you mean 'command'|names nothing"):
            TaskDef(**wrong)


def test_another_program_is_made_of_one(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, ACTIVE))
    other = spec.workflow_with(max_iter=7, parameters={"n": 2}, run_dir="run").config
    assert isinstance(other, WorkflowConfig)
    assert isinstance(spec.config, WorkflowConfig)
    assert (other.learner.max_iter, other.parameters, other.run_dir) == (7, {"rate": 1e-3, "n": 2}, "run")
    assert (spec.config.learner.max_iter, spec.config.parameters) == (3, {"rate": 1e-3})
    assert other.directory == tmp_path
    with pytest.raises(ConfigurationError, match=r"max_iters.*did you mean 'max_iter'"):
        spec.workflow_with(max_iters=3)
    with pytest.raises(ConfigurationError, match=r"learner.max_iter: .* greater than or equal to 0, got -1"):
        spec.workflow_with(max_iter=-1)


def test_a_csv_file_may_have_names(tmp_path: Path) -> None:
    file = written(tmp_path, "a, b\n1,2\n\n3,4e1\n", "x.csv")
    assert np.array_equal(read_csv(file), [[1, 2], [3, 40]])
    assert np.array_equal(read_csv(file, ["b"]), [[2], [40]])
    assert np.array_equal(read_csv(written(tmp_path, "1,2\n3,\n", "y.csv")), [[1, 2], [3, np.nan]], equal_nan=True)
    for text, message in (
        ("a\nx\n", "line 2: 'x' is no number"),
        ("a,b\n1\n", "line 2: 1 cells, where"),
        ("", "empty"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            read_csv(written(tmp_path, text, "z.csv"))
    with pytest.raises(ConfigurationError, match="no column 'c'"):
        read_csv(file, ["c"])


def test_modules_beside_the_file_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    for folder in (tmp_path / "lib", tmp_path):
        folder.mkdir(exist_ok=True)
        written(folder, f"def made():\n    return {str(folder)!r}\n", f"beside_{folder.name[:3]}.py")
    names = [f"beside_{tmp_path.name[:3]}", "beside_lib"]
    text = ACTIVE.replace(f"{T}:simulate", f"{names[0]}:made").replace(f"{T}:train", f"{names[1]}:made")
    text += "remote: {pythonpath: [lib]}\n"
    load_spec(written(tmp_path, text), validate_imports=True)
    assert sys.path[0] == os.fspath(tmp_path / "lib")
    for name in names:
        del sys.modules[name]
