"""End a workflow by other limits than its criterion: iterations, labels, seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rose.errors import ConfigurationError
from rose.loop.checks import check_count
from rose.loop.state import StopReason

# Tells whether the workflow has to end after this iteration, given how many labels it holds (None: not known).
Ending = Callable[[int | None], StopReason | None]


@dataclass(frozen=True)
class Limits:
    """Say when a workflow ends, whatever its criterion says.

    0 and None: no such limit. `max_time` is in seconds; an iteration that has begun is finished, because its
    simulations are paid for.
    """

    max_iter: int = 0
    budget: int | None = None
    max_time: float | None = None

    def ending(self, iteration: int, started: float) -> Ending:
        """Return what to ask in `iteration` of a workflow that began at `started` (monotonic clock)."""

        def reason(labels: int | None) -> StopReason | None:
            if self.max_iter and iteration + 1 >= self.max_iter:
                return StopReason.MAX_ITER
            if self.budget is not None and labels is not None and labels >= self.budget:
                return StopReason.BUDGET
            if self.max_time is not None and time.monotonic() - started >= self.max_time:
                return StopReason.MAX_TIME
            return None

        return reason


def check_limits(max_iter: int, budget: int | None, max_time: float | None) -> Limits:
    """Return the ends of a run other than its criterion.

    Raises:
        ConfigurationError: if one cannot be.
    """
    check_count(max_iter, "max_iter", 0)
    if budget is not None:
        check_count(budget, "budget", 1)
    if max_time is not None and (math.isnan(max_time) or max_time <= 0):
        raise ConfigurationError(f"max_time={max_time!r} must be positive seconds")
    return Limits(max_iter, budget, max_time)
