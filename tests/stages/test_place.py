"""What the place does to a task is never its own failure: nothing is dropped, and the repaired run goes on."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import Pool, SeqUQLearner, StopReason
from rose.engine import Engine, LocalEngine, ThreadEngine
from rose.errors import (
    CommandPlaceError,
    PlaceError,
    RunFailedError,
    TaskFailedError,
    UnpicklableError,
    WorkerTakenError,
)
from rose.store import DROPPED, TaskRetried
from rose.store.database.schema import reading
from rose.store.database.sql import read_events, read_tasks
from rose.watch import progress
from tests.programs import blobs, classifier
from tests.stages import faults

TWO = ["a", "b"]
FIRST = list(range(20, 26))


FUNCTIONS: dict[str, tuple[Callable[[], object], type[Exception]]] = {
    "full": (faults.full, PlaceError),
    "full-in-other-words": (faults.full_in_other_words, PlaceError),
    "missing-program": (faults.missing, PlaceError),
    "killed-child": (faults.killed_child, PlaceError),
    "missing-module": (faults.no_module, PlaceError),
    "killed": (faults.killed, WorkerTakenError),
    "unpicklable": (threading.Lock, UnpicklableError),
}
COMMANDS = {
    "missing-program": "no-such-solver",
    "not-found-by-a-shell": "cd / && no-such-solver",
    "killed": "sh -c 'kill -9 $$'",
    "full": "sh -c 'echo write error: No space left on device >&2; exit 1'",
}


def droppable(engine: Any, run_dir: Path, simulate: Callable[..., Any], **options: Any) -> Any:
    """A pool whose simulations are dropped when they fail."""
    learner = classifier(engine, kind=SeqUQLearner, holdout=False, initial=FIRST)
    learner._run_dir = run_dir
    learner.simulation_task(**{"as_executable": False, "on_failure": "drop", **options})(simulate)
    return learner


def dropped_in(run_dir: Path) -> list[str]:
    """The tasks that are recorded as dropped."""
    with reading(run_dir) as connection:
        return [task.key for task in read_tasks(connection) if task.state == DROPPED]


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_functions_place_fails_and_is_repaired(kind: str, either_engine: Engine, tmp_path: Path) -> None:
    threads = isinstance(either_engine, ThreadEngine)
    if threads and kind in ("killed", "unpicklable"):
        pytest.skip("threads have no worker process, and pickle nothing")
    repaired, y = tmp_path / "repaired", blobs()[1]
    end, expected = FUNCTIONS[kind]

    def run() -> Any:
        def simulate(index: int) -> Any:
            return int(y[index]) if repaired.exists() else end()

        engine = ThreadEngine(2) if threads else either_engine
        return droppable(engine, tmp_path / "run", simulate).run(TWO, max_iter=2)

    with pytest.raises(RunFailedError) as failed:
        run()
    error = failed.value.errors["UQLearner"]
    assert type(error) is expected, error
    assert dropped_in(tmp_path / "run") == []
    repaired.touch()
    result = run()
    assert result.stop_reason == StopReason.MAX_ITER
    assert sorted(FIRST) == sorted(result.indices[: len(FIRST)])


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_commands_place_fails_and_is_repaired(kind: str, tmp_path: Path) -> None:
    repaired, y = tmp_path / "repaired", blobs()[1]

    def run() -> Any:
        def simulate(index: int) -> str:
            return f"echo {y[index]}" if repaired.exists() else COMMANDS[kind]

        return droppable(ThreadEngine(2), tmp_path / "run", simulate, as_executable=True).run(TWO, max_iter=1)

    with pytest.raises(RunFailedError) as failed:
        run()
    assert type(failed.value.errors["UQLearner"]) is CommandPlaceError
    assert dropped_in(tmp_path / "run") == []
    repaired.touch()
    assert len(run().indices) == len(FIRST)


def refused_cache() -> None:
    try:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "no cache")
    except OSError:
        raise ValueError("diverged")  # noqa: B904 - that is the point


OWN = {
    "does-without-a-service": refused_cache,
    "words": lambda: (_ for _ in ()).throw(ValueError("No space left on device: the sample does not fit the lattice")),
    "a-class-of-error": lambda: (_ for _ in ()).throw(ImportError("no potential for this element")),
    "own-limit": lambda: (signal.alarm(1), signal.pause()),
    "said-in-passing": "echo 'libx.so: cannot open shared object file (ignored)' >&2; echo diverged >&2; exit 1",
    "wrapper": "cd / && exit 137",
    "its-own-127": "cd / && exit 127",
}


@pytest.mark.parametrize("kind", OWN)
def test_what_is_the_candidates_own_is_dropped(kind: str, engine: Engine, tmp_path: Path) -> None:
    """A candidate that fails each time must not stop the run each time."""
    end, y = OWN[kind], blobs()[1]
    command = isinstance(end, str)

    def simulate(index: int) -> Any:
        if index != FIRST[1]:
            return f"echo {y[index]}" if command else int(y[index])
        return end if command else end()

    result = droppable(engine, tmp_path / "run", simulate, as_executable=command).run(TWO, max_iter=1)
    assert dropped_in(tmp_path / "run") == [f"UQLearner/0/simulation/{FIRST[1]}"]
    assert FIRST[1] not in result.indices


def test_a_member_is_not_dropped_for_its_place(tmp_path: Path) -> None:
    learner = classifier(ThreadEngine(2), kind=SeqUQLearner, holdout=False)

    @learner.training_task(as_executable=False, min_members=1)
    def train(X: Any, y: Any, model_name: str) -> Any:
        faults.full()

    with pytest.raises(RunFailedError) as failed:
        learner.run(TWO, max_iter=1)
    assert type(failed.value.errors["UQLearner"]) is PlaceError


def test_the_place_has_retries_of_its_own(tmp_path: Path) -> None:
    """They do not use up those of the task, nor do those use up the place's; unless said, they are as many."""
    cases: list[tuple[dict[str, int], int, type[Exception]]] = [
        ({"retries": 1, "place_retries": 2}, 4, TaskFailedError),
        ({"retries": 2}, 5, TaskFailedError),
        ({"retries": 5, "place_retries": 1}, 2, PlaceError),
    ]
    for options, attempts, error in cases:
        tried: list[int] = []

        def simulate(index: int, tried: list[int] = tried) -> int:
            tried.append(index)
            if tried.count(index) in (1, 2):
                faults.full()
            raise ArithmeticError("did not converge")

        run_dir = tmp_path / f"run-{attempts}"
        learner = droppable(ThreadEngine(1), run_dir, simulate, on_failure="raise", **options)
        with pytest.raises(RunFailedError) as failed:
            learner.run(TWO, max_iter=1)
        assert type(failed.value.errors["UQLearner"]) is error
        assert max(tried.count(index) for index in FIRST) == attempts
        with reading(run_dir) as connection:
            events = [event for _, (_, event) in read_events(connection) if isinstance(event, TaskRetried)]
        assert any(event.of_place for event in events)


