"""Two drivers and one run directory: the second is refused; one that was paused and replaced writes nothing more."""

from __future__ import annotations

import random
import signal
import socket
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rose.store.database.schema import reading
from rose.store.files.paths import DATABASE
from rose.store.lease import read_drivers

from .conftest import Trial
from .harness.ledger import Tally, recorded
from .harness.scenarios import SCENARIOS
from .harness.zygote import Driver, Zygote
from .test_endings import simulated, until

SLOW = replace(SCENARIOS["pool-files"], rounds=2, seconds=0.05)
LEASE = {"BEAT": 0.1, "SILENCE": 0.4}


def beside(trial: Trial, name: str) -> Trial:
    """Another trial of the same run directory, with its own ledger."""
    other = Trial(trial.zygote, trial.folder / name, trial.scenario, trial.engine)
    other.shared_run_dir = trial.run_dir
    return other


def pause(driver: Driver, run_dir: Path) -> None:
    """Stop a driver, but not in the middle of a commit: that would lock its database.

    It is stopped when all its threads are: one that was in the kernel, or has not had the processor since, may take the
    lock before it stops.
    """
    while True:
        driver.kill(signal.SIGSTOP)
        until(lambda: {"T"}.issuperset(driver.states.values()), "the stop of all its threads", driver)
        try:
            with closing(sqlite3.connect(run_dir / DATABASE, timeout=0)) as connection:
                connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            driver.kill(signal.SIGCONT)
            time.sleep(0.001)


def test_the_second_is_refused(zygote: Zygote, tmp_path: Path) -> None:
    trial = Trial(zygote, tmp_path, SLOW)
    first = trial.start()
    until(lambda: simulated(trial), "a simulation", first)
    before = recorded(trial.run_dir)
    other = beside(trial, "other")
    second = other.start()
    assert second.wait() == 0
    assert second.outcome is not None
    assert "RunLockedError" in second.outcome["error"]
    assert "BlockingIOError" in second.outcome["error"]
    assert f"is being written by process {first.pid} on {socket.gethostname()}, started " in second.outcome["text"]
    assert " s ago (last seen " in second.outcome["text"]
    assert "ran" not in other.ledger.read_text()
    assert first.wait() == 0
    assert first.outcome is not None
    assert "results" in first.outcome
    trial.tally.after_life(trial.ledger, before)
    assert trial.tally.clean


@pytest.mark.parametrize("engine", ["local", "threads"])
@pytest.mark.parametrize("wakes", ["meanwhile", "afterwards"])
def test_a_paused_driver_is_fenced(
    wakes: str, engine: str, kills: int, rng: random.Random, zygote: Zygote, tmp_path: Path
) -> None:
    if not kills and (wakes, engine) != ("meanwhile", "local"):
        pytest.skip("only in `make torture`")
    expected = Trial(zygote, tmp_path / "whole", replace(SLOW, seconds=0.0)).finish()
    for repetition in range(kills // 50 or 1):
        old = Trial(zygote, tmp_path / str(repetition), SLOW, engine)
        begun = rng.randint(1, 8)  # of 14: something is left to the second driver, however late the pause comes
        first = old.start(lease=LEASE, hold=begun)
        until(lambda t=old, n=begun: simulated(t) >= n, "a simulation", first)
        pause(first, old.run_dir)
        time.sleep(1.2 * LEASE["SILENCE"])
        new, before, tally = beside(old, "new"), recorded(old.run_dir), Tally()
        second = new.start(lease=LEASE)
        if wakes == "meanwhile":
            until(lambda t=new: t.written > 100, "work of the second driver", second)
            first.kill(signal.SIGCONT)
        assert second.wait() == 0
        there = recorded(old.run_dir)
        if wakes == "afterwards":
            first.kill(signal.SIGCONT)
        until(lambda d=first: d.ended, "the end of the first driver", first)
        assert first.wait() == 0
        until(lambda t=old: not t.processes(), "the end of what it started")
        assert first.outcome is not None
        assert first.outcome["causes"] == [first.outcome["causes"][0]] * 2
        assert "RunLostError" in first.outcome["causes"][0], first.outcome
        assert f"was taken over by process {second.pid}" in first.outcome["text"]
        assert recorded(old.run_dir) == there, "it has written nothing more"
        assert second.outcome is not None
        assert second.outcome["results"] == expected
        tally.after_life(new.ledger, before)
        tally.after_death(old.ledger, there)
        tally.after_death(new.ledger, there)
        tally.at_the_end(there, [result["indices"] for result in expected.values()])
        assert tally.clean, tally
        with reading(old.run_dir) as connection:
            assert [driver.outcome for driver in read_drivers(connection)] == [None, "finished"]


def test_a_driver_that_is_stopped_in_a_commit_keeps_its_run(zygote: Zygote, tmp_path: Path) -> None:
    """It holds the lock of the database, which no one can take from it: the second driver says whose it is."""
    trial = Trial(zygote, tmp_path, replace(SLOW, seconds=0.0))
    first = trial.start(lease=LEASE, boundary=["after BEGIN", 6, signal.SIGSTOP])
    until(lambda: {"T"} == set(first.states.values()), "the stop of the first driver", first)
    time.sleep(1.2 * LEASE["SILENCE"])
    other = beside(trial, "other")
    second = other.start(lease=LEASE, busy=0.1)
    assert second.wait() == 0
    assert second.outcome is not None
    assert "RunLockedError" in second.outcome["error"]
    assert f"is locked by a commit of process {first.pid} on " in second.outcome["text"]
    first.kill(signal.SIGCONT)
    assert first.wait() == 0
    assert first.outcome is not None
    assert first.outcome["results"] == Trial(zygote, tmp_path / "whole", trial.scenario).finish()
