"""Run functions of the user's outside of the loop, on the learner's engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import wraps
from typing import Any, Protocol

from rose.engine import Engine, TaskKey
from rose.stages.kinds import UTILITY
from rose.stages.options import make_stage
from rose.stages.reporting import Reports, reports
from rose.stages.runner import Runner


class Owner(Protocol):
    """Run tasks on an engine of its own."""

    learner_name: str
    _state: Reports
    _utility_calls: itertools.count[int]

    def _open_engine(self, stack: AsyncExitStack, close_engine: bool) -> Engine: ...
    def _runner(self, engine: Engine) -> Runner: ...


def utility(owner: Owner, func: Callable[..., Any] | None, options: Mapping[str, Any]) -> Any:
    """Return the function that runs `func` as a task of its owner's, or, without one, what decorates it."""

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        stage = make_stage(UTILITY.name, function, options)

        @wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            async with AsyncExitStack() as stack:
                if reports.get() is None:  # outside of a workflow: what it registers is in every state
                    stack.callback(reports.reset, reports.set(owner._state))
                runner = owner._runner(owner._open_engine(stack, close_engine=False))
                key = TaskKey(owner.learner_name, 0, UTILITY.name, index=next(owner._utility_calls))
                if stage.as_executable:
                    return await runner.command(key, stage, args, kwargs)
                return await runner.function(key, stage, function, *args, **kwargs)

        return run

    return decorator if func is None else decorator(func)
