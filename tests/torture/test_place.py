"""A disk that is full for a while drops nothing; what was dropped is tried again; with kills in between."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rose

from .conftest import Trial
from .harness.scenarios import SCENARIOS
from .harness.zygote import Zygote
from .test_endings import until
from .test_faults import refused

FILES = replace(SCENARIOS["pool-files"], rounds=2, options={"on_failure": "drop"})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    there = tmp_path / "disk"
    there.mkdir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", there]).returncode:
        pytest.skip("only root can mount a disk, and not in every container")
    yield there
    subprocess.run(["umount", "-l", there], check=True)


def fill(ballast: Path) -> None:
    """Take all that is left of a disk."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            return


@pytest.mark.parametrize("what", ["run_dir", "temp_dir"])
def test_a_disk_that_is_full_for_a_while(
    what: str, kills: int, rng: random.Random, zygote: Zygote, tmp_path: Path, disk: Path
) -> None:
    if not kills and what == "run_dir":
        pytest.skip("only in `make torture`")
    whole = Trial(zygote, tmp_path / "whole", FILES)
    expected = whole.finish()
    errors = 0
    for repetition in range(kills // 5 or 1):
        where = disk / str(repetition)
        where.mkdir()
        trial = Trial(zygote, tmp_path / str(repetition), FILES, "threads" if what == "run_dir" else "local")
        more = {"temp_dir": str(where)} if what == "temp_dir" else {}
        trial.shared_run_dir = where / "run" if what == "run_dir" else None
        if rng.randrange(3) == 0:
            trial.life(kill_when=rng.randint(0, whole.written), **more)
        begun = rng.randint(0, whole.written)
        driver = trial.start(**more)
        until(lambda t=trial, d=driver, n=begun: t.written >= n or d.ended, "work", driver)
        fill(disk / "ballast")
        if rng.randrange(3) == 0:
            driver.kill()
        until(lambda d=driver: d.ended, "the end of a driver without a disk", driver)
        driver.wait()
        outcome = driver.outcome
        (disk / "ballast").unlink()
        if outcome is not None and "error" in outcome:
            errors += 1
            if what == "run_dir":
                assert refused(outcome), outcome
            else:
                assert all("PlaceError" in kind for kind in outcome["causes"]), outcome
        until(lambda t=trial: not t.processes(), "the end of all that it started")
        assert trial.finish(**more) == expected
        subprocess.run(["rm", "-rf", where], check=True)
    print(f"{what}: {errors} errors in {kills // 5 or 1} runs")


SICK = replace(SCENARIOS["pool"], sick=3, rounds=5, options={"on_failure": "drop"})


def test_dropped_candidates_are_tried_again(kills: int, rng: random.Random, zygote: Zygote, tmp_path: Path) -> None:
    """After two rounds they are, whatever is killed before and after: the same results as without kills."""

    def retry(trial: Trial) -> int:
        asked = rose.retry(trial.run_dir)
        trial.tally.withdrawn.update(one.task for one in asked)
        return len(asked)

    def play(trial: Trial, lives: int) -> dict[str, Any]:
        first: dict[str, Any] = {"arguments": {"max_iter": 2}}
        for _ in range(lives):
            trial.life(kill_when=rng.randint(0, 1500), later=rng.uniform(0, 0.01), **first)
        trial.finish(**first)
        assert retry(trial) >= 3
        (trial.folder / "repaired").touch()
        for _ in range(lives):
            trial.life(kill_when=rng.randint(0, 1500), later=rng.uniform(0, 0.01))
            assert retry(trial) == 0
        return trial.finish()

    expected = play(Trial(zygote, tmp_path / "whole", SICK), 0)
    died = 0
    for repetition in range(kills // 10 or 1):
        trial = Trial(zygote, tmp_path / str(repetition), SICK)
        assert play(trial, rng.randint(1, 4) if kills else 1) == expected
        died += trial.kills
    print(f"{died} kills in {kills // 10 or 1} runs")
