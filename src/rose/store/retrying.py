"""Have candidates tried again whose simulations failed and were dropped: the next driver of their run finds it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from rose.errors import ConfigurationError, RunLockedError
from rose.paths import expanded
from rose.store import lease
from rose.store.database.meta import read_meta, write_meta
from rose.store.database.schema import open_for_writing, reading
from rose.store.database.sql import read_task, write
from rose.store.events import RetryAsked, event_to_json
from rose.store.labels.versions import current_labels
from rose.store.records import CANCELLED, DROPPED, EventRecord, LabelRecord

RETRIED = "retried"  # a note of the journal: of which samples (hex), as a list


class DroppedCandidate(NamedTuple):
    """Describe a candidate that was dropped.

    Attributes:
        candidate: its index in the pool.
        task: the key of the simulation that failed.
        error: the last line of its error.
    """

    candidate: int
    task: str
    error: str


def retry(
    run_dir: str | Path, candidates: Iterable[int] | None = None, *, dry_run: bool = False
) -> list[DroppedCandidate]:
    """Have a run try dropped candidates again when it is resumed.

    Each workflow that asked for one does so in its next round. What was decided without them stays.

    Args:
        run_dir: a run directory that no driver writes.
        candidates: their indices in the pool; None: all that were dropped.
        dry_run: only tell which.

    Returns:
        Those that are, or would be, tried again, in the order in which they were dropped.

    Raises:
        ConfigurationError: if one of them was not dropped.
        RunLockedError: if a driver lives.
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
    """
    directory = expanded(run_dir, "run_dir")
    with reading(directory) as connection:
        driver = lease.last_driver(connection)
        if driver is not None and driver.alive:
            raise RunLockedError(f"{str(directory)!r} is being written by {driver}: wait for its end, or stop it")
        dropped = [(label, _told(connection, label)) for label in current_labels(connection) if label.state == DROPPED]
    chosen = _chosen([label.candidate for label, _ in dropped], directory, candidates)
    labels = [label for label, _ in dropped if label.candidate in chosen]
    told = [one for _, one in dropped if one.candidate in chosen]
    if dry_run or not labels:
        return told
    with closing(open_for_writing(directory, durable=True)) as connection:
        epoch = lease.take(connection, directory)
        try:
            with lease.driving(connection, epoch, directory):
                connection.execute("UPDATE driver SET outcome = ? WHERE epoch = ?", (lease.TIDYING, epoch))
                _forget(connection, labels, told)
        finally:
            with lease.driving(connection, epoch, directory):
                lease.end(connection, epoch, lease.TIDYING)
            lease.let_go(directory, epoch)
    return told


def _chosen(dropped: Sequence[int], directory: Path, candidates: Iterable[int] | None) -> set[int]:
    if candidates is None:
        return set(dropped)
    if isinstance(candidates, (str, bytes)) or not isinstance(candidates, Iterable):
        raise ConfigurationError(f"candidates must be indices of the pool ([3, 6]), got {candidates!r}")
    wanted = set()
    for one in candidates:
        if isinstance(one, bool) or not hasattr(one, "__index__"):
            raise ConfigurationError(f"candidates must be indices of the pool (whole numbers), got {one!r} among them")
        wanted.add(int(one))
    if strangers := sorted(wanted.difference(dropped)):
        some = sorted(set(dropped))
        listed = ", ".join(map(str, some[:20])) + (", ..." if len(some) > 20 else "")
        raise ConfigurationError(
            f"nothing to try again: the run in {str(directory)!r} has not dropped {', '.join(map(str, strangers))}; "
            f"dropped: {listed or 'none'}"
        )
    return wanted


def _told(connection: sqlite3.Connection, label: LabelRecord) -> DroppedCandidate:
    task = read_task(connection, label.key)
    error = "" if task is None else (task.error or "").strip().rpartition("\n")[2]
    return DroppedCandidate(label.candidate, label.key, error)


def _forget(connection: sqlite3.Connection, labels: list[LabelRecord], told: list[DroppedCandidate]) -> None:
    """Forget, in a transaction, that these have no labels; note that there were none when rounds were decided."""
    for label in labels:
        connection.execute("DELETE FROM labels WHERE content = ? AND state = ?", (label.content, DROPPED))
    before = set(read_meta(connection, RETRIED) or ())
    write_meta(connection, RETRIED, sorted(before | {label.content.hex() for label in labels}))
    tasks = [read_task(connection, key) for key in dict.fromkeys(label.key for label in labels)]
    write(connection, (one._replace(state=CANCELLED) for one in tasks if one is not None and one.state == DROPPED))
    event = RetryAsked([one.candidate for one in told], [one.task for one in told])
    write(connection, [EventRecord(time.time(), type(event).__name__, event_to_json(event))])
