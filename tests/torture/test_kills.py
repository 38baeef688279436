"""kill -9 of the driver, at random and at named moments: nothing acknowledged is lost, nothing recorded runs again."""

from __future__ import annotations

import io
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rose.store.database.sql import read_labels
from rose.store.safe_unpickle import load_plainly

from .conftest import Trial
from .harness.boundaries import BOUNDARIES
from .harness.ledger import Recorded, journal_of
from .harness.scenarios import SCENARIOS, points
from .harness.zygote import Zygote

Reference = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def reference(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The results of a scenario that no one interrupts, and how much it writes into its ledger."""
    found: dict[str, dict[str, Any]] = {}

    def uninterrupted(name: str) -> dict[str, Any]:
        if name not in found:
            trial = Trial(zygote, tmp_path_factory.mktemp(name), SCENARIOS[name])
            found[name] = {"results": trial.finish(), "written": trial.written}
        return found[name]

    return uninterrupted


SHORT = {
    "pool": 3,
    "pool-files": 4,
    "pool-screened": 2,
    "pool-waits": 2,
    "pool-commands": 2,
    "script": 2,
    "dataflow": 3,
    "dataflow-commands": 2,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_random_kills(
    name: str,
    kills: int,
    rng: random.Random,
    zygote: Zygote,
    reference: Reference,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    zygotes = request.getfixturevalue("zygotes") if name == "script" else [zygote]
    wanted = math.ceil(kills / len(SCENARIOS)) if kills else SHORT[name]
    expected, done, number = reference(name), 0, 0
    while done < wanted:
        number += 1
        engine = "local" if number % 10 == 5 else "threads"
        trial = Trial(zygote, tmp_path / str(number), SCENARIOS[name], engine)
        for life in range(min(rng.randint(1, 4), wanted - done)):
            trial.zygote = zygotes[life % len(zygotes)]
            trial.life(kill_when=int(rng.uniform(0, expected["written"])), later=rng.uniform(0, 0.01))
        trial.zygote = rng.choice(zygotes)
        assert trial.finish() == expected["results"]
        done += trial.kills
    print(f"{name}: {done} kills in {number} runs")


@pytest.mark.parametrize("name", SCENARIOS)
def test_kills_at_boundaries(
    name: str, kills: int, rng: random.Random, zygote: Zygote, reference: Reference, tmp_path: Path
) -> None:
    """Each run is killed at one boundary three times; in the short form, at seven boundaries."""
    if not kills and name != "pool-files":
        pytest.skip("only in `make torture`")
    places = [[(boundary, count) for count in (1, 2, rng.randint(3, 30))] for boundary in BOUNDARIES]
    if not kills:
        places = [[(boundary, 1) for boundary in list(BOUNDARIES)[start::3]] for start in range(3)]
    died: Counter[str] = Counter()
    for number, chain in enumerate(places):
        trial = Trial(zygote, tmp_path / str(number), SCENARIOS[name])
        for boundary, count in chain:
            before = trial.kills
            trial.life(boundary=(boundary, count))
            died[boundary] += trial.kills - before
        assert trial.finish() == reference(name)["results"]
    print(f"{name}: {died.total()} kills: {dict(died)}")
    if name == "pool-files":
        assert {boundary for boundary in BOUNDARIES if not died[boundary]} == set(), "no driver came there"


TURNED = (SCENARIOS["pool"], replace(SCENARIOS["pool"], turned=True))


def labelled(run_dir: Path, turned: bool) -> list[int]:
    """The candidates that a run has labels of, of one of these two simulations; a label tells whose it is."""
    y = points(TURNED[0].candidates)[1]
    with journal_of(run_dir) as journal:
        records = [] if journal is None else [*read_labels(journal)]
    found = [(record.candidate, load_plainly(io.BytesIO(record.value or b""))) for record in records]
    return [candidate for candidate, label in found if (label != y[candidate]) == turned]


def test_labelling_anew(kills: int, rng: random.Random, zygote: Zygote, tmp_path: Path) -> None:
    """There and back again, killed in between: each simulation has the labels and results that it has alone."""
    whole = [Trial(zygote, tmp_path / f"whole {turned}", TURNED[turned]) for turned in (0, 1)]
    expected = [trial.finish() for trial in whole]
    died: Counter[str] = Counter()
    for number in range(math.ceil(kills / 10) or 1):
        trial = Trial(zygote, tmp_path / str(number), TURNED[0])
        trial.life(kill_when=rng.randint(whole[0].written // 2, whole[0].written))
        to = 1
        for life in range(8 if kills else 2):
            trial.scenario = TURNED[to]
            trial.ledger.unlink(missing_ok=True)  # what was acknowledged of the other's rounds counts no more
            before = Recorded(labels=labelled(trial.run_dir, bool(to)))
            kill: dict[str, Any] = {}
            if life % 4 == 0:
                kill["boundary"] = (rng.choice([name for name in BOUNDARIES if "COMMIT" in name]), rng.randint(1, 6))
            elif life % 4 != 3:
                kill["kill_when"] = rng.randint(0, whole[0].written)
            so_far = trial.kills
            driver = trial.life(before=before, learner={"accept_changes": "resimulate"}, **kill)
            died["at a commit" if "boundary" in kill else "at random"] += trial.kills - so_far
            if not kill:
                assert driver.outcome is not None
                assert driver.outcome["results"] == expected[to]
            to = rng.choice([0, 1])
        for turned in (1, 0):
            trial.scenario = TURNED[turned]
            trial.ledger.unlink()
            before = Recorded(labels=labelled(trial.run_dir, bool(turned)))
            driver = trial.life(before=before, learner={"accept_changes": "resimulate"})
            assert driver.outcome is not None
            assert driver.outcome["results"] == expected[turned]
            alone = labelled(whole[turned].run_dir, bool(turned))
            assert sorted(labelled(trial.run_dir, bool(turned))) == sorted(alone)
    print(f"kills: {dict(died)}")
