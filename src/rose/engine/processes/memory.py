"""Hold a task to what it asked for, and tell an end for want of memory from other ends.

The limit is RLIMIT_DATA, so the kernel refuses what is beyond it, and nobody has to look now and then. What counts is
what a process has reserved for data (heap, anonymous and private writable mappings, threads' stacks), touched or not;
not its code, nor files that are mapped read-only. Each process that the task starts inherits the limit for itself:
together they may take more. Where all tasks together take too much, the kernel's out-of-memory killer ends one of them;
it only says how often it did.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from rose.engine.blame import command_met_place, ended_from_outside, is_asked_to_end
from rose.engine.failures import unpack_failure
from rose.engine.processes.process import describe_exit
from rose.engine.protocol import Task
from rose.errors import MemoryExhaustedError, OutOfMemoryError, WorkerLostError, WorkerTakenError

if sys.platform != "win32":
    import resource

# Elsewhere the kernel takes no notice of RLIMIT_DATA; without /proc nobody can tell what a process has already.
ENFORCED = sys.platform == "linux" and os.access("/proc/self/status", os.R_OK)

# How libraries and programs that know no MemoryError say it. A gpu's memory is another matter.
_REFUSED = re.compile(
    r"MemoryError|bad_alloc|(cannot|can't|could not|failed to|unable to) allocate|out of memory", re.IGNORECASE
)
_DEVICE = re.compile(r"CUDA|\bHIP\b|\bgpu\b", re.IGNORECASE)
_KILLED = (-9, 128 + 9, 9)  # exit codes after SIGKILL: of the process itself, as shells and as MPI launchers say it
_GROUPS = Path("/sys/fs/cgroup")
_FRESH = 0.05  # seconds for which a count is taken as still right: a task's begin costs no read of its own
_ADVICE = "ask for more (memory=), or make it need less"
_KILLERS = (
    "the kernel's out-of-memory killer ended it: there was no more memory, whoever took it. Run fewer tasks at a time; "
    "memory= says what each takes, and one that takes more fails by itself"
)


# --- the limit -------------------------------------------------------------------------------------------------------


class MemoryLimit:
    """Hold this process to `memory` bytes more than it has now, from `hold` to `lift`."""

    def __init__(self) -> None:
        self._soft, self._hard = resource.getrlimit(resource.RLIMIT_DATA)
        self._resident: int | None = None

    def hold(self, memory: int) -> None:
        """Set the limit; from now on `peak` counts anew."""
        status = _status()
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # the peak of what is resident begins here
            self._resident = status["VmRSS"]
        except OSError:  # a kernel without it: the peak is not known
            self._resident = None
        wanted = status["VmData"] + memory
        resource.setrlimit(resource.RLIMIT_DATA, (_lower(wanted, self._soft), self._hard))

    def lift(self) -> None:
        """Give this process back what it may by itself."""
        resource.setrlimit(resource.RLIMIT_DATA, (self._soft, self._hard))

    def peak(self) -> int | None:
        """Return the most bytes really in use since `hold`, beyond those before; None if that is not known."""
        return None if self._resident is None else max(0, _status()["VmHWM"] - self._resident)


def limited(argv: Sequence[str], memory: int, env: Mapping[str, str], cwd: Path | None) -> Sequence[str]:
    """Return a command's arguments, so that its process and each that it starts is held to `memory` bytes.

    By way of a shell, as the limit must be there before the program is and before it starts others. A program that is
    not there is left as it is: the error is then the usual one.
    """
    program = argv[0]
    path = os.path.join(cwd or "", program) if "/" in program else program
    if shutil.which(path, path=env.get("PATH")) is None:
        return argv
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    kibibytes = max(1, _lower(memory, hard) // 1024)
    return ["/bin/sh", "-c", f'ulimit -S -d {kibibytes} && exec "$@"', "sh", *argv]


def _lower(wanted: int, limit: int) -> int:
    return wanted if limit == resource.RLIM_INFINITY else min(wanted, limit)


def _status() -> dict[str, int]:
    """Return what the kernel says of this process's memory, in bytes."""
    with open("/proc/self/status") as file:
        lines = [line.split() for line in file if line.startswith("Vm")]
    return {name.rstrip(":"): int(kibibytes) * 1024 for name, kibibytes, _ in lines}


# --- the kernel's killer ---------------------------------------------------------------------------------------------


