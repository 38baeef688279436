"""What a run was asked for, and what a loop is: anything that makes workflows of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from rose.errors import ConfigurationError
from rose.identity.parts import Parts
from rose.loop import checks
from rose.loop.workflow import Limits, Rounds, Workflow
from rose.stages.config import LearnerConfig
from rose.stages.runner import Runner
from rose.stages.stage import Stage, StopCriterion


@dataclass(frozen=True)
class Request:
    """What `teach`, `start` or `run` was asked for; without `learner_ids`, states carry no name (one workflow)."""

    names: tuple[str, ...]
    model_names: tuple[str, ...]
    num_predictions: int
    configs: Mapping[str, LearnerConfig]
    limits: Limits
    skip_pre_loop: bool = False
    learner_ids: bool = True


class Plan(Protocol):
    """Workflows that can be opened: all that can be known to be wrong has been found."""

    @property
    def variants(self) -> Mapping[str, Stage]:
        """Return the stages as their tasks may see them, by name."""
        ...

    @property
    def code(self) -> Mapping[str, Parts]:
        """Return the user's functions, by stage."""
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """Return what a resumed run must have been begun with, by name."""
        ...

    async def open(self, runner: Runner, stack: AsyncExitStack) -> list[Workflow]:
        """Return the workflows, ready to run; what has to be closed after them goes on the stack."""
        ...


def check_limits(max_iter: int, budget: int | None, max_time: float | None) -> Limits:
    """The ends of a run other than its criterion.

    Raises:
        ConfigurationError: if one cannot be.
    """
    checks.check_count(max_iter, "max_iter", 0)
    if budget is not None:
        checks.check_count(budget, "budget", 1)
    if max_time is not None and (math.isnan(max_time) or max_time <= 0):
        raise ConfigurationError(f"max_time={max_time!r} must be positive seconds")
    return Limits(max_iter, budget, max_time)


def make_workflow(request: Request, name: str, rounds: Rounds, criterion: StopCriterion | None) -> Workflow:
    """One workflow of a request."""
    learner_id = name if request.learner_ids else None
    return Workflow(name, learner_id, rounds, request.limits, criterion, request.configs[name])
