"""Ask the kernel, and do without where an old one, a container's filter or a parent refuses."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("rose")


def open_pidfd(pid: int) -> int:
    """Return a descriptor that tells of a process's end; -1 where there is none to be had.

    It is tried each time: that Python has the function says nothing of the kernel, or of a container's filter.

    Raises:
        ProcessLookupError: there is no such process.
    """
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:  # ENOSYS, EPERM, EMFILE: who called has another way, which takes no descriptor
        return -1


def hear_of_children() -> None:
    """Have the kernel keep the exit codes of children: where SIGCHLD is ignored, it throws them away.

    A parent may have left it so (it is inherited), and a program may have meant to have no zombies. Failures would
    count as successes.
    """
    if not hasattr(signal, "SIGCHLD") or signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN:
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        logger.info("SIGCHLD was ignored, which loses the exit codes of commands: it is so no more")
    else:  # Python lets the main thread alone do it
        ctypes.CDLL(None).signal(int(signal.SIGCHLD), None)


@contextmanager
def deaf() -> Iterator[None]:
    """Start a process here that no signal reaches: this thread's blocked signals are inherited."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Python ignores some signals, which a program that it becomes would inherit.
_REACHABLE = (
    "import os, signal, sys; signal.signal(signal.SIGPIPE, signal.SIG_DFL); "
    "signal.signal(signal.SIGXFSZ, signal.SIG_DFL); "
    "signal.pthread_sigmask(signal.SIG_SETMASK, ()); os.execvp(sys.argv[1], sys.argv[1:])"
)


def reachable(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> Sequence[str]:
    """Return a command's arguments, so that no signal is blocked in it: stopping it begins with SIGTERM.

    A parent of the driver may have left it so. By way of Python, as nothing simpler can do it; a program that is not
    there is left as it is: the error is then the usual one.
    """
    if not hasattr(signal, "pthread_sigmask") or not signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        return argv
    path = os.path.join(cwd or "", argv[0]) if "/" in argv[0] else argv[0]
    if shutil.which(path, path=env.get("PATH")) is None:
        return argv
    return [sys.executable, "-I", "-S", "-c", _REACHABLE, *argv]


def hear_signals() -> None:
    """Have all signals reach this process, which we started, whatever the driver's parent has blocked.

    Those that it ignores (as nohup and a shell's `trap ''` have it) stay ignored, as in the driver, but for SIGCHLD.
    """
    hear_of_children()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