class Lost(io.TextIOBase):
    """A terminal that is lost."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def flush(self) -> None:
        self.write("")


@pytest.mark.parametrize("kept", [True, False])
def test_a_lost_terminal_ends_nothing(kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tasks in threads, nor commands' functions, nor the progress; and the program has its streams back."""
    y, lost = blobs()[1], Lost()

    def simulate(index: int) -> str:
        print(index, flush=True)
        return f"echo {y[index]}"

    learner = droppable(ThreadEngine(2), tmp_path / "run", simulate, as_executable=True)
    if not kept:
        learner._run_dir = None

    @learner.prediction_task(as_executable=False)
    def predict(model: Any, X: Any) -> Any:
        print("predicts", file=sys.stderr, flush=True)
        return model.predict_proba(X)

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", lost)
        patch.setattr(sys, "stderr", lost)
        with progress(learner):
            result = learner.run(TWO, max_iter=2)
        assert sys.stdout is lost
    assert result.stop_reason == StopReason.MAX_ITER
    assert len(result.indices) == len(FIRST) + 4


DRIVER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from rose import Pool, SeqUQLearner
from rose.engine import LocalEngine

here, commands = Path(sys.argv[1]), sys.argv[2] == "commands"
pool = Pool(np.linspace(-1, 1, 40)[:, None], initial=4, seed=0)
learner = SeqUQLearner(LocalEngine(2), pool=pool, run_dir=here / "run")

