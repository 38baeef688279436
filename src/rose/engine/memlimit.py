"""A task's memory limit: RLIMIT_DATA, so the kernel refuses what is beyond it, and nobody has to look now and then.

What counts is what a process has reserved for data (heap, anonymous and private writable mappings, threads' stacks),
touched or not; not its code, nor files that are mapped read-only. Each process that the task starts inherits the limit
for itself: together they may take more.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if sys.platform != "win32":
    import resource

# Elsewhere the kernel takes no notice of RLIMIT_DATA; without /proc nobody can tell what a process has already.
ENFORCED = sys.platform == "linux" and os.access("/proc/self/status", os.R_OK)
# How libraries and programs that know no MemoryError say it. A gpu's memory is another matter.
_REFUSED = re.compile(
    r"MemoryError|bad_alloc|(cannot|can't|could not|failed to|unable to) allocate|out of memory", re.IGNORECASE
)
_DEVICE = re.compile(r"CUDA|\bHIP\b|\bgpu\b", re.IGNORECASE)


def was_refused(error: BaseException | None) -> bool:
    """Whether an exception, or its cause, means that the task was refused memory."""
    while error is not None:
        if isinstance(error, MemoryError) or says_refused(f"{type(error).__name__}: {error}"):
            return True
        error = error.__cause__
    return False


def says_refused(text: str) -> bool:
    """Whether what a program said means that it was refused memory.

    >>> says_refused("terminate called after throwing an instance of 'std::bad_alloc'")
    True
    >>> says_refused("torch.OutOfMemoryError: CUDA out of memory")
    False
    """
    return any(_REFUSED.search(line) and not _DEVICE.search(line) for line in text.splitlines())


def size(count: int) -> str:
    """Bytes as people write them.

    >>> size(1_500_000_000), size(2000)
    ('1.5 GB', '2 kB')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"


class MemoryLimit:
    """Holds this process to `memory` bytes more than it has now, from `hold` to `lift`."""

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
        """Back to what this process may by itself."""
        resource.setrlimit(resource.RLIMIT_DATA, (self._soft, self._hard))

    def peak(self) -> int | None:
        """The most bytes that were really in use since `hold`, beyond those before; None if not known."""
        return None if self._resident is None else max(0, _status()["VmHWM"] - self._resident)


def limited(argv: Sequence[str], memory: int, env: Mapping[str, str], cwd: Path | None) -> Sequence[str]:
    """A command's arguments, so that its process and each that it starts is held to `memory` bytes.

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
    """What the kernel says of this process's memory, in bytes."""
    with open("/proc/self/status") as file:
        lines = [line.split() for line in file if line.startswith("Vm")]
    return {name.rstrip(":"): int(kibibytes) * 1024 for name, kibibytes, _ in lines}
