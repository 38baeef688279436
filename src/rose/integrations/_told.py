"""Make names, numbers and texts of what trackers are told, as MLflow, TensorBoard and ClearML take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from rose.learners.tracking import PipelineManifest
from rose.loop.state import IterationState, StopReason
from rose.stages.config import stage_fields


def parameters(manifest: PipelineManifest, separator: str) -> dict[str, Any]:
    """Return what a run is made of, by name: `criterion/threshold`; with `separator`, `task.training.as_executable`."""
    told: dict[str, Any] = {"learner_type": manifest.learner_type}
    if manifest.parallel_count is not None:
        told["parallel_learners"] = manifest.parallel_count
    rule = manifest.criterion
    if rule is not None:
        own = {"metric_name": rule.metric_name, "threshold": rule.threshold, "operator": rule.operator}
        told |= {f"criterion/{name}": value for name, value in {**rule.log_params, **own}.items()}
    for slot, task in manifest.tasks.items():
        own = {"as_executable": task.as_executable}
        told |= {separator.join(("task", slot, str(name))): value for name, value in {**task.log_params, **own}.items()}
    return told


@dataclass(frozen=True)
class Told:
    """Hold what a state says, by name: numbers, and texts of the configuration."""

    numbers: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def told(state: IterationState) -> Told:
    """Return the criterion's value by its name, all numbers of the state, and `config/STAGE/NAME` of the configuration.

    Dicts are gone into (`holdout/log_loss`), but for the `selection`, whose entries are in the state; NumPy's numbers,
    arrays without axes and bools are numbers.
    """
    numbers = dict(_numbers({name: value for name, value in state.state.items() if name != "selection"}))
    texts: dict[str, str] = {}
    if state.metric_name and state.metric_value is not None:
        numbers[state.metric_name] = float(state.metric_value)
    config = state.current_config
    for slot in () if config is None else stage_fields(config):
        found = None if config is None else config.get_task_config(slot, state.iteration)
        given = {} if found is None else found.kwargs
        numbers |= dict(_numbers(given, f"config/{slot}/"))
        texts |= {f"config/{slot}/{name}": value for name, value in given.items() if isinstance(value, str)}
    return Told(numbers, texts)


def same(known: float | None, value: float) -> bool:
    """Tell whether a value is the one that is known, if any is; NaN is NaN."""
    return known is not None and bool(np.array_equal(known, value, equal_nan=True))


def failed(reason: str) -> bool:
    """Tell whether a run or a workflow that ended for this reason has failed."""
    return reason in (StopReason.ERROR, StopReason.NOT_A_NUMBER)


def missing(library: str, tracker: str) -> str:
    """Return what an ImportError says."""
    return f"{library} is required for {tracker}. Install it with: pip install rose-uq[{library}]"


def _numbers(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif (number := _number(value)) is not None:
            yield f"{prefix}{name}", number


def _number(value: Any) -> float | None:
    if not isinstance(value, (Real, np.bool_)) and getattr(value, "shape", None) != ():
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # dates and texts of NumPy's, integers that no float holds
        return None
