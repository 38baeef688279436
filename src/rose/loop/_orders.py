"""Obey within a second what people order of a run that goes on, or refuse it with the reason; and record it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rose.errors import ConfigurationError, RoseError, near_miss
from rose.loop.limits import Limits, check_limits
from rose.loop.protocol import Loop
from rose.stages.config import LearnerConfig, UQLearnerConfig
from rose.stages.stage import check_query_size, check_threshold
from rose.store import Label, PlacedOrder, Run, Set, Stop, Withdraw, round_prefix

_log = logging.getLogger("rose")

# From which iteration on a workflow's configuration has these settings.
Change = tuple[int, Mapping[str, Any]]

_LIMITS = ("budget", "max_iter")  # they hold for this driver: whoever resumes the run says which hold then


class Ordered(Protocol):
    """Describe a workflow that takes orders."""

    name: str
    loop: Loop
    limits: Limits
    iteration: int
    ended: bool
    changes: list[Change]


def changed(config: LearnerConfig, changes: Sequence[Change], iteration: int) -> LearnerConfig:
    """Return a workflow's configuration in one iteration, with what has been ordered up to then."""
    settings = {name: value for since, one in changes if since <= iteration for name, value in one.items()}
    if not settings:
        return config
    if not isinstance(config, UQLearnerConfig):
        config = UQLearnerConfig(**dict(config))
    return config.model_copy(update=settings)


async def recorded_changes(run: Run, workflow: str) -> list[Change]:
    """Return what has been ordered before the run was resumed."""
    if run.temporary or run.journal.epoch == 1:
        return []
    return [(since, settings) for since, settings in await run.journal.meta(_name(workflow)) or ()]


async def obey(placed: PlacedOrder, run: Run, workflows: Sequence[Ordered], stop: Callable[[str | None], None]) -> None:
    """Do what was ordered, and answer; an order that cannot be obeyed is refused, and changes nothing.

    Args:
        placed: the order.
        run: where it is answered.
        workflows: all of the run.
        stop: ends a workflow, or (None) the run.
    """
    order = placed.order
    try:
        if isinstance(order, Stop):
            _named(workflows, order.workflow)
            text = "the run ends" if order.workflow is None else f"workflow {order.workflow!r} ends"
            run.answer(placed.id, True, text)
            stop(order.workflow)
            return
        if isinstance(order, Set):
            text = await _set(run, _named(workflows, order.workflow), order.settings)
        elif isinstance(order, Withdraw):
            text = await _pending(
                _named(workflows, order.workflow), order.candidate, lambda loop: loop.withdraw(order.candidate)
            )
        else:
            assert isinstance(order, Label)
            text = await _pending(
                _named(workflows, order.workflow), order.candidate, lambda loop: loop.give(order.candidate, order.value)
            )
    except RoseError as error:
        run.answer(placed.id, False, str(error))
    except Exception as error:  # an order that is left unanswered would meet every driver to come
        _log.exception("order %d (%s) cannot be obeyed", placed.id, placed.kind)
        run.answer(placed.id, False, f"{type(error).__name__}: {error}")
    else:
        run.answer(placed.id, True, text)


def _named(workflows: Sequence[Ordered], name: str | None) -> Sequence[Ordered]:
    found = [workflow for workflow in workflows if name in (None, workflow.name)]
    if not found:
        raise ConfigurationError(f"no workflow {name!r}; {near_miss(str(name), [one.name for one in workflows])}")
    going = [workflow for workflow in found if not workflow.ended]
    if not going:
        raise ConfigurationError("the run has ended" if name is None else f"workflow {name!r} has ended")
    return going


async def _set(run: Run, workflows: Sequence[Ordered], settings: Mapping[str, Any]) -> str:
    for workflow in workflows:
        for name in settings:
            if name not in workflow.loop.settings:
                raise ConfigurationError(f"{name} cannot be set: workflow {workflow.name!r} has no pool")
    checked = {name: _checked(name, value) for name, value in settings.items()}
    limits = {name: value for name, value in checked.items() if name in _LIMITS}
    config = {name: value for name, value in checked.items() if name not in _LIMITS}
    unplayed = {workflow.name: await _unplayed(run, workflow) for workflow in workflows}
    since = {}
    for workflow in workflows:
        since[workflow.name] = max(workflow.iteration + 1, unplayed[workflow.name])
        workflow.limits = replace(workflow.limits, **limits)
        workflow.loop.limit(workflow.limits)
        if config:
            workflow.changes.append((since[workflow.name], config))
    for workflow in workflows if config and not run.temporary else ():
        await run.journal.note(_name(workflow.name), workflow.changes)
    said = ", ".join(f"{name}={value}" for name, value in checked.items())
    return f"{said}; " + ", ".join(f"{name} from iteration {first} on" for name, first in since.items())


async def _unplayed(run: Run, workflow: Ordered) -> int:
    """Return the first iteration of which nothing is recorded: what is recorded is not played otherwise."""
    iteration = workflow.iteration + 1
    if run.temporary or run.journal.epoch == 1:
        return iteration
    while await run.complete_round(workflow.name, iteration) is not None:
        iteration += 1
    return iteration + bool(await run.journal.tasks(round_prefix(workflow.name, iteration)))


def _checked(name: str, value: Any) -> Any:
    if name == "query_size":
        return check_query_size(value, "the order")
    if name == "threshold":
        return check_threshold(value, "the order")
    if name == "max_iter" and value == 0:
        raise ConfigurationError("max_iter=0 must be a whole number of 1 or more; to end a workflow, stop it")
    limits = check_limits(**{"max_iter": 0, "budget": None, "max_time": None, name: value})
    return getattr(limits, name)


async def _pending(workflows: Sequence[Ordered], candidate: int, act: Callable[[Loop], Awaitable[bool]]) -> str:
    done = [workflow.name for workflow in workflows if await act(workflow.loop)]
    if not done:
        raise ConfigurationError(
            f"candidate {candidate} is not being simulated (or in a batch with others) in "
            + ", ".join(repr(one.name) for one in workflows)
        )
    return f"candidate {candidate}, of {', '.join(done)}"


def _name(workflow: str) -> str:
    return f"ordered {workflow}"
