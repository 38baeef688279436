"""Candidates that were dropped are tried again when somebody asks for it: when, how often, and what stays as it was."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import rose
from rose import SeqUQLearner, StopReason
from rose.cli import main
from rose.engine import ThreadEngine
from rose.errors import ConfigurationError, RunDirectoryError, RunFailedError, RunLockedError
from rose.store import DROPPED, RetryAsked
from rose.store.database.schema import reading
from rose.store.database.sql import read_events, read_labels
from tests.programs import Centroids, blobs, classifier

TWO = ["a", "b"]
FIRST = list(range(20, 30))
BAD = {21, 24, 27}


class Program:
    """One program, started again and again: its simulations of some candidates fail until they are repaired."""

    def __init__(self, tmp_path: Path) -> None:
        self.run_dir = tmp_path / "run"
        self.repaired = tmp_path / "repaired"
        self.log = tmp_path / "log"
        self.sick = tmp_path / "sick"

    def run(self, rounds: int, *, bad: frozenset[int] | set[int] = frozenset(BAD), size: int | None = None) -> Any:
        """A start of the program."""
        first = FIRST if size is None else list(range(size))
        learner = classifier(ThreadEngine(1), kind=SeqUQLearner, holdout=False, initial=first)  # one after the other
        learner._run_dir = self.run_dir
        y, log, repaired, sick = blobs()[1], self.log, self.repaired, self.sick

        @learner.simulation_task(as_executable=False, on_failure="drop")
        def simulate(index: int) -> int:
            with log.open("a") as file:
                file.write(f"{index}\n")
            if index in bad and not repaired.exists():
                raise ArithmeticError("did not converge")
            return int(y[index])

        @learner.training_task(as_executable=False)
        def train(X: Any, y: Any, seed: int, model_name: str) -> Centroids:
            if sick.exists() and model_name == "b":
                raise ArithmeticError("diverged")
            return Centroids(X, y, seed)

        return learner.run(TWO, max_iter=rounds)

    @property
    def simulated(self) -> Counter[int]:
        """How often each candidate was."""
        return Counter(map(int, self.log.read_text().split()))


def test_they_join_in_the_next_round_and_what_was_decided_stays(tmp_path: Path, capsys: Any) -> None:
    program = Program(tmp_path)
    before = program.run(2)
    assert before.iterations[0]["dropped"] == sorted(BAD)
    assert main(["retry", str(program.run_dir), "21", "24", "--dry-run"]) == 0
    assert "2 dropped candidates would be tried again" in capsys.readouterr().out
    assert main(["retry", str(program.run_dir), "21", "24"]) == 0
    assert "candidate 21  UQLearner/0/simulation/21: " in (out := capsys.readouterr().out)
    assert "did not converge" in out
    assert "2 dropped candidates will be tried again when the run is resumed" in out
    assert main(["retry", str(program.run_dir), "3"]) == 1
    assert "has not dropped 3; dropped: 27" in capsys.readouterr().err
    program.repaired.touch()
    after = program.run(4)
    assert after.iterations[0] == before.iterations[0]
    assert list(after.indices[: len(before.indices)]) == list(before.indices), "what was learned stays"
    assert {21, 24} <= set(after.indices)
    assert 27 not in after.indices
    assert {index: count for index, count in program.simulated.items() if count > 1} == {21: 2, 24: 2}
    assert program.run(4) == after
    assert program.simulated[21] == 2
    assert [one.candidate for one in rose.retry(program.run_dir)] == [27]
    longer = program.run(6)
    assert longer.iterations[:3] == after.iterations[:3]
    assert 27 in longer.indices
    assert rose.retry(program.run_dir) == []
    with reading(program.run_dir) as connection:
        assert not [label for label in read_labels(connection) if label.state == DROPPED]
        assert sum(isinstance(event, RetryAsked) for _, (_, event) in read_events(connection)) == 2


def test_a_workflow_that_stopped_for_them_goes_on(tmp_path: Path) -> None:
    program = Program(tmp_path)
    everything = set(range(120))
    assert program.run(3, bad=everything).stop_reason == StopReason.SIMULATIONS_FAILED
    assert program.run(3, bad=everything).stop_reason == StopReason.SIMULATIONS_FAILED
    assert set(program.simulated.values()) == {1}
    assert len(rose.retry(program.run_dir)) == len(FIRST)
    program.repaired.touch()
    result = program.run(3, bad=everything)
    assert result.stop_reason == StopReason.MAX_ITER
    assert list(result.indices[: len(FIRST)]) == FIRST
    assert program.run(3, bad=everything) == result


def test_a_pool_that_was_exhausted_is_not_any_more(tmp_path: Path) -> None:
    program = Program(tmp_path)
    first = program.run(50, size=116)
    assert first.stop_reason == StopReason.POOL_EXHAUSTED
    assert len(first.indices) == 117
    rose.retry(program.run_dir, [24])
    again = program.run(50, size=116)  # it fails again
    assert again.stop_reason == StopReason.POOL_EXHAUSTED
    assert len(again.iterations) == 3
    assert program.run(50, size=116) == again
    rose.retry(program.run_dir)
    program.repaired.touch()
    last = program.run(50, size=116)
    assert len(last.indices) == 120
    assert program.run(50, size=116) == last
    assert program.simulated[24] == 3
    assert program.simulated[21] == 2


def test_a_round_that_had_begun_to_learn_stays_without_them(tmp_path: Path) -> None:
    """One of its two models had been trained without them: the other one is, too."""
    program = Program(tmp_path)
    program.sick.touch()
    with pytest.raises(RunFailedError, match="diverged"):
        program.run(2)
    rose.retry(program.run_dir)
    program.sick.unlink()
    program.repaired.touch()
    result = program.run(2)
    assert result.iterations[0]["dropped"] == sorted(BAD)
    assert result.iterations[0]["labels"] == 7
    assert set(result.indices) > BAD
    assert program.run(2) == result


def test_who_may_not_ask(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="holds no run"):
        rose.retry(tmp_path)
    program = Program(tmp_path)
    program.run(1, bad=set())
    with pytest.raises(ConfigurationError, match="dropped: none"):
        rose.retry(program.run_dir, [1])
    for wrong in (3, "3", ["3"], [True], [1.5]):
        with pytest.raises(ConfigurationError, match="must be indices of the pool"):
            rose.retry(program.run_dir, wrong)  # type: ignore[arg-type]
    code = "import asyncio, sys, pathlib; from rose.store import Run\n"
    code += "async def main():\n run = await Run.open(pathlib.Path(sys.argv[1])); print('open', flush=True); input()\n"
    argv = [sys.executable, "-c", code + "asyncio.run(main())", str(program.run_dir)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "open\n"
            with pytest.raises(RunLockedError, match="is being written by"):
                rose.retry(program.run_dir)
        finally:
            driver.kill()
