"""Files cut short and overwritten with garbage: a run opens at its last commit, or says that it is damaged."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rose.errors import CorruptRunError, RunDirectoryError
from rose.store.files.paths import DATABASE, OBJECTS

from .conftest import Trial
from .harness import history
from .harness.zygote import Zygote

SECTOR, REACH = 512, 16 * 1024
Damage = Callable[[Path, int, random.Random], None]


def cut(path: Path, where: int, rng: random.Random) -> None:
    """Cut a file short."""
    with path.open("r+b") as file:
        file.truncate(where)


def garble(path: Path, where: int, rng: random.Random) -> None:
    """Overwrite a sector of a file with garbage."""
    with path.open("r+b") as file:
        file.seek(where)
        file.write(rng.randbytes(SECTOR))


def flip(path: Path, where: int, rng: random.Random) -> None:
    """Change one bit of a sector."""
    with path.open("r+b") as file:
        file.seek(where + rng.randrange(SECTOR))
        byte = file.read(1)
        file.seek(-1, 1) if byte else None
        file.write(bytes([byte[0] ^ 1 << rng.randrange(8)]) if byte else b"")


DAMAGES: dict[str, Damage] = {"cut": cut, "garbage": garble, "bit": flip}


@pytest.fixture(scope="module")
def runs(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run that has ended, and one whose driver was killed when nearly all was committed: all of it is in the log."""
    folder = tmp_path_factory.mktemp("runs")
    ended, killed = Trial(zygote, folder / "ended"), Trial(zygote, folder / "killed")
    assert ended.life().outcome == {"results": {}}
    killed.life(boundary=("before closing", 1))
    assert killed.kills == 1
    return {"ended": ended.run_dir, "killed": killed.run_dir}


def victims(run: Path) -> Iterator[Path]:
    """The database, its log, and the newest array and the newest model, relative to the run."""
    for path in (run / DATABASE, run / f"{DATABASE}-wal"):
        if path.exists() and path.stat().st_size:
            yield path.relative_to(run)
    for kind in ("npy", "pkl"):
        newest = max((run / OBJECTS).glob(f"*/*.{kind}"), key=lambda path: path.stat().st_mtime_ns)
        yield newest.relative_to(run)


def consequence(run: Path, in_log: bool = False) -> str:
    """What reading the run and going on with it come to; nothing wrong may come of either.

    Every value that is read is compared with what was written, see `history.read`. Only a log may lose its end.
    """
    there: set[str] = set()
    ran: list[str] = []
    try:
        there = history.read(run)
        assert there <= history.COMPLETE if in_log else there == history.COMPLETE
        read = "read" if there == history.COMPLETE else "read the beginning"
    except (CorruptRunError, RunDirectoryError) as error:
        read = type(error).__name__
    try:
        asyncio.run(history.play(run, ran.append))
        assert there.isdisjoint(ran)
    except (CorruptRunError, RunDirectoryError) as error:
        return f"{read}, {type(error).__name__}"
    try:
        assert history.read(run) == history.COMPLETE
    except CorruptRunError:
        return f"{read}, resumed without the damaged result"
    return f"{read}, resumed"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("state", ["ended", "killed"])
def test_the_ends_of_files(
    state: str, damage: str, kills: int, rng: random.Random, runs: dict[str, Path], tmp_path: Path
) -> None:
    for victim in victims(runs[state]):
        seen: Counter[str] = Counter()
        size = (runs[state] / victim).stat().st_size
        places = list(range((size - 1) // SECTOR * SECTOR, max(size - REACH, 0) - 1, -SECTOR))
        for place in places if kills else rng.sample(places, min(3, len(places))):
            copy = tmp_path / "run"
            shutil.copytree(runs[state], copy)
            DAMAGES[damage](copy / victim, place, rng)
            try:
                seen[consequence(copy, victim.name.endswith("-wal"))] += 1
            except BaseException as error:
                error.add_note(f"{damage} of {victim} at {place} of {size}")
                raise
            shutil.rmtree(copy)
        print(f"{state}, {victim.suffix}: {damage} at {seen.total()} places of {size} bytes: {dict(seen)}")


@pytest.mark.parametrize("damage", ["garbage", "bit"])
def test_anywhere_in_the_database(
    damage: str, kills: int, rng: random.Random, runs: dict[str, Path], tmp_path: Path
) -> None:
    seen: Counter[str] = Counter()
    size = (runs["ended"] / DATABASE).stat().st_size
    for _ in range(kills or 4):
        copy, place = tmp_path / "run", rng.randrange(size // SECTOR) * SECTOR
        shutil.copytree(runs["ended"], copy)
        DAMAGES[damage](copy / DATABASE, place, rng)
        try:
            seen[consequence(copy)] += 1
        except BaseException as error:
            error.add_note(f"{damage} at {place} of {size}")
            raise
        shutil.rmtree(copy)
    print(f"{damage} at {seen.total()} places of {size} bytes: {dict(seen)}")
