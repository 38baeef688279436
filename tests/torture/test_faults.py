"""A disk that is full, fails, or writes by halves, and crashes in the middle of a write: at each call that writes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Trial
from .harness import faults, history
from .harness.ledger import recorded
from .harness.powerloss import Disk, operations
from .harness.scenarios import SCENARIOS, Scenario
from .harness.zygote import Zygote

pytestmark = pytest.mark.skipif(faults.compiler() is None, reason="no C compiler to make the failing disk with")
ERRORS = ("full", "broken", "once", "short")
CRASHES = ("kill", "torn")


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks drivers whose disk can be made to fail."""
    parent = Zygote({"LD_PRELOAD": str(faults.library(tmp_path_factory.mktemp("faults")))})
    yield parent
    parent.close()


def count(failing: Zygote, folder: Path, scenario: Scenario | None = None, **more: Any) -> tuple[int, Any]:
    """How many calls write below the run directory, and the results, if nothing fails."""
    outcome = Trial(failing, folder, scenario).life(fault=[0, "count"], **more).outcome
    assert outcome is not None
    return outcome["calls"], outcome["results"]


def chosen(calls: int, kills: int, rng: random.Random) -> list[int]:
    """The calls at which something is to go wrong: all of them, if they are not too many, or a few."""
    wanted = min(kills, calls) or 1
    return sorted(rng.sample(range(1, calls + 1), wanted))


def refused(outcome: dict[str, Any]) -> bool:
    """Whether an error says what the disk did: an OSError, or a run whose workflows all failed by one."""
    kinds = [outcome["error"]] if "OSError" in outcome["error"] else outcome["causes"]
    return all("OSError" in kind for kind in kinds) and any(
        word in outcome["text"] for word in ("No space left", "disk refused", "Input/output error")
    )


both_journals = pytest.mark.parametrize("network", [False, True], ids=["log", "rollback"])


@both_journals
@pytest.mark.parametrize("mode", ERRORS)
def test_errors_at_each_write(
    mode: str, network: bool, kills: int, rng: random.Random, failing: Zygote, tmp_path: Path
) -> None:
    """An error that says so; what was acknowledged is there and right; the same process goes on when the disk does."""
    calls, _ = count(failing, tmp_path / "count", network=network)
    errors, places = 0, chosen(calls, kills // 5 if network else kills, rng)
    for call in places:
        trial = Trial(failing, tmp_path / str(call))
        outcome = trial.life(fault=[call, mode], again=True, network=network).outcome
        assert outcome is not None
        if "error" in outcome:
            errors += 1
            assert refused(outcome), (call, outcome)
        assert outcome["again"] == {"results": {}}, (call, outcome)
        assert history.read(trial.run_dir) == history.COMPLETE
    print(f"{mode}: {errors} errors at {len(places)} of {calls} calls")


@both_journals
@pytest.mark.parametrize("mode", CRASHES)
def test_crashes_at_each_write(
    mode: str, network: bool, kills: int, rng: random.Random, failing: Zygote, tmp_path: Path
) -> None:
    calls, _ = count(failing, tmp_path / "count", network=network)
    places = chosen(calls, kills // 5 if network else kills, rng)
    for call in places:
        trial = Trial(failing, tmp_path / str(call))
        trial.life(fault=[call, mode], network=network)
        if recorded(trial.run_dir).done:
            assert history.read(trial.run_dir) <= history.COMPLETE
        trial.life(network=network)
        assert history.read(trial.run_dir) == history.COMPLETE
    print(f"{mode}: {len(places)} of {calls} calls")


@pytest.mark.parametrize("mode", [*ERRORS, *CRASHES])
@pytest.mark.parametrize("name", ["pool-files", "dataflow"])
def test_whole_runs(name: str, mode: str, kills: int, rng: random.Random, failing: Zygote, tmp_path: Path) -> None:
    if not kills and (name, mode) != ("pool-files", "full"):
        pytest.skip("only in `make torture`")
    calls, expected = count(failing, tmp_path / "count", SCENARIOS[name])
    for call in rng.sample(range(1, calls + 1), 20 if kills else 1):
        trial = Trial(failing, tmp_path / str(call), SCENARIOS[name])
        outcome = trial.life(fault=[call, mode]).outcome
        assert outcome is None or "error" not in outcome or refused(outcome), (call, outcome)
        assert trial.finish() == expected


def test_power_losses(kills: int, rng: random.Random, failing: Zygote, tmp_path: Path) -> None:
    """After a power loss at any moment, all that was acknowledged is there, and the run goes on."""
    (tmp_path / "disk").mkdir()
    trial = Trial(failing, tmp_path / "trial")
    run, trace = tmp_path / "disk" / "runs" / "first", tmp_path / "trace"
    driver = trial.start(run_dir=str(run), trace=[str(tmp_path / "disk"), str(trace)])
    assert driver.wait() == 0
    assert driver.outcome == {"results": {}}
    calls = operations(trace)
    moments = range(1, len(calls) + 1)
    chosen = set(rng.choices(moments, k=5 * kills) if kills else rng.sample(moments, 6))
    disk, acknowledged = Disk(tmp_path / "disk"), set()
    for number, call in enumerate(calls, 1):
        if call.kind == "mark":
            acknowledged.add(call.path)
        else:
            disk.do(call)
        if number in chosen:
            there = tmp_path / str(number)
            disk.after_power_loss(there, rng)
            left = there / "runs" / "first"
            if acknowledged:
                assert acknowledged <= history.read(left), number
            asyncio.run(history.play(left))
            assert history.read(left) == history.COMPLETE
    print(f"{len(chosen)} power losses in {len(calls)} calls")
