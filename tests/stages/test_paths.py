"""Paths, names and limits as they are on other people's machines."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from rose import LocalEngine, ParallelUQLearner, Pool, ThreadEngine
from rose.cli import main
from rose.errors import ConfigurationError, RunFailedError
from rose.metrics import PREDICTIVE_VARIANCE
from rose.paths import expanded
from rose.watch import progress

X = np.arange(6.0)[:, None]


def learner_for(engine: Any, run_dir: Any, command: bool = False, **options: Any) -> ParallelUQLearner:
    """A learner of six candidates, whose simulations are functions, or commands."""
    learner = ParallelUQLearner(engine, pool=Pool(X, initial=3, seed=0), run_dir=run_dir, acquisition="top_k")

    @learner.simulation_task(as_executable=command, **options)
    def simulate(x):
        return f"echo {x[0]}" if command else float(x[0])

    @learner.training_task(as_executable=False)
    def train(X, y):
        return float(np.mean(y))

    @learner.prediction_task(as_executable=False)
    def predict(model, X, seed):
        return np.random.default_rng(seed).random(len(X)) + model

    learner.uncertainty_quantification(uq_metric_name=PREDICTIVE_VARIANCE, query_size=1)
    return learner


def run(learner: ParallelUQLearner, name: str = "w", models: tuple[str, ...] = ("a", "b")) -> None:
    learner.run(learner_names=[name], model_names=list(models), max_iter=1)


@pytest.mark.parametrize("written", ["~/runs/{}", "$ROSE_TEST_HOME/runs/{}", "${{ROSE_TEST_HOME}}/runs/{}"])
def test_home_and_variables_are_expanded(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ROSE_TEST_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cwd = written.format("{workflow}/{iteration}/{index}")
    run(learner_for(ThreadEngine(2), written.format("first"), command=True, cwd=cwd))
    assert (tmp_path / "runs" / "first" / "journal.sqlite").exists()
    assert (tmp_path / "runs" / "w" / "0").is_dir()
    assert main(["status", written.format("first")]) == 0
    assert main(["labels", written.format("first"), "--to", written.format("labels.csv")]) == 0
    assert "labels written to" in capsys.readouterr().out
    np.save(tmp_path / "runs" / "X.npy", X)
    for labels in ("first", "labels.csv"):
        assert Pool(written.format("X.npy"), initial=3, labels=written.format(labels)).known
    assert LocalEngine(1, temp_dir=written.format("")) is not None
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}, "nothing is made beside"


def test_what_is_not_known_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv("SCRATCH", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"run_dir='\$SCRATCH/x': there is no environment variable SCRATCH"):
        ParallelUQLearner(run_dir="$SCRATCH/x")
    with pytest.raises(ConfigurationError, match=r"labels='\$\{SCRATCH\}/x'"):
        Pool(X, initial=3, labels="${SCRATCH}/x")
    with pytest.raises(ConfigurationError, match="no home directory for ~nobody-of-this-name"):
        ParallelUQLearner(run_dir="~nobody-of-this-name/x")
    with pytest.raises(ConfigurationError, match="no environment variable SCRATCH"):
        learner_for(ThreadEngine(1), None, command=True, cwd="$SCRATCH/{index}")
    with pytest.raises(ConfigurationError, match="temp_dir"):
        LocalEngine(1, temp_dir="$SCRATCH")
    with pytest.raises(ConfigurationError, match="null character"):
        ParallelUQLearner(run_dir="a\0b")
    with pytest.raises(SystemExit):
        main(["status", "$SCRATCH/x"])
    assert "there is no environment variable SCRATCH" in capsys.readouterr().err


def test_a_directory_of_that_very_name_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions before took names as they are: their runs go on."""
    monkeypatch.chdir(tmp_path)
    for name in ("~/runs", "$SCRATCH", "cost$5"):
        (tmp_path / name).mkdir(parents=True)
        assert expanded(name, "run_dir") == Path(name)
    assert expanded("cost$5 again", "run_dir") == Path("cost$5 again")


@pytest.mark.parametrize("cwd", [None, "jobs/{workflow}-{iteration}-{index}"])
def test_long_names_work(cwd: str | None, tmp_path: Path) -> None:
    """29 Chinese letters are 261 bytes where each is written as %E6%A8%A1."""
    name, options = "\u6a21" * 29, {} if cwd is None else {"cwd": cwd}
    run(learner_for(ThreadEngine(2), tmp_path / "run", command=True, **options), name, (name, "b" * 300))
    assert main(["task", str(tmp_path / "run"), "--all"]) == 0


COMMANDS = """
import json, sys
from rose.cli import main
for argv in json.loads(sys.argv[1]):
    assert main(argv) == 0, argv
"""


def test_all_commands_speak_to_a_terminal_without_letters(tmp_path: Path) -> None:
    folder = tmp_path / "läufe"
    learner = learner_for(ThreadEngine(2), folder)
    with open(tmp_path / "log", "w", encoding="ascii") as log, progress(learner, Console(file=log)):
        run(learner, "größer", ("模", "b"))
    assert "gr\\xf6\\xdfer: iteration 0" in (tmp_path / "log").read_text()
    learner = learner_for(ThreadEngine(2), folder)
    with (
        open(tmp_path / "screen", "w", encoding="ascii") as screen,
        progress(learner, Console(file=screen, force_terminal=True, width=40)),
    ):
        run(learner, "größer" * 20, ("模", "b"))
    commands = [
        ["status", str(folder)],
        ["runs", str(tmp_path)],
        ["task", str(folder), "--all"],
        ["task", str(folder), "größer/0/training/模"],
        ["labels", str(folder), "--to", str(folder / "ä.csv")],
        ["gc", str(folder)],
        ["status", str(folder), "--json"],
        ["metrics"],
    ]
    env = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    argv = [sys.executable, "-c", COMMANDS, json.dumps(commands, ensure_ascii=False)]
    ended = subprocess.run(argv, env=env, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    assert rb"gr\xf6\xdfer" in ended.stdout


def test_too_many_open_files_is_one_error_that_says_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    learner = learner_for(LocalEngine(20), tmp_path / "run")
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, hard))
    try:
        with pytest.raises(RunFailedError, match=r"this process may have \d+ files open.*`ulimit -n 4096`"):
            run(learner)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "never retrieved" not in capfd.readouterr().err
    run(learner_for(LocalEngine(2), tmp_path / "run"))
