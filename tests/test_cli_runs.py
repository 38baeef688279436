"""The commands that look at runs and tidy them: on real runs, going on, finished, failed, killed."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool
from rose.cli import main
from rose.metrics import PREDICTIVE_VARIANCE
from rose.store import labels_of_run, read_labels_file
from rose.store.database.meta import write_meta
from rose.watch.terminal import clean
from tests.watch.driver import BAD, NAME, X, learner

ROOT = Path(__file__).parents[1]
SHOWN = clean(NAME)


@pytest.fixture
def rose(capsys):
    """Run the command line: exit code, stdout, stderr; nothing that it prints may steer a terminal."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        assert "\x07" not in out + err
        return code, out, err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    (directory / "go").touch()
    learner(directory / "run", directory / "go").run([NAME], ["a", "b"], max_iter=3)
    return directory / "run"


def start(directory):
    """A driver in a process of its own, once its one worker trains a model, and the other waits."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.watch.driver", directory / "run", directory / "go"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if (directory / "run" / "journal.sqlite").exists():
            from rose.watch.summary import summarize

            try:
                summary = summarize(directory / "run")
                if [["/training/" in one.key for one in some] for some in (summary.running, summary.queued)] == [
                    [True]
                ] * 2:
                    return process
            except OSError:  # it is being made
                pass
        time.sleep(0.05)
    end(process, signal.SIGKILL)
    raise AssertionError("it does not train")


async def one_iteration(made):
    async with aclosing(made.start([NAME], ["a", "b"], max_iter=3)) as states:
        async for _ in states:
            break


def end(process, how):
    process.send_signal(how)
    process.wait(10)


@pytest.fixture
def driver(tmp_path):
    """Start drivers; what a failed test leaves of them is killed."""
    started = []

    def begin():
        started.append(start(tmp_path))
        return started[-1]

    yield begin
    for process in started:
        end(process, signal.SIGKILL)


def test_a_run_that_goes_on_is_ended_in_every_way_and_goes_on(rose, tmp_path, driver):
    run = tmp_path / "run"
    process = driver()
    code, out, _ = rose("status", run)
    assert code == 0
    assert f"{run}: running for " in out
    assert f" s, process {process.pid} on" in out
    assert "1 task running" in out
    assert "1 task waiting for a worker" in out
    assert f"{SHOWN}/0/training/a" in out
    assert f"{SHOWN}/0/simulation/{BAD}" in out
    assert "ValueError: no convergence [bold]at all[/bold]" in out
    code, out, _ = rose("task", run, f"{NAME}/0/training/a")
    assert f"{SHOWN}/0/training/a: running" in out
    assert "waiting" in out, "what it has printed so far is there"
    code, out, err = rose("gc", run)
    assert (code, out) == (1, "")
    assert f"is being written by process {process.pid}" in err
    code, _, err = rose("gc", run, "--dry-run")
    assert f"is being written by process {process.pid}" in err
    assert rose("runs", tmp_path)[1].splitlines()[1].split()[1] == "running"

    end(process, signal.SIGTERM)
    assert process.returncode == 143
    code, out, _ = rose("status", run)
    assert code == 3
    assert ": preempted " in out
    state = json.loads(rose("status", run, "--json")[1])

    process = driver()
    end(process, signal.SIGKILL)
    code, out, _ = rose("status", run)
    assert code == 3
    assert f"crashed: process {process.pid}" in out
    assert "resumed once" in out
    assert "1 task in hand when it ended" in out
    assert "1 task waiting when it ended" in out
    code, out, _ = rose("watch", run)
    assert (code, out.splitlines()[0].split(",")[0]) == (3, f"{run}: crashed"), "nobody is waited for"
    worked = state["worked"]
    state = json.loads(rose("status", run, "--json")[1])
    assert (state["state"], state["driver"]["alive"], state["driver"]["count"]) == ("crashed", False, 2)
    assert state["workflows"][0]["tasks"] == {"done": 3, "dropped": 1, "running": 1, "queued": 1}
    assert state["workflows"][0]["retries"] == 1

    # What the crash left is removed, and what resuming needs is not.
    objects = run / "objects"
    (objects / "ab").mkdir(parents=True, exist_ok=True)
    (objects / "ab" / f"ab{'0' * 38}.pkl").write_bytes(b"x" * 1000)
    (objects / "aside-1").write_bytes(b"x" * 1048)
    (objects / "ab" / "notes.txt").touch()
    assert json.loads(rose("gc", run, "--dry-run", "--json")[1])["leftovers"] == 2
    assert rose("gc", run, "--dry-run")[1] == "would free 2.0 KiB: 0 models of earlier rounds, 2 leftovers\n"
    assert rose("gc", run)[1] == "freed 2.0 KiB: 0 models of earlier rounds, 2 leftovers\n"
    assert sorted(path.name for path in objects.rglob("*.*")) == ["notes.txt"]
    assert json.loads(rose("status", run, "--json")[1])["state"] == "crashed", "tidying is not driving"
    (tmp_path / "go").touch()
    asyncio.run(one_iteration(learner(run, tmp_path / "go")))
    assert ": interrupted " in rose("status", run)[1]
    result = learner(run, tmp_path / "go").run([NAME], ["a", "b"], max_iter=3)[NAME]
    assert len(result.labels) == 9
    code, out, _ = rose("status", run)
    assert (code, "resumed 3 times" in out) == (0, True)
    assert json.loads(rose("status", run, "--json")[1])["worked"] > worked > 0, "what all drivers have worked"


def test_a_finished_run_at_a_glance(rose, finished):
    code, out, _ = rose("status", finished)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith(f"{finished}: finished ")
    headings = "workflow iteration labels metric uncertainty waiting running done failed dropped retries state"
    assert " ".join(lines[2].split()) == headings
    assert lines[3].startswith(f"{SHOWN}  2          9       mean_squared_error_mse 0.25")
    assert lines[3].endswith("max_iter_reached")
    assert f"rose task {finished} TASK" in out
    stages = out[out.index("where the time went") :].splitlines()
    assert stages[1].split() == ["stage", "tasks", "queued", "running"]
    assert {line.split()[0] for line in stages[2:]} >= {"simulation", "training", "prediction"}


def test_a_bad_end_is_no_success(rose, tmp_path):
    def fail(index):
        raise ValueError("no convergence")

    made = ParallelUQLearner(1, pool=Pool(X, initial=2), run_dir=tmp_path / "run")
    made.simulation_task(as_executable=False, on_failure="drop")(fail)
    made.training_task(as_executable=False)(lambda X, y: 1)
    made.prediction_task(as_executable=False)(lambda model, X: X[:, 0])
    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=1)
    assert made.run(["w"], ["a", "b"], max_iter=1)["w"].stop_reason == "simulations_failed"
    code, out, _ = rose("status", tmp_path / "run")
    assert code == 3
    assert out.splitlines()[3].endswith("simulations_failed")


def test_a_task(rose, finished):
    code, out, _ = rose("task", finished, f"{NAME}/0/simulation/{BAD}")
    assert code == 0
    assert "dropped, attempt 2" in out
    assert "--- stdout" in out
    assert out.count(f"simulating {BAD} \\x1b[2J") == 2, "of both attempts"
    assert "this will not do" in out
    assert "ValueError: no convergence [bold]at all[/bold]\\x1b]0;title\\x07" in out
    assert "raise ValueError" in out, "the traceback in the worker"
    assert "result   candidate 1: " in rose("task", finished, f"{NAME}/0/simulation/1")[1]
    assert "result   [" in rose("task", finished, f"{NAME}/2/training/a")[1]
    view = json.loads(rose("task", finished, f"{NAME}/0/simulation/{BAD}", "--json")[1])
    assert (view["state"], view["stderr"].count("this will not do")) == ("dropped", 2)
    assert {"key", "state", "attempt", "queued", "began", "ended", "worker", "error"} <= view.keys()
    assert view["queued"] <= view["ended"]

    (failed,) = rose("task", finished)[1].splitlines()[1:]
    assert failed.startswith(f"{SHOWN}/0/simulation/{BAD}  dropped  ")
    listed = rose("task", finished, f"{NAME}/1/", "--all")[1].splitlines()
    assert len(listed) == 1 + 3 + 2 + 2 + 1
    code, _, err = rose("task", finished, f"{NAME}/0/simulation/8")
    assert code == 1
    assert "did you mean" in err
    code, _, err = rose("task", finished, "x/0/training/a")
    assert f"{SHOWN}/" in err


def test_the_output_of_a_command_that_failed(rose, tmp_path):
    made = ParallelUQLearner(1, pool=Pool(X, initial=2), run_dir=tmp_path / "run")

    @made.simulation_task
    def simulate(index):
        return "sh -c 'echo out; echo err >&2; exit 3'"

    @made.training_task(as_executable=False)
    def train(X, y):
        return 1

    @made.prediction_task(as_executable=False)
    def predict(model, X):
        return X

    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=1)
    with pytest.raises(RuntimeError, match="exit code 3"):
        made.run(["w"], ["a", "b"], max_iter=1)
    assert rose("status", tmp_path / "run")[0] == 3
    _, out, _ = rose("status", tmp_path / "run")
    assert "error: task w/0/simulation/" in out
    key = next(line.split()[0] for line in rose("task", tmp_path / "run")[1].splitlines()[1:])
    _, out, _ = rose("task", tmp_path / "run", key)
    assert out.index("--- stdout") < out.index("\nout\n") < out.index("--- stderr") < out.index("\nerr\n")
    assert "exit code 3" in out


def test_models_of_earlier_rounds_are_freed_and_labels_stay(rose, tmp_path):
    (tmp_path / "go").touch()
    made = learner(tmp_path / "run", tmp_path / "go")
    made._keep_models = 3
    models = made.run([NAME], ["a", "b"], max_iter=4)[NAME].models
    assert len(list((tmp_path / "run" / "objects").rglob("*.pkl"))) == 6
    assert "2 models of earlier rounds, 0 leftovers" in rose("gc", tmp_path / "run", "--models", 2)[1]
    _, out, _ = rose("gc", tmp_path / "run", "--output")
    assert "2 models of earlier rounds, 0 leftovers, the output of " in out
    assert not list((tmp_path / "run" / "output").rglob("training/*/stdout"))
    assert list((tmp_path / "run" / "output").rglob(f"simulation/{BAD}/stdout")), "it was not done"
    assert rose("gc", tmp_path / "run")[1] == "freed 0 B: 0 models of earlier rounds, 0 leftovers\n"
    again = learner(tmp_path / "run", tmp_path / "go").run([NAME], ["a", "b"], max_iter=4)[NAME]
    np.testing.assert_array_equal(again.models["a"][:3], models["a"][:3])
    assert len(again.labels) == 12


def test_runs_below_a_directory(rose, finished, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "run").symlink_to(finished)  # links are not followed
    assert rose("runs", tmp_path) == (0, f"no runs in {str(tmp_path)!r}\n", "")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "journal.sqlite").write_bytes(b"no database" * 100)
    shutil.copytree(finished, tmp_path / "older")
    with sqlite3.connect(tmp_path / "older" / "journal.sqlite") as connection:
        write_meta(connection, "format", 1)
    connection.close()
    os.utime(tmp_path / "older/journal.sqlite", (1, 1))
    os.utime(tmp_path / "broken/journal.sqlite", (0, 0))
    (tmp_path / "deep" / "er" / "run").unlink()
    (finished).rename(tmp_path / "deep" / "er" / "run")
    try:
        code, out, _ = rose("runs", tmp_path)
        assert code == 0
        lines = out.splitlines()
        assert lines[1].split()[:4] == [str(tmp_path / "deep/er/run"), "finished", "2", "9"]
        assert lines[2].split()[:3] == [str(tmp_path / "older"), "unreadable", str(tmp_path / "older/journal.sqlite")]
        assert lines[3].split()[:2] == [str(tmp_path / "broken"), "damaged"]
        found = json.loads(rose("runs", tmp_path, "--json")[1])
        assert [run["state"] for run in found] == ["finished", "unreadable", "damaged"]
        assert found[0]["bytes"] > 10_000
    finally:
        (tmp_path / "deep" / "er" / "run").rename(finished)


def test_labels_of_a_run(rose, finished, tmp_path, monkeypatch):
    code, out, _ = rose("labels", finished, "--to", tmp_path / "labels.csv")
    assert (code, out) == (0, f"9 labels written to {tmp_path / 'labels.csv'}\n")
    table, recorded = read_labels_file(tmp_path / "labels.csv"), labels_of_run(finished)
    assert list(table.labels) == recorded.labels
    np.testing.assert_array_equal(table.X, X[recorded.candidates])
    rows = json.loads(rose("labels", finished, "--json")[1])
    assert [(row["candidate"], row["label"], row["task"]) for row in rows] == list(
        zip(recorded.candidates.tolist(), recorded.labels, recorded.keys, strict=True)
    )
    assert [row["x"] for row in rows] == X[recorded.candidates].tolist()
    assert rose("labels", finished, "--to", tmp_path / "labels.txt")[0] == 1
    nowhere = tmp_path / "none" / "labels.csv"
    told = f"rose: '{nowhere}' cannot be written: there is no directory '{nowhere.parent}'\n"
    assert rose("labels", finished, "--to", nowhere) == (1, "", told)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = rose("labels", finished, "--to", tmp_path / "labels.parquet")
    assert code == 1
    assert "rose-uq[parquet]" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.csv"]


class Label:
    """A label of a class of the user's, which does something when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        self.path = state["path"]
        self.path.touch()


