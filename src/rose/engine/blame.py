"""Tell whose failure a failure is: the task's own, or that of the place where it was to run (`PlaceError`).

A task is to blame for what its function raises, for the exit code of its command, its timeout, its own memory limit,
and for a crash of its process. Everything else would have hit any other task there just as well.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from subprocess import CalledProcessError


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


# What no calculation brings about by itself, whoever meets it: full, broken and read-only disks, file systems that are
# gone, no more files, memory or processes to be had.
_CODES = _numbers(
    *("ENOSPC", "EDQUOT", "EIO", "EREMOTEIO", "EROFS", "ESTALE", "ENODEV", "ENXIO", "ETXTBSY", "EUCLEAN", "EBADMSG"),
    *("EMFILE", "ENFILE", "ENOMEM", "ENOLCK", "EUSERS", "ENOBUFS", "ENOKEY", "EKEYEXPIRED"),
)
# Machines and services that are not there: only if that is what the function failed with, for it may do without.
_NETWORK = _numbers(
    *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ECONNREFUSED", "ETIMEDOUT", "ENOLINK", "ESHUTDOWN"),
    *("ENOTCONN", "ENETRESET", "ECONNABORTED", "ECONNRESET"),
)
# The same in words: of programs that only say it, and of libraries whose errors have no number. They end what is said,
# but for the file's name.
_WORDS = "|".join(
    re.escape(words)
    for words in (
        *map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EROFS)),
        *(os.strerror(errno.EIO), os.strerror(errno.ENOTCONN), "database or disk is full", "disk I/O error"),
    )
)
_SAID = re.compile(rf"(?:^|[\s:\]])(?:{_WORDS})[.!]?(?::? ['\"/(].*)?$")
_SHORT_WRITE = re.compile(r"^\d+ requested and \d+ written$")  # NumPy's, where a disk is full
_LIBRARY = re.compile(r"error while loading shared libraries: ")  # what the dynamic linker says of a program
_NOT_STARTED = {  # what shells say of a program that is not there, or not executable, by their exit code
    127: re.compile(r"not found|No such file or directory|Unknown command"),
    126: re.compile(r"Permission denied|cannot execute|Exec format error|[Ii]s a directory"),
}

# The signals by which a process ends through its own doing, or its own limits; all others are sent to it.
_OWN = frozenset(
    getattr(signal, name)
    for name in (
        *("SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"),
        *("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGXFSZ"),
    )
    if hasattr(signal, name)
)
_ASKING = frozenset(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)


def is_of_place(error: BaseException) -> bool:
    """Return whether what a task's function raised, or what that came from, is the failure of the place.

    >>> is_of_place(OSError(errno.ENOSPC, "No space left on device")), is_of_place(FileNotFoundError("mesh.inp"))
    (True, False)
    """
    return any(
        (isinstance(one, OSError) and one.errno in _CODES) or (meant and _means_place(one))
        for one, meant in _with_causes(error)
    )


def ended_from_outside(code: int) -> bool:
    """Return whether a process that ended with this code (negative: by that signal) was ended by somebody else.

    >>> ended_from_outside(-9), ended_from_outside(-11), ended_from_outside(1)
    (True, False, False)
    """
    return code < 0 and -code not in _OWN


def command_met_place(code: int, last_words: str | None) -> bool:
    """Return whether a command that ended with this code met a place that failed.

    `last_words` is what it said last; None: nobody listened.

    >>> command_met_place(127, "sh: solve: not found"), command_met_place(1, "dd: No space left on device")
    (True, True)
    >>> command_met_place(127, "not converged"), command_met_place(1, "")
    (False, False)
    """
    if ended_from_outside(code):
        return True
    if last_words is None:
        return code in _NOT_STARTED
    last = last_words.rstrip().rpartition("\n")[2]
    if code in _NOT_STARTED and (_NOT_STARTED[code].search(last) or _LIBRARY.search(last)):
        return True
    return bool(_SAID.search(last))


def is_asked_to_end(code: int) -> bool:
    """Return whether it was ended by a signal that a batch system sends before it kills, perhaps to us as well.

    A shell adds 128 to the number of the signal that its program ended by.
    """
    return -code in _ASKING or code - 128 in _ASKING


def _means_place(error: BaseException) -> bool:
    if isinstance(error, ImportError):
        return error.name is not None  # else somebody uses the class for something of theirs
    if isinstance(error, CalledProcessError):
        said = error.stderr
        return command_met_place(error.returncode, said.decode(errors="replace") if isinstance(said, bytes) else said)
    if isinstance(error, RuntimeError):
        return str(error) == "can't start new thread"
    if isinstance(error, sqlite3.Error):
        return bool(_SAID.search(str(error)))
    if not isinstance(error, OSError):
        return False
    if error.errno is None:
        return bool(re.search(_WORDS, str(error)) or _SHORT_WRITE.search(str(error)))
    return (
        error.errno in _NETWORK or isinstance(error, socket.gaierror) or _could_not_start(error) or _has_no_temp(error)
    )


def _has_no_temp(error: OSError) -> bool:
    """Return whether there is no temporary directory (any more)."""
    if "No usable temporary directory found" in str(error):
        return True
    temp = tempfile.tempdir
    return isinstance(temp, str) and str(error.filename or "").startswith(temp) and not os.path.isdir(temp)


def _could_not_start(error: OSError) -> bool:
    """Return whether a program that the function wanted to run is not there, or no process could be made for it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    # The function of `subprocess`, which `asyncio` uses, too.
    if trace is None or trace.tb_frame.f_code.co_name != "_execute_child":
        return False
    named_cwd = error.filename is not None and error.filename == trace.tb_frame.f_locals.get("cwd")
    return isinstance(error, (FileNotFoundError, PermissionError, BlockingIOError)) and not named_cwd


def _with_causes(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """Return the error and all that it came from; whether each is what was meant, or was merely being dealt with."""
    seen: set[int] = set()
    waiting = [(error, True)]
    while waiting:
        one, meant = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one, meant
        if one.__cause__ is not None:
            waiting.append((one.__cause__, meant))
        elif one.__context__ is not None and not one.__suppress_context__:
            waiting.append((one.__context__, False))
        if isinstance(one, BaseExceptionGroup):
            waiting += [(other, meant) for other in one.exceptions]
