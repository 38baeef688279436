"""Remove what a run directory holds and nothing needs any more: what crashes left, and models of earlier rounds."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rose.errors import RunDirectoryError, RunLockedError
from rose.store import lease
from rose.store.database.failures import explained
from rose.store.database.kept import CarriedResults
from rose.store.database.schema import holds_run, open_for_writing, reading
from rose.store.database.sql import forget_files, read_tasks
from rose.store.database.transaction import exclusive
from rose.store.files.objects import ObjectStore
from rose.store.files.paths import DATABASE, OBJECTS, OUTPUT, STREAMS, folds, place_of
from rose.store.records import DONE

_OBJECT = re.compile(r"[0-9a-f]{40}\.(npy|pkl)")  # what else is there is not ours
_CHUNK = 500  # files that are removed between two signs of life


@dataclass(frozen=True)
class Garbage:
    """Say what was, or would be, removed.

    Attributes:
        models: how many models of earlier rounds.
        leftovers: how many other files that nothing refers to, or that were never finished.
        outputs: of how many tasks that are done what they printed.
        bytes: what all of it occupies.
    """

    models: int
    leftovers: int
    outputs: int
    bytes: int


@dataclass
class _Plan:
    """Hold what is to go: keys of tasks whose results are forgotten, object names, other files, directories."""

    forgotten: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)
    asides: list[Path] = field(default_factory=list)
    printed: list[Path] = field(default_factory=list)


def collect_garbage(directory: Path, models: int = 1, outputs: bool = False, dry_run: bool = False) -> Garbage:
    """Remove what a run does not need to be resumed, keeping the models of the last rounds and all labels.

    Args:
        directory: the run directory; no driver may be alive.
        models: of how many complete rounds of each workflow the models are kept, 1 or more.
        outputs: whether to remove what tasks that are done have printed.
        dry_run: only tell.

    Raises:
        RunLockedError: if a driver lives.
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
    """
    objects = ObjectStore(directory / OBJECTS)
    if dry_run:
        with reading(directory) as connection:
            driver = lease.last_driver(connection)
            if driver is not None and driver.alive:
                raise RunLockedError(f"{str(directory)!r} is being written by {driver}: wait for its end, or stop it")
            plan = _plan(connection, objects, directory, models, outputs)
        return _told(plan, objects)
    if not holds_run(directory):
        raise RunDirectoryError(f"{str(directory)!r} holds no run")
    with closing(open_for_writing(directory, durable=True)) as connection:
        epoch = lease.take(connection, directory)
        try:
            with _holding(connection, epoch, directory):
                connection.execute("UPDATE driver SET outcome = ? WHERE epoch = ?", (lease.TIDYING, epoch))
                plan = _plan(connection, objects, directory, models, outputs)
                forget_files(connection, "", plan.forgotten.__contains__)
            garbage = _told(plan, objects)
            _remove(connection, epoch, directory, objects, plan)
        finally:
            with _holding(connection, epoch, directory):
                lease.end(connection, epoch, lease.TIDYING)
    return garbage


@contextmanager
def _holding(connection: sqlite3.Connection, epoch: int, directory: Path) -> Iterator[None]:
    """Hold a transaction in which no driver can take over."""
    with explained(directory / DATABASE), exclusive(connection):
        lease.renew(connection, epoch, directory)
        yield


def _plan(connection: sqlite3.Connection, objects: ObjectStore, directory: Path, models: int, outputs: bool) -> _Plan:
    plan, done = _Plan(), []
    files: dict[str, str] = {}
    for record in read_tasks(connection):
        if record.file is not None:
            files[record.key] = record.file
        if record.state == DONE:
            done.append(record.key)
    carried = CarriedResults(connection, models)
    used: set[str] = set()
    for key, file in files.items():
        if not carried.is_spent(key):
            used.add(file)
            continue
        plan.forgotten.add(key)
        if carried.was_carried(key):
            plan.models.add(file)
    used.update(file for (file,) in connection.execute("SELECT file FROM labels WHERE file IS NOT NULL"))
    plan.models -= used
    there = {name for name in objects.names() if _OBJECT.fullmatch(name)}
    plan.orphans = there - used - plan.models
    plan.models &= there
    plan.asides = list(objects.leftovers())
    if outputs:
        fold = folds(directory)
        paths = (directory / OUTPUT / place_of(key, fold) / stream for key in done for stream in STREAMS)
        plan.printed = [path for path in paths if path.is_file()]
    return plan


def _told(plan: _Plan, objects: ObjectStore) -> Garbage:
    files = [objects.path(name) for name in plan.models | plan.orphans] + plan.asides + plan.printed
    return Garbage(
        models=len(plan.models),
        leftovers=len(plan.orphans) + len(plan.asides),
        outputs=len({path.parent for path in plan.printed}),
        bytes=sum(path.stat().st_size for path in files),
    )


def _remove(connection: sqlite3.Connection, epoch: int, directory: Path, objects: ObjectStore, plan: _Plan) -> None:
    paths = [objects.path(name) for name in sorted(plan.models | plan.orphans)] + plan.asides + plan.printed
    for start in range(0, len(paths), _CHUNK):
        with _holding(connection, epoch, directory):
            for path in paths[start : start + _CHUNK]:
                path.unlink()
    for folder in {path.parent for path in plan.printed}:
        if not any(folder.iterdir()):
            folder.rmdir()
