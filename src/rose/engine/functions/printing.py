"""Show what tasks print where that can be: a lost terminal, a closed pipe or a full disk is no failure."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import stat
import sys
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, TextIO

_log = logging.getLogger("rose")
_BROKEN = getattr(select, "POLLERR", 0) | getattr(select, "POLLHUP", 0)
_PATIENCE = 1000  # milliseconds for which a reader that is slow, of a pipe that does not block, is waited for

_lock = threading.Lock()
_depth = 0  # how many tasks of this process are showing
# Python 3.11's `print` holds no reference to what it writes to: what stood in `sys.stdout` must outlive every call of
# another thread that has begun. So the last ones are kept, and used again.
_kept: deque[Shown] = deque(maxlen=32)


class Shown:
    """Write to a stream as if it were the one given, but what cannot be written to that is lost, and no error."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: Any) -> int:
        """Write, if that can be done."""
        try:
            count: int = self.stream.write(text)
            return count
        except OSError as error:
            _say(error)
        except ValueError:
            if not getattr(self.stream, "closed", False):
                raise
        return len(text)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write all, if that can be done."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, if that can be done."""
        try:
            self.stream.flush()
        except OSError as error:
            _say(error)
        except ValueError:
            if not getattr(self.stream, "closed", False):
                raise

    @property
    def buffer(self) -> Shown:
        """Return the stream of bytes below it, shown likewise."""
        return Shown(self.stream.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class showing:  # a class, for every task enters one, and generators are slow
    """Have `sys.stdout` and `sys.stderr` of this process, which are not ours, raise nothing while tasks are in it."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _depth
        with _lock:
            _depth += 1
            if _depth == 1:
                sys.stdout, sys.stderr = _wrapped(sys.stdout), _wrapped(sys.stderr)

    def __exit__(self, *_: object) -> None:
        global _depth
        with _lock:
            _depth -= 1
            if not _depth:
                sys.stdout, sys.stderr = _unwrapped(sys.stdout), _unwrapped(sys.stderr)


def _wrapped(stream: Any) -> Any:
    if stream is None or isinstance(stream, Shown):
        return stream
    found = next((shown for shown in _kept if shown.stream is stream), None)
    if found is None:
        _kept.append(found := Shown(stream))
    return found


def _unwrapped(stream: Any) -> Any:
    return stream.stream if isinstance(stream, Shown) else stream


def _say(error: OSError) -> None:
    """Log once that output cannot be shown; the log may go where the output goes."""
    global _said
    if not _said:
        _said = True
        _log.warning("what tasks print cannot be shown (%s); they go on", error)


_said = False
_descriptors: list[int] = []  # of a worker process's streams


# --- in a process that is ours ------------------------------------------------------------------------------------


def show_all() -> None:
    """Have nothing that Python code prints in this worker be an error, whatever becomes of where it goes."""
    sys.stdout = sys.__stdout__ = _forgiving(sys.stdout)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _forgiving(sys.stderr)  # type: ignore[misc]


def let_go_of_broken() -> None:
    """Send output that goes nowhere, or to a full disk, to /dev/null in this worker.

    Programs that tasks start would fail for it.
    """
    poll = select.poll()
    for descriptor in _descriptors:
        poll.register(descriptor, 0)
    broken = [descriptor for descriptor, event in poll.poll(0) if event & _BROKEN]
    for descriptor in {*broken, *filter(_is_on_full_disk, _descriptors)}:
        _let_go(descriptor)


def _is_on_full_disk(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and not os.fstatvfs(descriptor).f_bavail
    except OSError:  # a task has closed it, or its file system is gone
        return False


def _let_go(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


class _Descriptor(io.RawIOBase):
    """Wrap a file descriptor so that it takes all that is written to it."""

    def __init__(self, descriptor: int, stream: TextIO) -> None:
        self._descriptor = descriptor
        self._stream = stream  # kept: where the end of that object would close the descriptor
        self.name = getattr(stream, "name", descriptor)
        self.mode = "wb"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            if poll.poll(_PATIENCE):
                with contextlib.suppress(OSError):
                    return os.write(self._descriptor, data)
        except OSError:
            _let_go(self._descriptor)
        return len(data)


def _forgiving(stream: Any) -> Any:
    if not isinstance(stream, io.TextIOWrapper):  # None: there is nowhere to print to
        return stream
    _descriptors.append(stream.fileno())
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(stream.fileno(), stream)),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
