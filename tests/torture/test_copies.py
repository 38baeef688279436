"""A run directory that is copied, that another program locks, or that another machine's driver has left."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rose.store.database.whole import has_log
from rose.store.files.paths import DATABASE

from .conftest import Trial
from .harness.ledger import recorded
from .harness.scenarios import SCENARIOS
from .harness.zygote import Zygote
from .test_endings import until

DAY = 86400.0


@pytest.fixture(scope="module")
def whole(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The results of a run that is left alone, and how much it writes into its ledger."""
    trial = Trial(zygote, tmp_path_factory.mktemp("whole"), SCENARIOS["pool-files"])
    return trial.finish(), trial.written


def copied(trial: Trial, name: str, *without: str) -> Trial:
    """A trial with a copy of another one's run directory, as `cp -r` makes it."""
    copy = Trial(trial.zygote, trial.folder / name, trial.scenario, trial.engine)
    subprocess.run(["cp", "-r", trial.run_dir, copy.run_dir], stderr=subprocess.DEVNULL)  # files come and go meanwhile
    for suffix in without:
        copy.run_dir.joinpath(DATABASE + suffix).unlink(missing_ok=True)
    return copy


def test_copies(
    kills: int, rng: random.Random, zygote: Zygote, whole: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    """Of a run that was killed, with its log and without; and of one that goes on: what it lacks is said."""
    expected, written = whole
    said: Counter[str] = Counter()
    for repetition in range(kills // 10 or 1):
        trial = Trial(zygote, tmp_path / str(repetition), SCENARIOS["pool-files"])
        driver = trial.start()
        begun = rng.randint(written // 8, written - 200)
        until(lambda t=trial, d=driver, n=begun: t.written >= n or d.ended, "work", driver)
        meanwhile = copied(trial, "meanwhile")
        driver.kill()
        driver.wait()
        assert copied(trial, "copy", "-shm").finish() == expected
        if has_log(trial.run_dir / DATABASE):
            lacking = copied(trial, "lacking", "-wal", "-shm")
            driver = lacking.start()
            driver.wait()
            outcome = driver.outcome
            assert outcome is not None
            assert "CorruptRunError" in outcome["error"], outcome
            assert f"{DATABASE}-wal is missing" in outcome["text"]
            assert "ran" not in lacking.ledger.read_text()
            said["its log is missing"] += 1
        if meanwhile.run_dir.exists():
            driver = meanwhile.start()
            driver.wait()
            outcome = driver.outcome
            assert outcome is not None
            said["copied meanwhile: " + ("it goes on" if "results" in outcome else outcome["text"])] += 1
            if "results" in outcome:
                assert outcome["results"] == expected
            else:
                assert {"CorruptRunError", "RunDirectoryError"} & {*outcome["error"], *outcome["causes"][0]}, outcome
        assert trial.finish() == expected
        shutil.rmtree(trial.folder)
    print(dict(said))


def test_foreign_locks_and_other_machines(
    kills: int, rng: random.Random, zygote: Zygote, whole: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    """Tasks end while another program holds the database; drivers die on other machines (simulated: the records of them
    are changed), whose clocks are a day off: nothing is lost, and nothing runs again."""
    expected, written = whole
    waited = 0
    for repetition in range(kills // 10 or 1):
        trial = Trial(zygote, tmp_path / str(repetition), SCENARIOS["pool-files"])
        for life in range(rng.randint(2, 4) if kills else 2):
            before, size = recorded(trial.run_dir), trial.written
            driver = trial.start(busy=0.02, lease={"BEAT": 0.02, "SILENCE": 0.1})
            begun = size + rng.randint(50, max(written - size, 500))
            until(lambda t=trial, d=driver, n=begun: t.written >= n or d.ended, "work", driver)
            with closing(sqlite3.connect(trial.run_dir / DATABASE, isolation_level=None, timeout=10)) as other:
                other.execute("BEGIN IMMEDIATE")
                time.sleep(rng.uniform(0, 0.3))  # for as long as another program may
                waited += not driver.ended
                if life % 2 == 0:
                    driver.kill()
                    until(lambda d=driver: d.ended, "its end", driver)
                other.execute("ROLLBACK")
                if life % 2:
                    time.sleep(rng.uniform(0, 0.05))
                    driver.kill()
                    until(lambda d=driver: d.ended, "its end", driver)
                seen = time.time() + rng.choice([-DAY, 0, DAY])
                there = "boot = 'another machine', host = 'elsewhere', seen = ?"
                other.execute(f"UPDATE driver SET {there} WHERE ended IS NULL", (seen,))
            trial.end(driver, before)
        assert trial.finish(busy=0.02, lease={"BEAT": 0.02, "SILENCE": 0.1}) == expected
    print(f"{waited} drivers were locked out for a while, in {kills // 10 or 1} runs")
