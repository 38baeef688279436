"""What the user registered: the functions of each stage, the stop criterion and the uncertainty rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rose.engine import Resources
from rose.errors import ConfigurationError, near_miss
from rose.metrics import LEARNING_METRICS, check_operator

Reduction = Literal["mean", "max", "sum", "norm"]
Collect = str | Callable[[Path], Any]


@dataclass(frozen=True)
class Stage:
    """One registered stage.

    `func` returns the command line to run where `as_executable`, else it is the work itself. `batch` is the number
    of candidates a simulation takes at once (None: one, as `x`). `collect` reads a command's result in its working
    directory: a file name (.npy, .json, or text that NumPy loads), or a function of the directory.
    """

    kind: str
    func: Callable[..., Any]
    as_executable: bool = True
    resources: Resources = field(default_factory=Resources)
    timeout: float | None = None
    batch: int | None = None
    collect: Collect | None = None
    log_params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How messages call it: the kind and the function's own name."""
        return f"{self.kind} task {getattr(self.func, '__name__', repr(self.func))!r}"


@dataclass(frozen=True)
class StopCriterion:
    """Stop when `metric operator threshold` holds; `stage` computes the metric (None: from the pool's hold-out)."""

    metric_name: str
    threshold: float
    operator: str
    stage: Stage | None = None


@dataclass(frozen=True)
class UncertaintyRule:
    """How candidates are scored and how many are chosen; `stage` replaces the built-in metric.

    A workflow is sure enough, and stops, when `uncertainty operator threshold` holds (`threshold` None: never;
    `operator` "": decided by the metric's declared direction). `reduction` makes one score of those of several outputs.
    """

    metric_name: str
    query_size: int
    threshold: float | None = None
    operator: str = ""
    stage: Stage | None = None
    reduction: Reduction | None = None


OPTIONS = ("as_executable", "cpus", "gpus", "memory", "timeout", "batch", "collect", "log_params")


def make_stage(kind: str, func: Callable[..., Any], options: Mapping[str, Any]) -> Stage:
    """Check a decorator's options and build the stage.

    Raises:
        ConfigurationError: if an option is unknown or its value cannot be.
    """
    if not callable(func):
        raise ConfigurationError(f"{kind}_task decorates a function, got {func!r}")
    for name in options:
        if name not in OPTIONS:
            raise ConfigurationError(f"{kind}_task has no option {name!r}; {near_miss(name, OPTIONS)}")
    batch, timeout, collect = options.get("batch"), options.get("timeout"), options.get("collect")
    as_executable = options.get("as_executable", True)
    if batch is not None and (kind != "simulation" or not isinstance(batch, int) or batch < 1):
        raise ConfigurationError(f"batch={batch!r}: only simulation tasks take it, a whole number of 1 or more")
    if timeout is not None and not timeout > 0:
        raise ConfigurationError(f"timeout={timeout!r} of {kind}_task must be positive seconds")
    if collect is not None and not as_executable:
        raise ConfigurationError(f"collect= of {kind}_task reads what a command wrote; a function returns its result")
    return Stage(
        kind=kind,
        func=func,
        as_executable=as_executable,
        resources=_resources(kind, options),
        timeout=timeout,
        batch=batch,
        collect=collect,
        log_params=dict(options.get("log_params", {})),
    )


def make_criterion(metric_name: str, threshold: float, operator: str) -> StopCriterion:
    """A stop criterion whose operator is the metric's own, or for a metric of the user's the one given.

    Raises:
        ConfigurationError: if the threshold is NaN, or the operator is missing or no comparison.
    """
    _check_threshold(threshold, "as_stop_criterion")
    known = LEARNING_METRICS.get(metric_name)
    if operator:
        check_operator(operator)
    elif known is None:
        raise ConfigurationError(
            f"metric_name={metric_name!r} is no known metric ({near_miss(metric_name, LEARNING_METRICS)}); "
            "for a metric of your own, say operator='<' or '>' to tell which side of the threshold stops"
        )
    return StopCriterion(metric_name, float(threshold), operator or str(known))


def make_rule(
    uq_metric_name: str, query_size: float, threshold: float | None, operator: str, reduction: Reduction | None
) -> UncertaintyRule:
    """An uncertainty rule; the metric itself is looked up when the run starts.

    Raises:
        ConfigurationError: if the threshold is NaN, the operator no comparison, query_size not 1, 2, 3, ..., or the
            reduction none.
    """
    if reduction is not None and reduction not in get_args(Reduction):
        raise ConfigurationError(f"reduction={reduction!r}; {near_miss(str(reduction), get_args(Reduction))}")
    if threshold is not None:
        _check_threshold(threshold, "uncertainty_quantification")
    if operator:
        check_operator(operator)
    return UncertaintyRule(uq_metric_name, check_query_size(query_size), threshold, operator, reduction=reduction)


def check_query_size(query_size: float) -> int:
    """The number of candidates to choose, as an int.

    Raises:
        ConfigurationError: if it is not a whole number of 1 or more.
    """
    if isinstance(query_size, bool) or query_size != query_size or int(query_size) != query_size or query_size < 1:
        raise ConfigurationError(f"query_size={query_size!r} must be a whole number of 1 or more")
    return int(query_size)


def _check_threshold(threshold: float, where: str) -> None:
    try:
        is_nan = math.isnan(threshold)
    except TypeError:
        raise ConfigurationError(f"threshold={threshold!r} of {where} must be a number") from None
    if is_nan:
        raise ConfigurationError(f"threshold of {where} is NaN: no value would ever meet it")


_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "B": 1}


def _resources(kind: str, options: Mapping[str, Any]) -> Resources:
    cpus, gpus = options.get("cpus", 1), options.get("gpus", 0)
    for name, value, least in (("cpus", cpus, 1), ("gpus", gpus, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigurationError(f"{name}={value!r} of {kind}_task must be a whole number of {least} or more")
    return Resources(cpus=cpus, gpus=gpus, memory=parse_memory(options.get("memory")))


def parse_memory(memory: int | str | None) -> int | None:
    """Bytes from a number or a text with a unit.

    >>> parse_memory("8GB")
    8000000000

    Raises:
        ConfigurationError: if it is neither.
    """
    if memory is None or (isinstance(memory, int) and memory > 0):
        return memory
    if isinstance(memory, str):
        text = memory.strip().upper()
        for unit in sorted(_UNITS, key=len, reverse=True):
            if text.endswith(unit):
                try:
                    return int(float(text[: -len(unit)]) * _UNITS[unit])
                except ValueError:
                    break
    raise ConfigurationError(f"memory={memory!r} must be bytes, or a text such as '8GB' or '512MiB'")
