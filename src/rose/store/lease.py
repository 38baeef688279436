"""Decide who writes a run directory: one driver at a time, by epoch.

A driver that starts takes the next epoch. Every commit of a driver is made under the condition that its epoch is still
the last, in the same transaction: one that was paused and replaced can no longer write (Lamport's fencing).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rose.errors import CorruptRunError, RunLockedError, RunLostError
from rose.store.database.transaction import exclusive, is_busy, patiently
from rose.store.files.paths import DATABASE

_log = logging.getLogger("rose")

BEAT = 5.0  # seconds between two signs of life
SILENCE = 30.0  # seconds without one after which a driver is taken for dead
TIDYING = "tidying"  # the outcome of a driver that only changes what the next one finds


@dataclass(frozen=True)
class Driver:
    """Describe one driver of a run, as recorded. Times are Unix times in seconds."""

    epoch: int
    host: str
    boot: str
    pid: int
    born: str
    since: float
    seen: float
    ended: float | None
    outcome: str | None

    @property
    def alive(self) -> bool:
        """Return whether the driver runs, as it seems.

        On this machine its process is looked for, and its last sign of life must be no older than `SILENCE`; of another
        machine that is a guess, for its clock may be wrong.
        """
        return self.ended is None and self.is_fresh and (self.is_elsewhere or self.exists)

    @property
    def is_fresh(self) -> bool:
        """Return whether its last sign of life came just now, if its clock is this machine's."""
        return abs(time.time() - self.seen) <= SILENCE

    @property
    def is_elsewhere(self) -> bool:
        """Return whether it is, or was, a process that cannot be looked for here: of another machine or container."""
        return self.boot != _boot() or not self.boot

    @property
    def exists(self) -> bool:
        """Return whether its process is there, on this machine; it may be stopped."""
        return not self.is_elsewhere and self.born == _born(self.pid)

    def __str__(self) -> str:
        age = time.time() - self.since
        return f"process {self.pid} on {self.host}, started {describe_seconds(age)} ago"


def last_driver(connection: sqlite3.Connection) -> Driver | None:
    """Return the driver that had the run last."""
    row = connection.execute("SELECT * FROM driver ORDER BY epoch DESC LIMIT 1").fetchone()
    return _driver(row) if row else None


def read_drivers(connection: sqlite3.Connection) -> list[Driver]:
    """Return all drivers that have had the run, in order."""
    return [_driver(row) for row in connection.execute("SELECT * FROM driver ORDER BY epoch")]


# What the columns of the table hold.
_KINDS = ((int,), (str,), (str,), (int,), (str,), (float,), (float,), (float, type(None)), (str, type(None)))


def _driver(row: tuple[Any, ...]) -> Driver:
    if not all(isinstance(value, kinds) for value, kinds in zip(row, _KINDS, strict=True)):
        raise CorruptRunError(f"the journal's record of driver {row[0]!r} is damaged")
    return Driver(*row)


# The directories that this process writes, with their epochs: a driver that could not say that it ends, because the
# disk was full, does not lock its directory against its own process.
_held: set[tuple[str, int]] = set()


def take(connection: sqlite3.Connection, where: Path, given_up: threading.Event | None = None) -> int:
    """Become the driver; returns the epoch. Blocks, until it is `given_up`.

    A driver that has ended, or whose process is not there any more, is replaced at once. One that cannot be looked for,
    or that is there but silent (stopped, or the clock was set), is watched: it is replaced if it gives no sign of life
    for `SILENCE` by the clock of the one that watches. What the clocks of two machines say is never compared.

    Raises:
        RunLockedError: if another driver lives, or was stopped in the middle of a commit; or if it is given up.
        sqlite3.OperationalError: if it is given up while another process than the driver holds the database.
    """
    given_up = given_up or threading.Event()

    def ask(watch: _Watch | None) -> int | _Watch:
        with exclusive(connection):
            return _ask(connection, where, watch)

    watch: _Watch | None = None
    while True:
        before = time.monotonic()
        found = _unblocked(connection, where, partial(ask, watch), given_up)
        if isinstance(found, int):
            _held.add(_lease_of(where, found))
            return found
        if found is not watch:
            _log.warning(
                "%s was left by %s, which may be alive (on another machine, or stopped): it is replaced if it gives no "
                "sign of life for %g s",
                where,
                found.driver,
                SILENCE,
            )
        watch = found
        if time.monotonic() - before > BEAT:  # the database was locked: the driver could give no sign of life
            watch.since = time.monotonic()
        if given_up.wait(BEAT / 5):
            raise RunLockedError(f"{str(where)!r} may still be written by {watch.driver}: given up waiting for a sign")


@dataclass
class _Watch:
    """Watch a driver that may not live any more, since it last gave a sign (monotonic seconds)."""

    driver: Driver
    since: float