def test_looking_runs_no_code_of_the_run(rose, tmp_path):
    path = tmp_path / "touched"
    made = ParallelUQLearner(1, pool=Pool(X, initial=2), run_dir=tmp_path / "run")
    made.simulation_task(as_executable=False)(lambda index: Label(path))
    made.training_task(as_executable=False)(lambda X, y: 1)
    made.prediction_task(as_executable=False)(lambda model, X: X[:, 0])
    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=1)
    made.run(["w"], ["a", "b"], max_iter=1)
    path.unlink()
    code, _, err = rose("labels", tmp_path / "run", "--to", tmp_path / "labels.npz")
    assert code == 1
    assert "that only its own code can load" in err
    key = next(
        line.split()[0] for line in rose("task", tmp_path / "run", "--all")[1].splitlines() if "simulation" in line
    )
    assert "not loaded: that would run its code" in rose("task", tmp_path / "run", key)[1]
    assert not path.exists()


def test_no_run_and_a_damaged_one(rose, tmp_path, finished):
    for command in (["status"], ["task"], ["gc"], ["gc", "--dry-run"], ["labels", "--to", "x.csv"]):
        code, out, err = rose(command[0], tmp_path / "none", *command[1:])
        assert (code, out) == (1, "")
        assert err.startswith("rose: ")
        assert "holds no run" in err
    assert rose("runs", tmp_path / "none")[0] == 1
    assert (
        f"holds no run (but '{finished}' does: see `rose runs {finished.parent}`)" in rose("status", finished.parent)[2]
    )
    broken = tmp_path / "run"
    broken.mkdir()
    with sqlite3.connect(finished / "journal.sqlite") as source, sqlite3.connect(broken / "journal.sqlite") as copy:
        source.backup(copy)
    source.close()
    copy.close()
    data = bytearray((broken / "journal.sqlite").read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    (broken / "journal.sqlite").write_bytes(data)
    code, out, err = rose("status", broken)
    assert (code, out) == (1, "")
    assert "is damaged" in err
