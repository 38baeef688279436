"""Whether the kernel's out-of-memory killer has been at work: it sends a SIGKILL like any other, and counts it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from time import monotonic

_GROUPS = Path("/sys/fs/cgroup")
_FRESH = 0.05  # seconds for which a count is taken as still right: a task's begin costs no read of its own
# The exit codes of what was killed, or whose child was: by SIGKILL itself, as shells say it, as MPI launchers say it.
KILLED = (-9, 128 + 9, 9)


class OutOfMemoryKiller:
    """Counts the kills in our own memory cgroup (where there is none: on this machine) that no task's end explains."""

    def __init__(self) -> None:
        self._file = -1
        self._count = self._explained = 0
        self._read = -_FRESH
        self._lock = threading.Lock()

    def kills(self) -> int:
        """The kills so far that are not explained: what a task takes down when it begins."""
        with self._lock:
            if monotonic() - self._read >= _FRESH:
                self._look()
            return self._count - self._explained

    def killed(self, before: int) -> bool:
        """Whether a task that was killed, and began when `before` kills were unexplained, may have been by the kernel.

        It is then explained by this task.
        """
        with self._lock:
            self._look()
            if self._count - self._explained <= before:
                return False
            self._explained += 1
            return True

    def close(self) -> None:
        """Look no more."""
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
    """The kernel's count, from a cgroup's memory.events (version 2), memory.oom_control (1), or /proc/vmstat.

    >>> oom_kills("low 0\\nhigh 0\\noom 3\\noom_kill 2\\n")
    2
    """
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)


def counter(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The file that has the count for this process; None where the system has none."""
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