def _ask(connection: sqlite3.Connection, where: Path, watch: _Watch | None) -> int | _Watch:
    """Return the epoch under which this process is the driver now; or the one that has to be watched first."""
    last = last_driver(connection)
    if last is not None and last.ended is None and (last.is_elsewhere or last.exists) and not _is_own_past(last, where):
        known = watch is not None and watch.driver.epoch == last.epoch
        if (known and watch is not None and watch.driver.seen != last.seen) or (last.exists and last.is_fresh):
            seen = f" (last seen {describe_seconds(time.time() - last.seen)} ago)" if last.exists else ""
            if (last.pid, last.exists) == (os.getpid(), True):
                raise RunLockedError(
                    f"{str(where)!r} is being written by {last}{seen}, which is this program: an earlier run of "
                    "it has not ended; await it, or `await states.aclose()` where its iteration was left (after a "
                    "`break`, `await learner.teach(...)` waits for that; run(), which blocks its event loop, cannot)"
                )
            raise RunLockedError(
                f"{str(where)!r} is being written by {last}{seen}: wait for its end, stop it, or "
                f"choose another run_dir; one that has died is replaced by itself, at the latest {SILENCE:g} s "
                "after its last sign of life"
            )
        if watch is None or not known:
            return _Watch(last, time.monotonic())
        if time.monotonic() - watch.since < SILENCE:
            return watch
    epoch, pid, now = (last.epoch if last else 0) + 1, os.getpid(), time.time()
    connection.execute(
        "INSERT INTO driver VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
        (epoch, socket.gethostname(), _boot(), pid, _born(pid) or "", now, now),
    )
    return epoch


def _unblocked(
    connection: sqlite3.Connection, where: Path, ask: Callable[[], int | _Watch], given_up: threading.Event
) -> int | _Watch:
    """Return the answer, when no other process holds the database any more; if that is a driver, it is an error."""

    def once() -> int | _Watch:
        try:
            return ask()
        except sqlite3.OperationalError as error:
            last = last_driver(connection) if is_busy(error) else None
            if last is None or last.ended is not None or not (last.exists or last.is_elsewhere):
                raise
            raise RunLockedError(
                f"{str(where)!r} is locked by a commit of {last} that does not end: is that process stopped, or its "
                "disk?"
            ) from error

    return patiently(once, where / DATABASE, given_up.is_set)


def let_go(where: Path, epoch: int) -> None:
    """Take note that this process writes no more under that epoch, whether or not it could say so."""
    _held.discard(_lease_of(where, epoch))


def _is_own_past(driver: Driver, where: Path) -> bool:
    return driver.pid == os.getpid() and driver.exists and _lease_of(where, driver.epoch) not in _held


def _lease_of(where: Path, epoch: int) -> tuple[str, int]:
    return os.path.realpath(where), epoch


@contextlib.contextmanager
def driving(connection: sqlite3.Connection, epoch: int, where: Path) -> Iterator[None]:
    """Commit what is done inside as one, as the driver of that epoch; while it lasts, no one can take over.

    Raises:
        RunLostError: if another driver has; then nothing is done.
    """
    with exclusive(connection):
        renew(connection, epoch, where)
        yield


def renew(connection: sqlite3.Connection, epoch: int, where: Path) -> None:
    """Give a sign of life, inside a transaction, if the last one is not fresh.

    Raises:
        RunLostError: if another driver has taken over since.
    """
    row = connection.execute("SELECT epoch, seen FROM driver ORDER BY epoch DESC LIMIT 1").fetchone()
    if row is None or row[0] != epoch:
        last = last_driver(connection)
        raise RunLostError(
            f"{str(where)!r} was taken over by {last}, because this process gave no sign of life for {SILENCE:g} s: "
            "nothing more is written by it, and its work in hand is lost"
        )
    now = time.time()
    if not 0 <= now - row[1] < BEAT / 2:
        connection.execute("UPDATE driver SET seen = ? WHERE epoch = ?", (now, epoch))


def end(connection: sqlite3.Connection, epoch: int, outcome: str) -> None:
    """Say how this driver's part ended."""
    now = time.time()
    connection.execute("UPDATE driver SET seen = ?, ended = ?, outcome = ? WHERE epoch = ?", (now, now, outcome, epoch))


def describe_seconds(seconds: float) -> str:
    """Return a duration for people.

    >>> describe_seconds(90)
    '90 s'
    >>> describe_seconds(8000)
    '2.2 h'
    """
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{max(seconds, 0) / size:.{0 if size == 1 else 1}f} {unit}"
    return f"{seconds / 86400:.1f} days"


def _boot() -> str:
    """Return what names this start of this machine (and its process namespace: containers may share a name)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str | None:
    """Return when a process started, to tell it from a later one with its number; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return ""
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()
