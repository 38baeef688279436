"""Walk over candidates in blocks: every metric asked for from one read, on all cores, in bounded memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

from rose.cpus import usable_cpus
from rose.errors import ConfigurationError

Work = Callable[[int, int], None]


def thread_count(threads: int | None) -> int:
    """Return how many threads to use: as asked, else the CPUs this process may use, at most NUMBA_NUM_THREADS.

    Raises:
        ConfigurationError: if `threads` is less than 1.
    """
    if threads is not None:
        if threads < 1:
            raise ConfigurationError(f"threads={threads} must be 1 or more")
        return threads
    cpus = usable_cpus()
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    return min(cpus, int(limit)) if limit.isdigit() and int(limit) > 0 else cpus


def each_block(n: int, size: int, threads: int, work: Work) -> None:
    """Call `work(low, high)` for all blocks of candidates; blocks are handed out in order to whichever thread is free.

    Raises:
        Exception: the error of the first block (in order) that failed; later blocks are not started.
    """
    blocks = iter([(low, min(low + size, n)) for low in range(0, n, size)])
    if threads == 1 or n <= size:
        for low, high in blocks:
            work(low, high)
        return
    _in_threads(blocks, threads, work)


def _in_threads(blocks: Iterator[tuple[int, int]], threads: int, work: Work) -> None:
    lock = threading.Lock()
    failed: list[tuple[int, BaseException]] = []

    def loop() -> None:
        while not failed:
            with lock:
                low, high = next(blocks, (0, -1))
            if high < 0:
                return
            try:
                work(low, high)
            except BaseException as error:
                failed.append((low, error))

    helpers = [threading.Thread(target=loop, name=f"rose-scoring-{i}", daemon=True) for i in range(1, threads)]
    for helper in helpers:
        helper.start()
    loop()
    for helper in helpers:
        helper.join()
    if failed:
        raise min(failed, key=lambda entry: entry[0])[1]
