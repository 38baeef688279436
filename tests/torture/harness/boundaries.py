"""The moments around a commit at which a crash is most likely to show a mistake, by name."""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from rose.store import journal, lease, run
from rose.store.database import commits, schema
from rose.store.files import objects


def signalled(number: int) -> None:
    """Send this process a signal that it cannot catch: when this returns, a stop is over.

    It is sent to this thread: another one that is to take it may get the processor when this one has gone on.
    """
    signal.pthread_kill(threading.get_ident(), number)


class _Fuse:
    """Kills this process, or stops it, when it is touched for the n-th time."""

    def __init__(self, count: int, number: int = signal.SIGKILL) -> None:
        self._left = count
        self._number = number

    def touch(self) -> None:
        self._left -= 1
        if self._left == 0:
            signalled(self._number)


def _before(owner: Any, name: str, condition: Callable[..., bool] = lambda *args: True) -> Callable[[_Fuse], None]:
    return lambda fuse: _wrap(owner, name, lambda *args: condition(*args) and fuse.touch(), None)


def _after(owner: Any, name: str, condition: Callable[..., bool] = lambda *args: True) -> Callable[[_Fuse], None]:
    return lambda fuse: _wrap(owner, name, None, lambda *args: condition(*args) and fuse.touch())


def _wrap(owner: Any, name: str, before: Any, after: Any) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args)
        result = original(*args, **kwargs)
        if after is not None:
            after(*args)
        return result

    setattr(owner, name, wrapped)


def _on_statement(text: str, after: bool) -> Callable[[_Fuse], None]:
    """Around an SQL statement that begins so, whoever executes it."""

    def put_on(fuse: _Fuse) -> None:
        class Watched(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:  # type: ignore[override]
                if sql.startswith(text) and not after:
                    fuse.touch()
                cursor = super().execute(sql, *args)
                if sql.startswith(text) and after:
                    fuse.touch()
                return cursor

        sqlite3.connect = functools.partial(sqlite3.connect, factory=Watched)  # type: ignore[assignment]

    return put_on


def _into_objects(source: Any, target: Any) -> bool:
    return "/objects/" in str(target)


def _an_object(path: Any) -> bool:
    return "/objects/" in str(path) and "aside-" not in str(path)


_Journal = journal.Journal
BOUNDARIES: dict[str, Callable[[_Fuse], None]] = {
    "before BEGIN": _on_statement("BEGIN", after=False),
    "after BEGIN": _on_statement("BEGIN", after=True),
    "before an INSERT": _on_statement("INSERT", after=False),
    "after an INSERT": _on_statement("INSERT", after=True),  # alone it is a commit
    "before COMMIT": _on_statement("COMMIT", after=False),
    "after COMMIT": _on_statement("COMMIT", after=True),
    "before waiters are told": _before(commits.GroupCommit, "_wrote"),
    "after waiters are told": _after(commits.GroupCommit, "_wrote"),
    "before an object's rename": _before(os, "replace", _into_objects),
    "after an object's rename": _after(os, "replace", _into_objects),
    "after an object": _after(objects.ObjectStore, "put"),
    "between labels and their commit": _after(_Journal, "put", lambda self, record: "content" in record._fields),
    "before the round's row": _before(run.Run, "round_done"),
    "before freeing": _before(_Journal, "free"),
    "before an unlink": _before(os, "unlink", _an_object),
    "after an unlink": _after(os, "unlink", _an_object),
    "before closing": _before(_Journal, "close"),
    "before the lease's end": _before(lease, "end"),
    "after the lease's end": _after(lease, "end"),
    "before the lease is taken": _before(lease, "take"),
    "after the lease is taken": _after(lease, "take"),
    "between tables and lease": _after(schema, "_check"),
}


def arm(name: str, count: int, number: int = signal.SIGKILL) -> None:
    """Have this process killed, or stopped, when it comes to that boundary for the `count`-th time."""
    BOUNDARIES[name](_Fuse(count, number))
