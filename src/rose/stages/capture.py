"""Keep what a function task prints in the run directory, as it comes, in the process that runs the task.

It still goes where it went. Only what Python code writes to `sys.stdout` and `sys.stderr` is seen, not what libraries
and child processes write to the terminal themselves; of a machine that does not see the run directory, nothing is.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from rose.engine.functions.printing import Shown

KEPT = 64 * 1024  # bytes of each stream that are kept: the last ones

_lock = threading.Lock()
_captures: dict[int, _Capture] = {}  # by thread
_awaited: ContextVar[_Capture | None] = ContextVar("rose_capture", default=None)  # of tasks in the driver's event loop
_kept: set[_Capture] = set()  # all of them
_tees: dict[str, _Tee] = {}  # by the stream's name


class capturing:  # a class, for every task enters one, and generators are slow
    """Keep what this thread prints meanwhile as the output of the task with this key, in the run directory `run`.

    In the main thread (there, nothing else runs beside a task) also what threads of the task print.
    """

    __slots__ = ("_capture", "_thread")

    def __init__(self, run: str, key: str) -> None:
        self._thread = threading.get_ident()
        self._capture = _Capture(run, key)

    def __enter__(self) -> None:
        with _lock:
            _captures[self._thread] = self._capture
            _listen(self._capture)

    def __exit__(self, *_: object) -> None:
        with _lock:
            del _captures[self._thread]
            _unlisten(self._capture)
        self._capture.close()


@contextlib.contextmanager
def capturing_awaited(run: str | None, key: str) -> Iterator[None]:
    """Do as `capturing`, of the asyncio task that enters this, one of many in a thread (`run` None: keep nothing)."""
    if run is None:
        yield
        return
    capture = _Capture(run, key, held=False)
    token = _awaited.set(capture)
    with _lock:
        _listen(capture)
    try:
        yield
    finally:
        with _lock:
            _unlisten(capture)
        capture.close()
        _awaited.reset(token)


def _listen(capture: _Capture) -> None:
    _kept.add(capture)
    if type(sys.stdout) is not _Tee and sys.stdout is not None:
        sys.stdout = _tee("stdout", sys.stdout)
    if type(sys.stderr) is not _Tee and sys.stderr is not None:
        sys.stderr = _tee("stderr", sys.stderr)


def _unlisten(capture: _Capture) -> None:
    _kept.discard(capture)
    if not _kept:
        if type(sys.stdout) is _Tee:
            sys.stdout = sys.stdout.stream
        if type(sys.stderr) is _Tee:
            sys.stderr = sys.stderr.stream


def _tee(name: str, stream: TextIO) -> Any:
    """Return the last one, if it is of this stream."""
    tee = _tees.get(name)
    if tee is None or tee.stream is not stream:
        tee = _tees[name] = _Tee(stream, name)
    return tee


class _Tee:
    """Write to a stream, and also to the capture of the task that wrote."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self.stream = stream
        self._name = name

    def write(self, text: str) -> int:
        count = self.stream.write(text)
        capture = _awaited.get() or _captures.get(threading.get_ident())
        capture = capture or _captures.get(threading.main_thread().ident or 0)
        if capture is not None:
            capture.write(self._name, text)
        return count

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Capture:
    """Hold the files of one task, made when it first prints. They stay open if `held`: thousands cannot be."""

    __slots__ = ("_broken", "_files", "_held", "_key", "_lock", "_run")

    def __init__(self, run: str, key: str, held: bool = True) -> None:
        self._held = held
        self._run = run
        self._key = key
        self._files: dict[str, int] = {}
        self._broken = False
        self._lock = threading.Lock()

    def write(self, name: str, text: str) -> None:
        data = text.encode(errors="backslashreplace")
        with self._lock:
            if self._broken or not data:
                return
            try:
                if name not in self._files:
                    self._files[name] = self._open(name)
                file = self._files[name]
                os.write(file, data)
                size = os.fstat(file).st_size
                if size > 2 * KEPT:
                    tail = os.pread(file, KEPT, size - KEPT)
                    os.ftruncate(file, 0)
                    os.write(file, b"[what came before is not kept]\n" + tail)
                if not self._held:
                    os.close(self._files.pop(name))
            except OSError as error:  # a task does not fail because its prints cannot be kept
                self._broken = True
                if not isinstance(error, _ElsewhereError):
                    Shown(_original_stderr()).write(f"rose: what {self._key} prints is not kept any more: {error}\n")

    def close(self) -> None:
        with self._lock:
            self._broken = True  # what a thread of the task still prints is not kept
            for file in self._files.values():
                os.close(file)

    def _open(self, name: str) -> int:
        from rose.store.files.paths import DATABASE, OUTPUT, place_in  # here: most tasks print nothing

        run = Path(self._run)
        if not (run / DATABASE).exists():
            raise _ElsewhereError
        folder = run / OUTPUT / place_in(run, self._key)
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


class _ElsewhereError(OSError):
    """Say that this machine does not see the run directory."""


def _original_stderr() -> Any:
    return sys.stderr.stream if isinstance(sys.stderr, _Tee) else sys.stderr
