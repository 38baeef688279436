"""Show Dask what waits: an adaptive cluster grows with the tasks that Dask knows of, and ours wait with us."""

from __future__ import annotations

import asyncio
from collections import Counter

from distributed import Future

from rose.engine.dask._connection import Connection
from rose.engine.dask.placement import Placement

DELAY = 0.5  # seconds for which something waits before it is shown
MOST = 100  # tasks that are shown; Dask looks at no more itself
NOWHERE = {"rose-demand": 1}  # a resource that no worker has


class AdaptiveDemand:
    """Show Dask tasks that can run nowhere, as many as cpus are waited for.

    They bear the names of the stages that wait, so Dask counts them with the time that such tasks took.
    """

    def __init__(self, connection: Connection, placement: Placement) -> None:
        self._connection = connection
        self._placement = placement
        self._shown: dict[str, list[Future]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Look again soon at what waits: it is more now, or less."""
        if self._timer is None and (self._shown or self._placement.has_waiting):
            self._timer = self._connection.loop.call_later(DELAY, self._show)

    def close(self) -> None:
        """Show Dask nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _show(self) -> None:
        self._timer = None
        if self._connection.lost is not None:
            return
        wanted: Counter[str] = Counter()
        for task in self._placement.waiting(MOST):
            wanted[task.key.stage] += min(task.resources.cpus, MOST - wanted.total())
        for stage in {*wanted, *self._shown}:
            self._show_stage(stage, wanted[stage])

    def _show_stage(self, stage: str, count: int) -> None:
        shown = self._shown.setdefault(stage, [])
        while len(shown) > count:
            shown.pop().release()
        missing = count - len(shown)
        if missing:
            keys = [self._connection.key(stage) for _ in range(missing)]
            shown += self._connection.client.map(abs, range(missing), key=keys, resources=NOWHERE, pure=False)
        if not shown:
            del self._shown[stage]
