"""What a function task prints, kept in the run directory as it comes, in the process that runs the task.

It still goes where it went. Only what Python code writes to `sys.stdout` and `sys.stderr` is seen, not what libraries
and child processes write to the terminal themselves; of a machine that does not see the run directory, nothing is.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

KEPT = 64 * 1024  # bytes of each stream that are kept: the last ones

_lock = threading.Lock()
_prints: dict[int, _Prints] = {}  # by thread


@contextlib.contextmanager
def keeping_prints(run: str, key: str) -> Iterator[None]:
    """Keep what this thread prints meanwhile as the output of the task with this key, in the run directory `run`.

    In the main thread (there, nothing else runs beside a task) also what threads of the task print.
    """
    thread, prints = threading.get_ident(), _Prints(run, key)
    with _lock:
        _prints[thread] = prints
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and type(stream) is not _Tee:
                setattr(sys, name, _Tee(stream, name))
    try:
        yield
    finally:
        with _lock:
            del _prints[thread]
            if not _prints:
                for name in ("stdout", "stderr"):
                    stream = getattr(sys, name)
                    if type(stream) is _Tee:
                        setattr(sys, name, stream.stream)
        prints.close()


class _Tee:
    """A stream that also gives what is written to it to the task that wrote it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self.stream = stream
        self._name = name

    def write(self, text: str) -> int:
        count = self.stream.write(text)
        prints = _prints.get(threading.get_ident()) or _prints.get(threading.main_thread().ident or 0)
        if prints is not None:
            prints.write(self._name, text)
        return count

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Prints:
    """The files of one task, made when it first prints."""

    def __init__(self, run: str, key: str) -> None:
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
            except OSError as error:  # a task does not fail because its prints cannot be kept
                self._broken = True
                if not isinstance(error, _ElsewhereError):
                    _original_stderr().write(f"rose: what {self._key} prints is not kept any more: {error}\n")

    def close(self) -> None:
        with self._lock:
            self._broken = True
            for file in self._files.values():
                os.close(file)

    def _open(self, name: str) -> int:
        from rose.store.places import DATABASE, OUTPUT, place_of  # here: most tasks print nothing

        run = Path(self._run)
        if not (run / DATABASE).exists():
            raise _ElsewhereError
        folder = run / OUTPUT / place_of(self._key)
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


class _ElsewhereError(OSError):
    """This machine does not see the run directory."""


def _original_stderr() -> Any:
    return sys.stderr.stream if isinstance(sys.stderr, _Tee) else sys.stderr
