"""The errors of tasks whose processes died, those that ended for want of memory told apart."""

from __future__ import annotations

import signal

from rose.engine.blame import command_met_place, ended_from_outside, is_asked_to_end
from rose.engine.failures import unpack_failure
from rose.engine.memlimit import ENFORCED, says_refused, size
from rose.engine.oomkiller import KILLED, OutOfMemoryKiller
from rose.engine.process import describe_exit
from rose.engine.protocol import Task
from rose.errors import MemoryExhaustedError, OutOfMemoryError, WorkerLostError, WorkerTakenError

_ADVICE = "ask for more (memory=), or make it need less"
_KILLED = (
    "the kernel's out-of-memory killer ended it: there was no more memory, whoever took it. Run fewer tasks at a time; "
    "memory= says what each takes, and one that takes more fails by itself"
)


def refused(task: Task, peak: int | None, failure: bytes) -> OutOfMemoryError:
    """A function that was refused memory: `peak` is the most bytes it had, `failure` its exception as it was sent."""
    reason = unpack_failure(memoryview(failure), str(task.key))
    held = "" if peak is None else f"; it had {size(peak)}"
    error = OutOfMemoryError(
        f"stopped when it wanted more than the {_asked(task)} of memory it asked for{held} "
        f"({reason.message}): {_ADVICE}",
        str(task.key),
    )
    error.__cause__ = reason.__cause__
    return error


def worker_lost(task: Task, begun: bool, exit_code: int, killer: OutOfMemoryKiller, kills: int) -> WorkerLostError:
    """A function whose worker died unasked; `kills` is what the killer had counted when the task began."""
    when = "while it ran" if begun else "before it could begin"
    text = f"its worker process died {when} ({describe_exit(exit_code)})"
    if exit_code == -signal.SIGKILL and killer.killed(kills):
        return MemoryExhaustedError(f"{text}: {_KILLED}", str(task.key))
    if not begun or ended_from_outside(exit_code):
        taken = WorkerTakenError(text, str(task.key))
        taken.by_signal = is_asked_to_end(exit_code)
        return taken
    if task.resources.memory and ENFORCED and exit_code == -signal.SIGABRT:
        why = "under its memory limit: libraries in C and C++ abort when they are refused memory"
        return OutOfMemoryError(f"{text} {why}. It asked for {_asked(task)}; {_ADVICE}", str(task.key))
    return WorkerLostError(text, str(task.key))


def command_refused(
    task: Task, exit_code: int, last_words: str, killer: OutOfMemoryKiller, kills: int
) -> OutOfMemoryError | None:
    """Whether it was for want of memory that a command ended with this exit code; `last_words` is what it said."""
    text = f"command ended with {describe_exit(exit_code)}"
    if exit_code in KILLED and killer.killed(kills):
        return MemoryExhaustedError(f"{text}: {_KILLED}", str(task.key))
    if command_met_place(exit_code, last_words):
        return None
    if task.resources.memory and ENFORCED and says_refused(last_words):
        why = f"when it, or what it started, wanted more than the {_asked(task)} of memory it asked for"
        return OutOfMemoryError(f"{text} {why}: {_ADVICE}", str(task.key))
    return None


def _asked(task: Task) -> str:
    return size(task.resources.memory or 0)
