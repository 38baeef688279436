"""Hold what a learner's own methods decide in the place of a loop, where a subclass of the user's has them."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from rose.loop.state import IterationState

Verdict = Callable[[Any], tuple[bool, float]]  # of a task's result: whether to stop, and the value

# The state of the iteration that has just ended, while the user's method is asked for one.
building: ContextVar[IterationState | None] = ContextVar("rose_building", default=None)


@dataclass(frozen=True)
class Hooks:
    """Name the methods that a subclass has overridden; None: the loop does as it does.

    Attributes:
        compare: `(metric_name, value, threshold, operator)` -> whether the threshold is met.
        criterion: `(result)` of a stop criterion's task -> whether to stop, and the value.
        uncertainty: the same of an uncertainty task.
        state: `(iteration, metric_value=, should_stop=, current_config=)` -> what is given after an iteration.
    """

    compare: Callable[[str, float, float, str], bool] | None = None
    criterion: Verdict | None = None
    uncertainty: Verdict | None = None
    state: Callable[..., IterationState] | None = None

    def judging(self) -> list[str]:
        """Return what it has to say of numbers."""
        return [name for name in ("compare", "criterion", "uncertainty") if getattr(self, name) is not None]


NO_HOOKS = Hooks()
