"""Stages that programs register: each tells what it sees and returns a name, so that the dataflow can be read off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from observe import plain, seen

from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY

ACCURACIES = (0.1, 0.5, 0.95)  # the third meets the criterion


def stage(name: str, result: Any = None) -> Callable[..., Any]:
    """Return a task: it returns `result` (called with how often it ran before, if it can be), or "NAME-COUNT"."""

    async def task(*args: Any, **kwargs: Any) -> Any:
        count = seen(name, args, kwargs)
        if isinstance(result, Exception):
            raise result
        return result(count) if callable(result) else f"{name}-{count}" if result is None else result

    task.__name__ = name
    return task


def in_turn(values: Sequence[Any]) -> Callable[[int], Any]:
    """Return values one after the other; the last one for ever."""
    return lambda count: values[min(count, len(values) - 1)]


def register(learner: Any, *slots: str, **results: Any) -> None:
    """Register function stages in these slots, with what they return where that is given."""
    for slot in slots:
        getattr(learner, f"{slot}_task")(as_executable=False)(stage(slot, results.get(slot)))


def criterion(learner: Any, values: Sequence[float] = ACCURACIES, threshold: float = 0.9, **options: Any) -> None:
    """Register a criterion that gives these values one after the other; of model accuracy, unless `metric` is given."""
    metric = options.pop("metric", MODEL_ACCURACY)
    learner.as_stop_criterion(metric, threshold=threshold, as_executable=False, **options)(
        stage("criterion", in_turn(values))
    )


def uncertainty(learner: Any, values: Sequence[Any] = (0.8,), threshold: float = 0.1, **options: Any) -> None:
    """Register an uncertainty that gives these values one after the other."""
    metric = options.pop("metric", PREDICTIVE_ENTROPY)
    learner.uncertainty_quantification(metric, query_size=2, threshold=threshold, as_executable=False, **options)(
        stage("uncertainty", in_turn(values))
    )


UQ = "simulation", "training", "prediction", "active_learn"
ACTIVE = "simulation", "training", "active_learn"
REINFORCEMENT = "environment", "update"


async def states_of(iterator: Any, states: list[Any] | None = None) -> list[Any]:
    """Return all states; those that come before an error are in the list that is given."""
    states = [] if states is None else states
    async for state in iterator:
        states.append(state)
    return states


def told(states: Sequence[Any]) -> list[Any]:
    """Return what states say of the iteration, its metric and whether it was the last."""
    return [plain([state.iteration, state.metric_value, state.should_stop]) for state in states]
