"""Define the rows of the journal: one record for each task, label, iteration, event and order of a run."""

from __future__ import annotations

import marshal
import pickle
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rose import portable
from rose.errors import CorruptRunError, MissingDefinitionError, OtherPythonError

INLINE_BYTES = 16 * 1024  # results up to this size live in the journal itself, larger ones in files of their own

IMPORTED = "imported"  # in place of a task's key: this label was given to the run
QUEUED, RUNNING, DONE, FAILED, CANCELLED, DROPPED = "queued", "running", "done", "failed", "cancelled", "dropped"


class TaskRecord(NamedTuple):
    """Record one task, as it stands. Times are Unix times in seconds.

    Attributes:
        key: the task's key.
        state: queued, running, done, failed, cancelled, or dropped (failed, and the run went on without it, by its
            policy). An engine that cannot tell when a task begins has it running from the start.
        attempt: how often it was started in this process.
        queued: when it was given to the engine.
        began: when it really began; None: it has not, or the engine does not tell.
        ended: when it ended.
        worker: where it ran, as `HOST:PID`; None: not known.
        error: the traceback of a task that failed.
        value: the pickled result, where it is small.
        file: the result's name in the object store, where it is not.
        note: what came beside the result, pickled (what the task reported, how long it ran).
        output: where its stdout and stderr are, relative to the run directory.
    """

    key: str
    state: str
    attempt: int
    queued: float
    began: float | None = None
    ended: float | None = None
    worker: str | None = None
    error: str | None = None
    value: bytes | None = None
    file: str | None = None
    note: bytes | None = None
    output: str | None = None

    @property
    def seconds(self) -> float | None:
        """Return for how long it ran, waiting for a worker left out where the engine tells; None: it has not ended."""
        return None if self.ended is None else self.ended - (self.queued if self.began is None else self.began)


class IterationRecord(NamedTuple):
    """Record a complete iteration of a workflow.

    Attributes:
        workflow, iteration: which.
        record: what the loop resumes from, pickled.
        note: what belongs to it, pickled.
        carried: the keys of the tasks whose results are needed after it, in JSON.
    """

    workflow: str
    iteration: int
    record: bytes | None
    note: bytes | None
    carried: str


class Sample(NamedTuple):
    """Describe what a label is of.

    Attributes:
        content: what decides the label, that is, the candidate and the simulation as it is configured: 16 bytes.
        candidate: its index in the pool.
        digest: what identifies the candidate alone, in any pool: 16 bytes.
        x: the candidate itself.
    """

    content: bytes
    candidate: int
    digest: bytes
    x: Any


class LabelRecord(NamedTuple):
    """Record the label of one sample.

    Attributes:
        content, candidate, digest: as in `Sample`.
        x: the candidate itself, pickled, where it is small and plain; None: it is in the user's pool only.
        key: the task that simulated it; "imported": it came from elsewhere.
        state: done, or dropped: its simulation failed, and is not tried again.
        value, file: the label, as in `TaskRecord`; nothing where it was dropped.
    """

    content: bytes
    candidate: int
    digest: bytes
    x: bytes | None
    key: str
    state: str
    value: bytes | None = None
    file: str | None = None


class EventRecord(NamedTuple):
    """Record something that happened: `kind` is the name of the event's class (`events`), `body` its fields in JSON."""

    time: float
    kind: str
    body: str


class OrderRecord(NamedTuple):
    """Record an order of somebody's to the driver, see `orders`; `body` is JSON."""

    seq: int
    time: float
    who: str
    kind: str
    workflow: str | None
    body: str
    state: str
    answered: float | None
    answer: str | None


def is_small(value: Any) -> bool:
    """Return whether a result is plain and small: it may be pickled on the event loop, and kept in the journal."""
    if type(value) in _NUMBERS or isinstance(value, np.generic):  # an IntEnum of the script's is no number
        return True
    if type(value) in (str, bytes):
        return len(value) <= INLINE_BYTES
    if type(value) is np.ndarray:
        return bool(value.nbytes <= INLINE_BYTES and not value.dtype.hasobject)
    if type(value) in (list, tuple) and len(value) <= 64:
        return all(map(_is_plain, value))
    if type(value) is dict and len(value) <= 64:
        return all(type(k) is str and _is_plain(v) for k, v in value.items())
    return False


_NUMBERS = {type(None), bool, int, float, complex}


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return len(value) <= 200 if kind is str else kind in _NUMBERS or (kind is dict and not value)


def encode(value: Any) -> bytes:
    """Return a value as bytes; classes and functions of `__main__` and notebooks are in it as `rose.portable` says."""
    return encode_small(value) if is_small(value) else portable.dumps(value)


def encode_small(value: Any) -> bytes:
    """Return a value that `is_small` as bytes."""
    return pickle.dumps(value, protocol=5)


def decode(data: bytes) -> Any:
    """Return the value that `encode` wrote: only for what a run directory's own journal holds.

    Raises:
        CorruptRunError: if it is none; or its class is not there any more.
        MissingDefinitionError, OtherPythonError: see `rose.portable.loads`.
    """
    try:
        return portable.loads(data)
    except (MissingDefinitionError, OtherPythonError):
        raise
    except Exception as error:
        raise CorruptRunError(
            f"a recorded result cannot be read: {type(error).__name__}: {error} (was a class moved or renamed?)"
        ) from error


def checksum(record: Sequence[Any]) -> int:
    """Return what tells a damaged row from a sound one: the CRC-32 of its fields, which are plain values.

    They are written in marshal's format 2, which is the same in every Python: later ones depend on how often an object
    is referred to.
    """
    return zlib.crc32(marshal.dumps(tuple(record), 2))
