"""Bring in the compiled kernels, and threads to run them on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType

from rose.cpus import usable_cpus

# Work on (block, low, high); how many rows in all; how many in a block: fixed, lest sums depend on how many threads
Work = Callable[[int, int, int], None]
Run = Callable[[Work, int, int], None]


@functools.cache
def kernels() -> ModuleType | None:
    """Return the module of compiled kernels, or None without numba; the plain definitions serve then."""
    try:
        from rose.acquisition import _kernels as module
    except ImportError:
        return None
    return module


@contextmanager
def workers() -> Iterator[Run]:
    """Yield `run(work, n, rows)`, which calls `work(block, low, high)` for each block of rows below n, on all cores.

    Plain threads over kernels that release the GIL, rather than numba's own parallel loops: those must not be entered
    from two threads at once, nor after a fork, and a library cannot forbid its user either.
    """
    cores = usable_cpus()
    with ThreadPoolExecutor(cores, thread_name_prefix="rose-acquisition") as pool:

        def run(work: Work, n: int, rows: int) -> None:
            tasks = [(block, low, min(low + rows, n)) for block, low in enumerate(range(0, n, rows))]
            if len(tasks) == 1 or cores == 1:
                for task in tasks:
                    work(*task)
            else:
                list(pool.map(lambda task: work(*task), tasks))  # list: raise what a block raised

        yield run
