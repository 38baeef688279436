"""`--torture N`: how many interruptions each test makes; `--torture-seed`: of all that is random in them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .harness.ledger import Recorded, Tally, recorded
from .harness.scenarios import LEDGER, Scenario
from .harness.zygote import Driver, Zygote


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", type=int, default=0, help="kills of the driver; the other tests are as thorough")
    parser.addoption("--torture-seed", type=int, help="of all that is random there (default: by the clock, or 0)")


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    """How many kills `make torture` asks for; 0: the short form."""
    return int(request.config.getoption("--torture", default=0) or 0)


@pytest.fixture(scope="session")
def seed(kills: int, request: pytest.FixtureRequest) -> int:
    """Printed by every test, so that one that fails can be repeated; the short form always has the same."""
    given = request.config.getoption("--torture-seed", default=None)
    return int(given if given is not None else time.time() if kills else 0)


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of one test."""
    print(f"--torture-seed {seed}")
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Forks drivers."""
    parent = Zygote()
    yield parent
    parent.close()


@pytest.fixture(scope="session")
def zygotes(zygote: Zygote, kills: int) -> Iterator[list[Zygote]]:
    """Fork drivers with different hash seeds: sets and dicts of them are in different orders."""
    more = [Zygote({"PYTHONHASHSEED": str(number)}) for number in range(1, 4 if kills else 2)]
    yield [zygote, *more]
    for parent in more:
        parent.close()


@dataclass
class Trial:
    """One run directory, and the drivers that it goes through; without a scenario they play `history.play`.

    Attributes:
        tally: what went wrong so far.
        kills: how many drivers died of a kill.
        shared_run_dir: the run directory, if it is another trial's.
    """

    zygote: Zygote
    folder: Path
    scenario: Scenario | None = None
    engine: str = "threads"
    tally: Tally = field(default_factory=Tally)
    kills: int = 0
    shared_run_dir: Path | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def run_dir(self) -> Path:
        """The run directory."""
        return self.shared_run_dir or self.folder / "run"

    @property
    def ledger(self) -> Path:
        """Where drivers and tasks write what they do."""
        return self.folder / "ledger"

    def start(self, **more: Any) -> Driver:
        """Start a driver."""
        job = {
            "run_dir": str(self.run_dir),
            "ledger": str(self.ledger),
            "result": str(self.folder / "result"),
            "engine": self.engine,
            **more,
        }
        if self.scenario is not None:
            job["scenario"] = self.scenario.to_json()
        return self.zygote.start(job)

    def life(
        self, kill_when: int | None = None, later: float = 0.0, before: Recorded | None = None, **more: Any
    ) -> Driver:
        """One driver from its start to its end, judged, by what there was before. It may be killed: when it has written
        `kill_when` bytes into the ledger, and so many seconds later."""
        before, size = before or recorded(self.run_dir), self.written
        driver = self.start(**more)
        if kill_when is not None:
            while self.written < size + kill_when and not driver.ended:
                time.sleep(0.0005)
            time.sleep(later)
            driver.kill()
        self.end(driver, before)
        return driver

    @property
    def written(self) -> int:
        """How many bytes there are in the ledger."""
        return self.ledger.stat().st_size if self.ledger.exists() else 0

    def end(self, driver: Driver, before: Recorded) -> None:
        """Wait for a driver's end, and judge what it did."""
        status = driver.wait()
        assert status in (0, -9), (self.folder / "ledger.log").read_text()
        self.kills += status == -9
        while self.processes():  # commands that outlive the driver by a moment
            time.sleep(0.001)
        there = recorded(self.run_dir)
        self.tally.after_life(self.ledger, before)
        self.tally.after_death(self.ledger, there)
        assert self.tally.clean, self.tally

    def processes(self) -> list[int]:
        """The processes that the drivers have started, and that are alive."""
        found, mark = [], f"{LEDGER}={self.ledger}\0".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:  # it ended meanwhile, or belongs to somebody else
                continue
        return found

    def finish(self, **more: Any) -> dict[str, Any]:
        """A last driver, which is left to end; its results."""
        outcome = self.life(**more).outcome
        assert outcome is not None
        assert "results" in outcome, outcome["traceback"]
        results: dict[str, Any] = outcome["results"]
        self.tally.at_the_end(recorded(self.run_dir), [result.get("indices", []) for result in results.values()])
        assert self.tally.clean, self.tally
        return results