class OutOfMemoryKiller:
    """Count the kills in our own memory cgroup (where there is none: on this machine) that no task's end explains."""

    def __init__(self) -> None:
        self._file = -1
        self._count = self._explained = 0
        self._read = -_FRESH
        self._lock = threading.Lock()

    def kills(self) -> int:
        """Return how many kills are not explained so far: what a task takes down when it begins."""
        with self._lock:
            if monotonic() - self._read >= _FRESH:
                self._look()
            return self._count - self._explained

    def killed(self, before: int) -> bool:
        """Return whether the kernel may have killed a task that began when `before` kills were unexplained.

        A kill is then explained by this task.
        """
        with self._lock:
            self._look()
            if self._count - self._explained <= before:
                return False
            self._explained += 1
            return True

    def close(self) -> None:
        """Close the file: nobody looks any more."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -2

    def _look(self) -> None:
        if self._file == -1:
            source = counter()
            self._file = -2 if source is None else os.open(source, os.O_RDONLY)
        if self._file >= 0:
            try:
                self._count = oom_kills(os.pread(self._file, 65536, 0).decode())
            except OSError:  # the group has been removed while we are in it, as some containers' ends do
                os.close(self._file)
                self._file = -2
            self._read = monotonic()


def oom_kills(text: str) -> int:
    """Read the kernel's count in a cgroup's memory.events (version 2), memory.oom_control (1), or /proc/vmstat.

    >>> oom_kills("low 0\\nhigh 0\\noom 3\\noom_kill 2\\n")
    2
    """
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)


def counter(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """Find the file that has the count for this process; None where the system has none."""
    places: list[Path] = []
    for line in own.read_text().splitlines() if os.access(own, os.R_OK) else []:
        _, controllers, path = line.split(":", 2)
        # A container sees its own group at the top, under whatever path it says.
        if "memory" in controllers.split(","):
            places[:0] = [groups / "memory" / top / "memory.oom_control" for top in (path.lstrip("/"), "")]
        elif not controllers:
            places += [groups / top / "memory.events" for top in (path.lstrip("/"), "")]
    places.append(Path("/proc/vmstat"))
    return next((place for place in places if os.access(place, os.R_OK)), None)


# --- ends for want of memory ----------------------------------------------------------------------------------------


def was_refused(error: BaseException | None) -> bool:
    """Tell whether an exception, or its cause, means that the task was refused memory."""
    while error is not None:
        if isinstance(error, MemoryError) or says_refused(f"{type(error).__name__}: {error}"):
            return True
        error = error.__cause__
    return False


def says_refused(text: str) -> bool:
    """Tell whether what a program said means that it was refused memory.

    >>> says_refused("terminate called after throwing an instance of 'std::bad_alloc'")
    True
    >>> says_refused("torch.OutOfMemoryError: CUDA out of memory")
    False
    """
    return any(_REFUSED.search(line) and not _DEVICE.search(line) for line in text.splitlines())


def size(count: int) -> str:
    """Write bytes as people do.

    >>> size(1_500_000_000), size(2000)
    ('1.5 GB', '2 kB')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"


def refused(task: Task, peak: int | None, failure: bytes) -> OutOfMemoryError:
    """Make the error of a function that was refused memory at a `peak` of bytes; `failure` is its exception as sent."""
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
    """Make the error of a function whose worker died; `kills` is what the killer had counted when the task began."""
    when = "while it ran" if begun else "before it could begin"
    text = f"its worker process died {when} ({describe_exit(exit_code)})"
    if exit_code == -signal.SIGKILL and killer.killed(kills):
        return MemoryExhaustedError(f"{text}: {_KILLERS}", str(task.key))
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
    """Make the error of a command that ended for want of memory, having said `last_words`; None: for something else."""
    text = f"command ended with {describe_exit(exit_code)}"
    if exit_code in _KILLED and killer.killed(kills):
        return MemoryExhaustedError(f"{text}: {_KILLERS}", str(task.key))
    if command_met_place(exit_code, last_words):
        return None
    if task.resources.memory and ENFORCED and says_refused(last_words):
        why = f"when it, or what it started, wanted more than the {_asked(task)} of memory it asked for"
        return OutOfMemoryError(f"{text} {why}: {_ADVICE}", str(task.key))
    return None


def _asked(task: Task) -> str:
    return size(task.resources.memory or 0)
