"""Check one scoring request, what was asked against what was given, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from rose.errors import ConfigurationError, PredictionError
from rose.scoring._truth import class_numbers, true_values
from rose.scoring.blocks import thread_count
from rose.scoring.compiled import CLASS_STATISTICS, VALUE_STATISTICS, in_place, wanted
from rose.scoring.inputs import StackedPredictions, normalising, predictions, task_of
from rose.scoring.registry import Array, Metric, get_metric

Nan = Literal["raise", "omit"]
Reduction = Literal["mean", "max", "sum", "norm"]

REDUCE: dict[str, Callable[[Array], Array]] = {
    "mean": lambda x: np.asarray(x.mean(axis=1)),
    "max": lambda x: np.asarray(x.max(axis=1)),
    "sum": lambda x: np.asarray(x.sum(axis=1)),
    "norm": lambda x: np.asarray(np.sqrt(np.square(x).sum(axis=1))),
}
_CACHE_ELEMENTS = 1 << 15  # of one member: float64 temporaries of a block then fit a core's L2 cache
_LONG_ELEMENTS = 1 << 19  # for kernels, which work on shorter runs themselves: a call should take a millisecond
_STACKED_ELEMENTS = 1 << 17  # of all members: where a definition stacks or sorts them
_BLOCKS_PER_THREAD = 4  # at least, so that no thread waits long for another at the end
# What the blocks of all threads may take, by the estimate below: this share of the input (1 % is promised), or so many
# bytes, where the input is small.
_MEMORY_SHARE, _LEAST_MEMORY = 0.005, 1 << 21
_SMALL = 1 << 21  # below this many elements, starting threads costs more than they save


class Options(TypedDict, total=False):
    """Name the keyword arguments of `score` and `top_k`."""

    y_true: object
    variances: object
    nan: Nan
    level: float
    reduction: Reduction | None
    check: bool
    normalise: bool
    threads: int | None
    block_size: int | None


@dataclass(frozen=True)
class Request:
    """Hold everything a scoring pass needs, checked."""

    found: StackedPredictions
    metrics: tuple[Metric, ...]
    task: str
    targets: npt.NDArray[Any] | None
    variances: StackedPredictions | None
    nan: str
    level: float
    reduction: str | None
    check: bool
    threads: int
    block: int
    compiled: frozenset[str]
    addresses: npt.NDArray[np.uint64] | None
    on_device: frozenset[str] = frozenset()

    @property
    def n(self) -> int:
        return self.found.shape[1]

    @property
    def outputs(self) -> int:
        """Return how many outputs a candidate has in multi-output regression, else 1."""
        return self.found.shape[2] if self.task == "regression" and len(self.found.shape) == 3 else 1


def prepare(
    mc_preds: object,
    names: Sequence[str | Metric],
    *,
    y_true: object = None,
    variances: object = None,
    nan: str = "raise",
    level: float = 0.95,
    reduction: str | None = None,
    check: bool = True,
    normalise: bool = False,
    threads: int | None = None,
    block_size: int | None = None,
) -> Request:
    """Check everything that can be checked before the first block."""
    found, chosen = predictions(mc_preds), tuple(get_metric(m) for m in names)
    if nan not in ("raise", "omit"):
        raise ConfigurationError(f"nan={nan!r} must be 'raise' or 'omit'")
    level = check_level(level)
    if reduction is not None and reduction not in tuple(REDUCE):
        raise ConfigurationError(f"reduction={reduction!r} is none of {', '.join(REDUCE)}")
    if block_size is not None and (not isinstance(block_size, int | np.integer) or block_size < 1):
        raise ConfigurationError(f"block_size={block_size!r} must be a whole number of 1 or more")
    task = _one_task(found, chosen, reduction)
    found = normalising(found, normalise, task)
    spread = None if variances is None else _check_variances(predictions(variances, "variances"), found)
    compiled = wanted(found, chosen, task)
    addresses = in_place(found) if compiled else None
    workers = thread_count(threads) if found.size >= _SMALL or threads is not None else 1
    request = Request(
        found, chosen, task, _check_targets(y_true, found, task), spread, nan, level, reduction, check, workers,
        block_size or _block_size(found, chosen, bool(compiled), addresses is not None, workers), compiled, addresses,
        _device_statistics(found, chosen, task, spread),
    )  # fmt: skip
    for metric in chosen:
        _check_needs(metric, request, found.shape[0])
    return request


def check_level(level: object, name: str = "level") -> float:
    """Return the share of predictions that an interval holds, if it is a number between 0 and 1.

    Raises:
        ConfigurationError: if it is not; `name` is what the message calls it.
    """
    try:
        if not isinstance(level, str | bytes) and 0.0 < float(level) < 1.0:  # type: ignore[arg-type]
            return float(level)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pass
    raise ConfigurationError(f"{name}={level!r} must lie between 0 and 1")


def _block_size(
    found: StackedPredictions, chosen: Sequence[Metric], compiled: bool, in_place: bool, threads: int
) -> int:
    """Return how many candidates a block has: temporaries stay near a core, and far below 1 % of a large input."""
    width = math.prod(found.shape[2:])
    elements = found.shape[0] * width  # of a candidate
    stacked = not all(m.kind == "formula" and m.uses for m in chosen)
    size = _LONG_ELEMENTS // width if in_place or found.elsewhere is not None else _CACHE_ELEMENTS // width
    needed = 8 * (16 + 2 * len(chosen))  # bytes of a candidate's statistics and scores
    if not in_place:
        needed += 2 * elements * found.dtype.itemsize  # read, and converted
    if stacked or not compiled:
        needed += 8 * 8 * width
    if stacked:
        size = min(size, _STACKED_ELEMENTS // elements)
        needed += 5 * 8 * elements
    allowed = max(_LEAST_MEMORY, int(_MEMORY_SHARE * found.size * found.dtype.itemsize)) // threads
    balanced = math.ceil(found.shape[1] / (threads * _BLOCKS_PER_THREAD)) if threads > 1 else size
    return max(1, min(size, allowed // needed, balanced))


def _device_statistics(
    found: StackedPredictions, chosen: Sequence[Metric], task: str, spread: StackedPredictions | None
) -> frozenset[str]:
    """Return the statistics to compute on the predictions' own device; empty: bring blocks to the host instead."""
    known = CLASS_STATISTICS if task == "classification" else VALUE_STATISTICS
    if found.elsewhere is None or spread is not None or (task == "regression" and len(found.shape) == 3):
        return frozenset()
    if any(m.kind != "formula" or not m.uses or not _uses(m, task) <= known for m in chosen):
        return frozenset()
    return frozenset().union(*(_uses(m, task) for m in chosen))


