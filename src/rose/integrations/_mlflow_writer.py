"""Have MLflow written to by a process of its own, which takes what trackers are told from a pipe, in order.

It imports MLflow, and computes, where the driver does not wait for it. It ends when the pipe ends, as it does when the
driver dies, and has then written all that it was told.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection, wait
from typing import Any

_BEGIN = (
    "import sys; from multiprocessing.connection import Connection; told = Connection(0); sys.path[:] = told.recv(); "
    "from rose.integrations._mlflow_writer import serve; serve(told)"
)
_PATIENCE = 10.0  # seconds that the driver's end waits for what is not written yet

# Where it works, and what MLflow is told by the environment: each has a process of its own.
Surroundings = tuple[str, frozenset[tuple[str, str]]]

_lock = threading.Lock()
_writers: dict[Surroundings, Writer] = {}


def surroundings() -> Surroundings:
    """Return those of this process, as they are now."""
    return os.getcwd(), frozenset((name, value) for name, value in os.environ.items() if name.startswith("MLFLOW_"))


def writer(where: Surroundings) -> Writer:
    """Return the process that writes for this one there; it is begun where there is none, or it has died."""
    with _lock:
        found = _writers.get(where)
        if found is None or not found.usable:
            found = _writers[where] = Writer(where)
            atexit.register(found.close)
        return found


class Writer:
    """Hold the process, and talk to it; from any thread."""

    def __init__(self, where: Surroundings) -> None:
        directory, variables = where
        pipe = subprocess.PIPE
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN],
            stdin=pipe,
            stdout=pipe,
            cwd=directory,
            env={**os.environ, **dict(variables)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._process.stdin, self._process.stdout:
            self._told = Connection(os.dup(self._process.stdin.fileno()), readable=False)
            self._answers = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._told.send(sys.path)

    @property
    def usable(self) -> bool:
        """Return whether it lives, and is this process's own."""
        return self._owner == os.getpid() and self._process.poll() is None

    def tell(self, tracker: int, method: str, arguments: tuple[Any, ...], *, waits: bool) -> None:
        """Tell it something of a tracker; with `waits`, until it is done.

        Raises:
            Exception: with `waits`, what it raised for this tracker since the last time.
            BrokenPipeError, EOFError: if it has died.
        """
        with self._lock:
            self._told.send((tracker, method, arguments, waits))
            error = self._answers.recv() if waits else None
        if error is not None:
            raise error

    def close(self) -> None:
        """Let it write what it has been told, and end; it is waited for some seconds."""
        if self._owner != os.getpid():
            return
        self._told.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._answers.close()


# --- in the process --------------------------------------------------------------------------------------------------


def serve(told: Connection) -> None:
    """Write what is told until the pipe ends; what goes wrong with a tracker is its answer, and ends it alone."""
    for one in (signal.SIGINT, signal.SIGTERM):  # meant for the driver, whose end is this one's
        signal.signal(one, signal.SIG_IGN)
    os.nice(10)  # it writes when nobody else computes
    answers = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # what MLflow prints is no answer
    driver = _driver()
    from rose.integrations._mlflow_runs import MLflowRuns

    trackers: dict[int, MLflowRuns] = {}
    errors: dict[int, BaseException] = {}
    with contextlib.suppress(
        EOFError, pickle.UnpicklingError, OSError
    ):  # it has ended, perhaps in the middle of a word
        while told in wait([told, *driver]):  # others may hold the pipe open when the driver is dead
            number, method, arguments, waits = told.recv()
            try:
                if method == "open":
                    trackers[number] = MLflowRuns(*arguments)
                elif number not in errors:
                    getattr(trackers[number], method)(*arguments)
            except BaseException as error:
                errors[number] = error
            if waits:
                _answer(answers, errors.pop(number, None))
    for number, tracker in trackers.items():
        if number not in errors:
            tracker.idle()


def _driver() -> list[int]:
    """Return what is ready when the driver has ended; nothing where the system has no such thing."""
    try:
        return [os.pidfd_open(os.getppid())]
    except (AttributeError, OSError):
        return []


def _answer(answers: Connection, error: BaseException | None) -> None:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # it cannot travel: what it says does
        error = RuntimeError(f"{type(error).__name__}: {error}")
    with contextlib.suppress(BrokenPipeError):
        answers.send(error)
