"""Hold what the user registered: the functions of each stage, the stop criterion and the uncertainty rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rose.engine import Resources
from rose.errors import ConfigurationError, near_miss
from rose.metrics import LEARNING_METRICS, check_operator
from rose.stages.kinds import KINDS, Kind

Reduction = Literal["mean", "max", "sum", "norm"]
OnFailure = Literal["raise", "drop"]
Collect = str | Callable[[Path], Any]


@dataclass(frozen=True)
class Stage:
    """Hold one registered stage; `make_stage` checks and builds it.

    `func` returns the command line to run where `as_executable`, else it is the work itself. `resources` is what one
    task occupies, all its MPI `ranks` together (None: no MPI). `batch` is the number of candidates a simulation takes
    at once (None: one, as `x`). `waits` says that an async function waits in the driver's event loop,
    without a worker. `collect` reads a command's result in its working directory: a file name (.npy, .json,
    or text that NumPy loads), or a function of the directory. `launcher` and `cwd` are templates, see
    `rose.stages.commands`.

    A task that fails runs again up to `retries` times, `retry_delay` seconds later; then its failure is raised, or
    its candidate or member dropped (`on_failure`), as long as `min_members` of a workflow's models have trained and
    no more than `max_failed_simulations` (a count, or a share of those asked for) have failed. None of that counts
    where the place failed (`PlaceError`): such a task runs again up to `place_retries` times (None: `retries`), then
    the run ends with its error, and resuming tries again.
    `per_model` changes options for some of the models. `classes` names the columns of a prediction (None: the models'
    `classes_` do, where they have them), and `normalise` divides its probabilities by their sums, as rounded ones need.
    `depends_on` names files, directories and programs whose contents decide its results. `backend` and
    `task_description` are for engines that have several back ends: which one, and what it is told.
    """

    kind: str
    func: Callable[..., Any]
    as_executable: bool = True
    resources: Resources = field(default_factory=Resources)
    timeout: float | None = None
    batch: int | None = None
    collect: Collect | None = None
    log_params: Mapping[str, Any] = field(default_factory=dict)
    ranks: int | None = None
    launcher: str | None = None
    cwd: str | None = None
    retries: int = 0
    place_retries: int | None = None
    retry_delay: float = 0.0
    on_failure: OnFailure = "raise"
    min_members: int | None = None
    max_failed_simulations: int | float | None = None
    per_model: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    classes: tuple[Any, ...] | None = None
    normalise: bool = False
    depends_on: tuple[str, ...] = ()
    waits: bool = False
    backend: str | None = None
    task_description: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """Return what its tasks tell an engine that chooses among back ends."""
        said = {"backend": self.backend, "task_description": dict(self.task_description)}
        return {name: value for name, value in said.items() if value}

    @property
    def row(self) -> Kind:
        """Return what its kind is."""
        return KINDS[self.kind]

    @property
    def retries_of_place(self) -> int:
        """Return how often a task runs again because its place failed."""
        return self.retries if self.place_retries is None else self.place_retries

    @property
    def name(self) -> str:
        """Return how messages call it: the kind and the function's own name."""
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
    """Say how candidates are scored and how many are chosen; `stage` replaces the built-in metric.

    A workflow is sure enough, and stops, when `uncertainty operator threshold` holds (`threshold` None: never;
    `operator` "": decided by the metric's declared direction). `reduction` makes one score of those of several outputs.
    """

    metric_name: str
    query_size: int
    threshold: float | None = None
    operator: str = ""
    stage: Stage | None = None
    reduction: Reduction | None = None


@dataclass(frozen=True)
class Registered:
    """Hold all that the user registered: stages by kind, stop criterion, uncertainty rule, estimators by model name.

    `task_type` is "classification" or "regression" where estimators tell it before anything has run. `stop_rules` are
    those of `rose.pool.stopping.rules`; their texts tell them apart.
    """

    stages: Mapping[str, Stage]
    criterion: StopCriterion | None = None
    rule: UncertaintyRule | None = None
    estimators: Mapping[str, Any] = field(default_factory=dict)
    task_type: str | None = None
    stop_rules: tuple[object, ...] = ()

    def all_stages(self) -> dict[str, Stage]:
        """Return the stages of the loop by kind, those of the uncertainty rule and the criterion among them."""
        stages = dict(self.stages)
        for one in (self.rule, self.criterion):
            if one is not None and one.stage is not None:
                stages[one.stage.kind] = one.stage
        return stages


def make_criterion(metric_name: str, threshold: float, operator: str) -> StopCriterion:
    """Return a stop criterion whose operator is the metric's own, or for a metric of the user's the one given.

    Raises:
        ConfigurationError: if the name is no text, the threshold is NaN, or the operator is missing or no comparison.
    """
    if not isinstance(metric_name, str) or not metric_name:
        raise ConfigurationError(
            f"metric_name={metric_name!r} of as_stop_criterion must be a text: what the criterion's value is called"
        )
    threshold = check_threshold(threshold, "as_stop_criterion")
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
    """Return an uncertainty rule; its metric, and what a query_size of 0 means, is looked up when the run starts.

    Raises:
        ConfigurationError: if the threshold is NaN, the operator no comparison, query_size not 0, 1, 2, ..., or the
            reduction none.
    """
    if reduction is not None and reduction not in get_args(Reduction):
        raise ConfigurationError(f"reduction={reduction!r}; {near_miss(str(reduction), get_args(Reduction))}")
    where = "uncertainty_quantification"
    if threshold is not None:
        threshold = check_threshold(threshold, where)
    if operator:
        check_operator(operator)
    size = check_query_size(query_size, where, least=0)
    return UncertaintyRule(uq_metric_name, size, threshold, operator, reduction=reduction)


def check_query_size(query_size: object, where: str, least: int = 1) -> int:
    """Return the number of candidates to choose, as an int; `where` tells messages who asked.

    Raises:
        ConfigurationError: if it is not a whole number of `least` or more.
    """
    try:
        size: int = -1 if isinstance(query_size, (bool, str, bytes)) else int(query_size)  # type: ignore[call-overload]
        if size == query_size and size >= least:
            return size
    except (TypeError, ValueError, OverflowError):  # no number; NaN, several numbers; inf
        pass
    raise ConfigurationError(
        f"query_size={query_size!r} of {where} must be a whole number of {least} or more{_by_iteration(query_size)}"
    )


def check_threshold(threshold: object, where: str) -> float:
    """Return what an uncertainty or a metric is compared with; inf is possible.

    Raises:
        ConfigurationError: if it is no number, or NaN.
    """
    try:
        if isinstance(threshold, (bool, str, bytes)):
            raise TypeError
        number = float(threshold)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ConfigurationError(
            f"threshold={threshold!r} of {where} must be a number{_by_iteration(threshold)}"
        ) from None
    if math.isnan(number):
        raise ConfigurationError(f"threshold of {where} is NaN: no value would ever meet it")
    return threshold if isinstance(threshold, int) else number


def _by_iteration(value: object) -> str:
    if not isinstance(value, Mapping):
        return ""
    return "; what differs by iteration is said in a workflow's UQLearnerConfig, {0: ..., 1: ..., -1: for the others}"