def _uses(metric: Metric, task: str) -> frozenset[str]:
    """Return what a metric for both tasks uses for this one."""
    mine = CLASS_STATISTICS if task == "classification" else VALUE_STATISTICS
    other = VALUE_STATISTICS if task == "classification" else CLASS_STATISTICS
    return metric.uses - (other - mine) if metric.task == "any" else metric.uses


def _one_task(found: StackedPredictions, chosen: Sequence[Metric], reduction: str | None) -> str:
    tasks = {m.task for m in chosen} - {"any"}
    if len(tasks) > 1:
        by_task = {t: next(m.name for m in chosen if m.task == t) for t in sorted(tasks)}
        raise ConfigurationError(f"metrics of different task types in one call: {by_task}")
    return task_of(found, tasks.pop() if tasks else "any", reduction)


def _check_variances(variances: StackedPredictions, found: StackedPredictions) -> StackedPredictions:
    if variances.shape != found.shape:
        raise PredictionError(f"variances have shape {variances.shape}, but mc_preds {found.shape}")
    return variances


def _check_targets(y_true: object, found: StackedPredictions, task: str) -> npt.NDArray[Any] | None:
    if y_true is None:
        return None
    if task == "regression":
        return true_values(y_true, found.shape[1:])
    return class_numbers(y_true, found.shape[1], found.shape[2])


def _check_needs(metric: Metric, request: Request, members: int) -> None:
    if "targets" in metric.needs and request.targets is None:
        raise ConfigurationError(f"{metric.name} needs y_true")
    if "variances" in metric.needs and request.variances is None:
        raise ConfigurationError(f"{metric.name} needs variances (of each member, shaped as mc_preds)")
    least = metric.smallest(request.variances is not None, request.task)
    if members < least:
        own = "" if metric.smallest(True) == least else ", or the members' own variances"
        raise PredictionError(
            f"{metric.name} measures disagreement and needs at least {least} members or passes{own}; "
            f"mc_preds has S = {members}"
        )


def smallest_left(metric: Metric, request: Request) -> int:
    """Return how many members a candidate must have left where others are NaN: one spread is like the others'."""
    least = metric.smallest(request.variances is not None, request.task)
    compares = metric.built_in and metric.task == "regression" and request.found.shape[0] > 1
    return metric.min_samples if compares else least
