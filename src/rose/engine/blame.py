"""Whose failure a failure is: the task's own, or that of the place where it was to run (`PlaceError`).

A task is to blame for what its function raises, for the exit code of its command, its timeout, its own memory limit,
and for a crash of its process. Everything else would have hit any other task there just as well.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterator
from subprocess import CalledProcessError

# What no calculation brings about by itself, whoever meets it: full, broken and read-only disks, lost network file
# systems and machines, no more files, memory or processes to be had.
_CODES = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EIO", "EREMOTEIO", "EROFS", "ESTALE", "ENODEV", "ENXIO", "ETXTBSY"),
        *("EMFILE", "ENFILE", "ENOMEM", "ENOLCK", "EUSERS"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ECONNREFUSED", "ETIMEDOUT", "ENOLINK", "ESHUTDOWN"),
    )
    if hasattr(errno, name)
)
# The same in words: of programs that only say it, and of libraries whose errors have no number.
_WORDS = (
    *map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EROFS)),
    *("Input/output error", "database or disk is full", "disk I/O error", "can't start new thread"),
    *("error while loading shared libraries", "cannot open shared object file"),
)
_SHORT_WRITE = re.compile(r"\b\d+ requested and \d+ written")  # NumPy's, where a disk is full

# The signals by which a process ends through its own doing; all others are sent to it.
_OWN = frozenset(
    getattr(signal, name) for name in ("SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS")
    if hasattr(signal, name)
)  # fmt: skip
_SHELLS = frozenset(128 + number for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT))
NOT_STARTED = (126, 127)  # the exit codes of a program that is not executable, or not there


def is_of_place(error: BaseException) -> bool:
    """Whether what a task's function raised, or what that came from, is the failure of the place.

    >>> is_of_place(OSError(errno.ENOSPC, "No space left on device")), is_of_place(FileNotFoundError("mesh.inp"))
    (True, False)
    """
    return any(_has_code(one) or (meant and _means_place(one)) for one, meant in _with_causes(error))


def ended_from_outside(code: int) -> bool:
    """Whether a process that ended with this code (negative: by that signal) was ended by somebody else.

    >>> ended_from_outside(-9), ended_from_outside(-11), ended_from_outside(143), ended_from_outside(1)
    (True, False, True, False)
    """
    return code in _SHELLS or (code < 0 and -code not in _OWN)


def command_met_place(code: int, last_words: str) -> bool:
    """Whether a command that ended with this code, having said this last, met a place that failed.

    >>> command_met_place(127, ""), command_met_place(1, "dd: No space left on device"), command_met_place(1, "")
    (True, True, False)
    """
    return code in NOT_STARTED or ended_from_outside(code) or _says(last_words)


def is_asked_to_end(code: int) -> bool:
    """Whether it was ended by a signal that a batch system sends before it kills: perhaps to this process as well."""
    return ended_from_outside(code) and code not in (-signal.SIGKILL, 128 + signal.SIGKILL)


def _has_code(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _CODES


def _means_place(error: BaseException) -> bool:
    if isinstance(error, ImportError):
        return True
    if isinstance(error, CalledProcessError):
        said = error.stderr or ""
        return command_met_place(error.returncode, said.decode(errors="replace") if isinstance(said, bytes) else said)
    if isinstance(error, OSError) and _could_not_start(error):
        return True
    # Where there is a number, that is what counts; the words then may be anybody's.
    return getattr(error, "errno", None) is None and (_says(str(error)) or bool(_SHORT_WRITE.search(str(error))))


def _could_not_start(error: OSError) -> bool:
    """Whether a program that the function wanted to run is not there, or no process could be made for it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if (
        trace is None or trace.tb_frame.f_code.co_name != "_execute_child"
    ):  # `subprocess` names it so, `asyncio` uses it
        return False
    named_cwd = error.filename is not None and error.filename == trace.tb_frame.f_locals.get("cwd")
    return isinstance(error, (FileNotFoundError, PermissionError, BlockingIOError)) and not named_cwd


def _says(text: str) -> bool:
    return any(word in text for word in _WORDS)


def _with_causes(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """The error and all that it came from; whether each is what was meant, or was merely being dealt with."""
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