def wait(x):
    if not (here / "again").exists():
        (here / "begun").open("a").write("x")
        while True:
            time.sleep(60)

if commands:
    @learner.simulation_task(on_failure="drop")
    def simulate(x):
        wait = f"printf x >> {here}/begun; exec sleep 600"
        return f"echo {x[0] ** 2}" if (here / "again").exists() else f"sh -c '{wait}'"
else:
    @learner.simulation_task(as_executable=False, on_failure="drop")
    def simulate(x):
        wait(x)
        return float(x[0] ** 2)

@learner.training_task(as_executable=False)
def train(X, y, seed):
    return np.polyfit(X[:, 0], y, 2) + np.random.default_rng(seed).normal(scale=0.01, size=3)

@learner.prediction_task(as_executable=False)
def predict(model, X):
    return np.polyval(model, X[:, 0])

learner.uncertainty_quantification("predictive_variance", query_size=2)
result = learner.run(["a", "b"], max_iter=1)
print(result.stop_reason, len(result.indices))
"""


def wait_for(file: Path, size: int, driver: subprocess.Popen[str]) -> None:
    """Wait until a file has grown."""
    end = time.monotonic() + 60
    while not file.exists() or file.stat().st_size < size:
        assert driver.poll() is None, f"the driver has ended before {file.name} had {size} bytes"
        assert time.monotonic() < end, f"{file.name} has not got {size} bytes in a minute"
        time.sleep(0.02)


def workers_of(driver: int) -> list[int]:
    """The driver's descendants, but for reapers, which outlive such signals."""
    found = [driver]
    for pid in found:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return [pid for pid in found[1:] if "reaper" not in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("what", ["functions", "commands"])
def test_what_ends_with_its_driver_is_preempted(what: str, tmp_path: Path) -> None:
    """The workers get the batch system's signal first, and their ends are seen before it comes to the driver."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    argv = [sys.executable, str(script), str(tmp_path), what]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as driver:
        try:
            wait_for(tmp_path / "begun", 2, driver)
            for pid in workers_of(driver.pid):
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.3)  # the fault itself: a batch system that takes its time
            driver.terminate()
            code = driver.wait(20)
        finally:
            driver.kill()
    assert code == 143
    with reading(tmp_path / "run") as connection:
        states = {task.state for task in read_tasks(connection)}
        kinds = {type(event).__name__ for _, (_, event) in read_events(connection)}
        outcome = connection.execute("SELECT outcome FROM driver").fetchone()[0]
    assert states <= {"cancelled", "running", "queued"}, states
    assert "TaskDropped" not in kinds
    assert outcome == "preempted"
    (tmp_path / "again").touch()
    again = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert again.stdout == "max_iter_reached 4\n", again.stderr


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a tmpfs, which root may, on Linux")
def test_a_full_temporary_directory_is_repaired(tmp_path: Path) -> None:
    """Results of 400 kB on a file system of 300 kB; then there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]).returncode:
        pytest.skip("this container may not mount")
    try:
        X = np.linspace(-1, 1, 40)[:, None]

        def run() -> Any:
            learner = SeqUQLearner(LocalEngine(1, temp_dir=disk), pool=Pool(X, initial=3), run_dir=tmp_path / "run")
            learner.simulation_task(as_executable=False, on_failure="drop")(lambda x: np.full(50_000, x[0]))
            learner.training_task(as_executable=False)(lambda X, y, seed: seed % 1000)
            learner.prediction_task(as_executable=False)(lambda model, X: model * X[:, 0])
            learner.uncertainty_quantification("predictive_variance", query_size=2)
            return learner.run(TWO, max_iter=1)

        with pytest.raises(
            RunFailedError, match=r"50000 requested and .* written\n.*while its result was written"
        ) as full:
            run()
        assert type(full.value.errors["UQLearner"]) is PlaceError

        async def share() -> None:
            async with LocalEngine(1, temp_dir=disk) as engine:
                await engine.share(np.zeros(50_000))

        with pytest.raises(PlaceError, match="value to share cannot be written to the engine's temporary directory"):
            asyncio.run(share())
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert len(run().indices) == 3
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
