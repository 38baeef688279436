"""The log in a run directory: what it says, and that no run depends on it."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import Pool, SeqUQLearner, ThreadEngine
from rose.metrics import PREDICTIVE_VARIANCE


def run(path: Path, max_iter: int) -> Any:
    learner = SeqUQLearner(ThreadEngine(2), pool=Pool(np.arange(20.0)[:, None], initial=[0, 1, 2, 19]), run_dir=path)
    learner.learner_name = "w\n\x1b[31m"

    @learner.simulation_task(as_executable=False, on_failure="drop")
    def simulate(x: Any, index: int) -> float:
        if index == 19:
            raise ValueError("no licence\nat all")
        return float(x[0])

    learner.training_task(as_executable=False)(lambda X, y, model_name: float(len(y)) + len(model_name))
    learner.prediction_task(as_executable=False)(lambda model, X: X[:, 0] * model)
    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=1)
    return learner.run(model_names=["a", "bb"], max_iter=max_iter)


def test_the_log_says_what_happened_and_once(tmp_path: Path) -> None:
    run(tmp_path / "run", 2)
    run(tmp_path / "run", 3)
    text = (tmp_path / "run" / "rose.log").read_text()
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    assert [line.split()[2] for line in lines] == ["INFO", "WARNING", *["INFO"] * 7]
    assert all(line[:4].isdecimal() for line in lines)
    for number, said in ((0, "driver 1, process "), (1, "the run goes on without task w"), (5, "driver 2, process ")):
        assert said in lines[number]
    told = [line.split(", ")[0] for line in text.splitlines() if ": iteration " in line]
    # What is recorded already is not said again, but an iteration that chooses now, because the run goes on.
    assert told == [f"    \\x1b[31m: iteration {iteration}" for iteration in (0, 1, 1, 2)]
    assert text.count("stopped: max_iter_reached") == 2
    assert "    at all" in text


def test_no_run_depends_on_its_log_and_people_see_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, stderr = tmp_path / "run", io.StringIO()
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler(stderr))
    run(path, 1)
    (path / "rose.log").unlink()
    (path / "rose.log").symlink_to("/dev/full")
    assert len(run(path, 2).iterations) == 2
    (path / "rose.log").unlink()
    (path / "rose.log").mkdir()
    assert len(run(path, 3).iterations) == 3
    assert stderr.getvalue().count("the run goes on without task") == 1
    assert not logging.getLogger("rose").handlers
