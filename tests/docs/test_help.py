"""`help()` of a decorator, and the README's table, list what functions may ask for, the options, and an example."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from rose import AlgorithmSelector, ParallelUQLearner, Pool, SeqUQLearner, ThreadEngine
from rose.cli import main
from rose.errors import ConfigurationError
from rose.learners.reinforcement import ParallelExperience, SequentialReinforcementLearner
from rose.metrics import LEARNING_METRICS
from rose.scoring import METRICS
from rose.stages.kinds import KINDS, NAMES, UTILITY
from rose.stages.options import OPTIONS, make_stage, options_of
from tests.docs.pages import ROOT

NAMED = {"uncertainty": "uncertainty_quantification", "criterion": "as_stop_criterion"}
DECORATORS = [
    *((ParallelUQLearner, kind) for kind in ("simulation", "training", "prediction", "active_learn", *NAMED)),
    *((SequentialReinforcementLearner, kind) for kind in ("environment", "update")),
    (AlgorithmSelector, "active_learn"),
    (ParallelExperience, "environment"),
]
VALUES: dict[str, Any] = {
    "memory": "1GB", "on_failure": "drop", "classes": [0, 1], "normalise": True, "launcher": "srun {command}",
    "cwd": "here", "collect": "y.npy", "depends_on": ["mesh"], "log_params": {"a": 1}, "backend": "flux",
    "task_description": {"a": 1}, "per_model": {"a": {"cpus": 2}}, "as_executable": True, "waits": False,
}  # fmt: skip


@pytest.mark.parametrize(("learner", "kind"), DECORATORS)
def test_help_lists_names_options_and_an_example(learner: type, kind: str) -> None:
    row, said = KINDS[kind], inspect.getdoc(getattr(learner, NAMED.get(kind, f"{kind}_task"))) or ""
    if kind in ("environment", "update"):
        assert "With a pool" not in said
    else:
        for name in (*row.provides, *row.provides_batch, *row.provides_tested, "workdir"):
            assert f"\n    {name}: {NAMES[name]}" in said
    assert all(f"\n    {option}: {meaning}" in said for option, meaning in options_of(row).items())
    assert said.rstrip().endswith(row.example.splitlines()[-1].strip())
    assert all(name in said for name in row.injects)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind is not UTILITY], ids=lambda kind: kind.name)
def test_options_are_those_that_the_kind_takes(kind: Any) -> None:
    for option in OPTIONS:
        value = VALUES.get(option, 1)
        if option in options_of(kind):
            make_stage(kind.name, print, {option: value})
        else:
            with pytest.raises(ConfigurationError):
                make_stage(kind.name, print, {option: value})


def test_the_examples_run() -> None:
    X = np.linspace(0, 1, 40)[:, None]
    learner = SeqUQLearner(ThreadEngine(2), pool=Pool(X, initial=4, holdout=(X[::9], X[::9, 0] ** 2)))
    small = functools.partial(RandomForestRegressor, 3)
    for kind in ("simulation", "training", "prediction", "uncertainty", "active_learn", "criterion"):
        exec(KINDS[kind].example, {"learner": learner, "RandomForestRegressor": small})
    result = learner.run(model_names=["a", "b"], max_iter=2)
    assert [one["labels"] for one in result.iterations] == [4, 14]

    agent = SequentialReinforcementLearner(ThreadEngine(1))
    for kind in ("environment", "update"):
        exec(KINDS[kind].example, {"learner": agent})
    assert len(agent.run(max_iter=2).iterations) == 2


def test_the_readme_names_all_that_a_function_may_ask_for() -> None:
    assert "`model_names=`" in (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|", (ROOT / "README.md").read_text(), re.MULTILINE)
    table = {NAMED.get(name, name): asked for name, asked in rows}
    common = {"iteration", "workflow", "seed"}
    for kind in KINDS.values():
        if kind.name in (*NAMED, "simulation", "training", "prediction", "active_learn"):
            asked = set(re.findall(r"`(\w+)`", table[NAMED.get(kind.name, f"{kind.name}_task")]))
            assert {*kind.provides, *kind.provides_batch, *kind.provides_tested} - common <= asked, kind.name
            assert asked <= {*kind.provides, *kind.provides_batch, *kind.provides_tested}, kind.name


def test_rose_metrics_lists_both_sorts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name}" in f"\n{printed}" for name in (*METRICS.names(), *LEARNING_METRICS))
    assert main(["metrics", "--task", "regression"]) == 0
    printed = capsys.readouterr().out
    assert "r2_score" in printed
    assert "model_accuracy" not in printed
    assert main(["metrics", "--markdown"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "metrics.md").read_text()
