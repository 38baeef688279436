"""Count the cpus that this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def usable_cpus() -> int:
    """Return how many cpus of the machine the scheduler and the container leave to this process; at least 1."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # another system; a container's filter
        cpus = os.cpu_count() or 1
    return max(1, min(cpus, _quota(cpus)))


def _quota(without: int) -> int:
    """Return what a container's cgroup (version 2) grants, rounded up."""
    try:
        quota, _, period = Path("/sys/fs/cgroup/cpu.max").read_text().partition(" ")
    except OSError:  # there is none, or it is not ours to read
        return without
    return without if quota == "max" else math.ceil(int(quota) / int(period or 100_000))
