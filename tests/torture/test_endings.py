"""However a driver ends, nothing of it is left, the run says how it ended, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rose.store.database.schema import reading
from rose.store.lease import last_driver

from .conftest import Trial
from .harness.ledger import recorded
from .harness.scenarios import SCENARIOS
from .harness.zygote import Driver, Zygote

SLOW = {
    "pool": replace(SCENARIOS["pool"], holdout=False, rounds=2, seconds=0.05, options={"on_failure": "drop"}),
    "pool-commands": replace(SCENARIOS["pool-commands"], rounds=1, seconds=0.2, options={"on_failure": "drop"}),
}
ENDS: dict[str, tuple[dict[str, Any], int | None, set[int], set[str]]] = {
    "SIGTERM": ({}, signal.SIGTERM, {143}, {"preempted"}),
    "SIGTERM to all": ({}, signal.SIGTERM, {143}, {"preempted"}),
    "Ctrl-C": ({}, signal.SIGINT, {1, 130, -signal.SIGINT}, {"interrupted"}),
    "break": ({"leave": "break"}, None, {0}, {"interrupted", "stopped"}),
    "exception": ({"leave": "raise"}, None, {0}, {"interrupted"}),
}


def until(condition: Callable[[], object], what: str, *drivers: Driver) -> float:
    """Wait for a condition, with a limit that tells a hang; how long it took.

    The drivers are those of whom it is awaited: when all have ended without it, that is said at once, with what they
    were doing.
    """
    start = time.monotonic()
    while not condition():
        over = bool(drivers) and all(driver.ended for driver in drivers) and not condition()
        if over or time.monotonic() > start + 40:
            said = "\n".join(driver.story() for driver in drivers)
            pytest.fail(f"{what} did not come in {time.monotonic() - start:.2f} s\n{said}")
        time.sleep(0.005)
    return time.monotonic() - start


def simulated(trial: Trial) -> int:
    """How many simulations were begun."""
    return trial.ledger.read_text().count("simulated") if trial.ledger.exists() else 0


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("end", ENDS)
def test_ends(end: str, name: str, kills: int, rng: random.Random, zygote: Zygote, tmp_path: Path) -> None:
    more, number, codes, outcomes = ENDS[end]
    if not kills and (end, name) not in (("SIGTERM to all", "pool"), ("Ctrl-C", "pool-commands"), ("break", "pool")):
        pytest.skip("only in `make torture`")
    whole = Trial(zygote, tmp_path / "whole", replace(SLOW[name], seconds=0.0)).finish()
    for repetition in range(kills // 50 or 1):
        trial = Trial(zygote, tmp_path / str(repetition), SLOW[name], "local")
        before = recorded(trial.run_dir)
        driver = trial.start(**more)
        if number is not None:
            begun = rng.randint(1, 3)  # of six: something is left to end, however late the signal comes
            until(lambda t=trial, n=begun: simulated(t) >= n, "a simulation", driver)
            if end == "SIGTERM to all":  # as a batch system does, in any order
                for process in trial.processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, number)
                time.sleep(rng.choice([0, rng.uniform(0, 0.3)]))
            driver.kill(number)
        seconds = until(lambda d=driver: d.ended, "the driver's end")
        gone = until(lambda t=trial: not t.processes(), "the end of all that it started")
        print(
            f"{end}, {name}: the driver ended after {seconds:.2f} s, and the last of its processes {gone:.2f} s later"
        )
        assert driver.wait() in codes
        trial.tally.after_life(trial.ledger, before)
        trial.tally.after_death(trial.ledger, recorded(trial.run_dir))
        assert trial.tally.clean
        with reading(trial.run_dir) as connection:
            last = last_driver(connection)
        assert last is not None
        assert last.outcome in outcomes
        trial.engine = "threads"
        assert trial.finish() == whole
