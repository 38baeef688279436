"""What a metric is, and the one list of all of them.

A metric is declared once, by the decorator of the function that defines it; name, direction, range, needs and reference
are read from there by selection, stop criteria, reports, `rose metrics` and the documentation. Nothing else in ROSE
decides what "more uncertain" means.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rose.arrays import as_vector
from rose.errors import ConfigurationError, UnknownMetricError, near_miss
from rose.metrics import GREATER_THAN_THRESHOLD, LESS_THAN_THRESHOLD

Task = Literal["classification", "regression", "any"]
Direction = Literal["higher", "lower"]
Kind = Literal["formula", "blockwise", "whole"]
Array = npt.NDArray[np.float64]

ENTRY_POINT_GROUP = "rose.metrics"
TASKS = ("classification", "regression", "any")
NEEDS = frozenset({"probabilities", "values", "variances", "targets"})


@dataclass(frozen=True)
class Metric:
    """The declaration of one uncertainty metric.

    Attributes:
        name: how programs and results call it.
        task: "classification" (`[S, N, C]` probabilities), "regression" (`[S, N]` values) or "any".
        direction: which end of the scale is more uncertain.
        range: smallest and largest possible score; the unit is nats where logarithms are involved.
        needs: of "probabilities", "values", "variances", "targets", what must be given.
        min_samples: the smallest S (members x passes) for which the metric means something; `smallest` knows more.
        aliases: other names it is found by.
        summary, formula, reference: read from the docstring of the definition.
        uses: the statistics the formula is made of (see `classification` and `regression`), for compiled kernels.
        takes: of the same words, what may be given as well: the score is then another one.
        kind: "formula" (over shared statistics), "blockwise" (a user's function of a block of candidates) or
            "whole" (a user's function `(scorer, mc_preds)` of everything at once).
        definition: the function itself.
    """

    name: str
    task: Task
    direction: Direction
    range: tuple[float, float] = (-math.inf, math.inf)
    needs: frozenset[str] = frozenset()
    min_samples: int = 1
    aliases: tuple[str, ...] = ()
    summary: str = ""
    formula: str = ""
    reference: str = ""
    uses: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    kind: Kind = "formula"
    definition: Callable[..., Any] = field(default=lambda *_: None, repr=False, compare=False)
    built_in: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigurationError(f"task={self.task!r} of metric {self.name!r} is none of {', '.join(TASKS)}")
        if self.direction not in ("higher", "lower"):
            raise ConfigurationError(
                f"direction={self.direction!r} of metric {self.name!r} must be 'higher' or 'lower'"
            )
        for field_name, words in (("needs", self.needs), ("takes", self.takes)):
            if unknown := words - NEEDS:
                raise ConfigurationError(
                    f"{field_name}={sorted(unknown)} of metric {self.name!r}: known are {sorted(NEEDS)}"
                )

    @property
    def threshold_operator(self) -> str:
        """How a score compares with a threshold when a workflow is sure enough to stop."""
        return LESS_THAN_THRESHOLD if self.direction == "higher" else GREATER_THAN_THRESHOLD

    def order(self, scores: object) -> npt.NDArray[np.intp]:
        """All indices, most uncertain first; equal scores keep the lower index first.

        >>> get_metric("margin").order([0.5, 0.1, 0.1])
        array([1, 2, 0])
        """
        from rose.scoring.ranking import most_uncertain

        values = as_vector(scores, "scores")
        return most_uncertain(values, values.size, self.direction)

    def smallest(self, variances: bool, task: str = "regression") -> int:
        """Return the smallest S for which the metric means something, with or without the members' own variances.

        That is `min_samples`; but a metric that takes variances asks for a spread, not for disagreement, and one member
        that tells its own spread is enough: by its variance, or by its probabilities (`task` "classification").

        >>> get_metric("predictive_variance").smallest(False), get_metric("predictive_variance").smallest(True)
        (2, 1)
        """
        own = "variances" in self.takes and (variances or task == "classification")
        return 1 if own else self.min_samples

    def serves(self, task: str) -> bool:
        """Whether the metric can score predictions of this task type."""
        return self.task in ("any", task)


_METRICS: dict[str, Metric] = {}
_ALIASES: dict[str, str] = {}
_LOCK = threading.RLock()  # registration may happen while another thread scores
_entry_points_loaded = False


def add(metric: Metric) -> Metric:
    """Put a metric on the list; a user's own may be replaced (notebook cells run twice), a built-in may not.

    Raises:
        ConfigurationError: if the name or an alias belongs to another metric.
    """
    if not isinstance(metric.name, str) or not metric.name:
        raise ConfigurationError(f"a metric's name must be a non-empty string, not {metric.name!r}")
    with _LOCK:
        for name in (metric.name, *metric.aliases):
            owner = _METRICS.get(_ALIASES.get(name, name))
            if owner is not None and (owner.built_in or owner.name != metric.name):
                what = "a built-in metric" if owner.built_in else f"metric {owner.name!r}"
                raise ConfigurationError(f"the name {name!r} belongs to {what}; register yours under another name")
        remove(metric.name)
        _METRICS[metric.name] = metric
        _ALIASES.update(dict.fromkeys(metric.aliases, metric.name))
    return metric


def remove(name: str) -> None:
    """Take a user's metric off the list; unknown names are ignored.

    Raises:
        ConfigurationError: for a built-in.
    """
    with _LOCK:
        metric = _METRICS.get(name)
        if metric is None:
            return
        if metric.built_in:
            raise ConfigurationError(f"{name!r} is a built-in metric and cannot be removed")
        del _METRICS[name]
        for alias in metric.aliases:
            _ALIASES.pop(alias, None)


def get_metric(metric: str | Metric) -> Metric:
    """The metric of this name or alias; a `Metric` is handed back.

    Names that nobody registered are looked for once among the installed packages' `rose.metrics` entry points.

    Raises:
        UnknownMetricError: if there is none; the message names the closest ones.

    >>> get_metric("bald").name
    'mutual_information'
    """
    if isinstance(metric, Metric):
        return metric
    found = _find(metric)
    if found is None and isinstance(metric, str):
        load_entry_points()
        found = _find(metric)
    if found is None:
        raise UnknownMetricError(f"no metric is called {metric!r}; {near_miss(str(metric), [*_METRICS, *_ALIASES])}")
    return found


def _find(name: object) -> Metric | None:
    return _METRICS.get(_ALIASES.get(name, name)) if isinstance(name, str) else None


def metrics(task: str | None = None) -> list[Metric]:
    """All registered metrics, or those that can score this task type, in the order of their registration.

    Raises:
        ConfigurationError: if `task` is no task type.

    >>> [m.name for m in metrics("regression")][:2]
    ['predictive_variance', 'standard_deviation']
    """
    if task is not None and task not in TASKS:
        raise ConfigurationError(f"task={task!r} is none of {', '.join(TASKS)}")
    with _LOCK:
        return [m for m in _METRICS.values() if task in (None, "any") or m.serves(str(task))]


def load_entry_points() -> None:
    """Import what installed packages offer under `rose.metrics`: a `Metric`, or a module that registers some."""
    global _entry_points_loaded
    with _LOCK:
        if _entry_points_loaded:
            return
        _entry_points_loaded = True
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    for point in entry_points(group=ENTRY_POINT_GROUP):
        offered = point.load()
        if isinstance(offered, Metric) and _find(offered.name) is None:
            add(offered)


def register_metric(
    name: str,
    *,
    task: Task,
    direction: Direction,
    range: tuple[float, float] = (-math.inf, math.inf),
    needs: Iterable[str] = (),
    min_samples: int = 1,
    aliases: Iterable[str] = (),
    takes: Iterable[str] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare your own metric: a function of a block of stacked predictions, `[S, n, C]` or `[S, n]` -> `[n]`.

    The function sees any number of candidates at a time and must treat each by itself; in return, scoring stays in
    bounded memory. It is handed `y_true` or `variances` as keyword arguments when `needs` names "targets" or
    "variances"; or when `takes` does, None if they are not given. (For a function that must see all candidates at once,
    use `register_uq`.)

    Raises:
        ConfigurationError: if the name belongs to a built-in, or task, direction, needs or takes are unknown words.

    >>> @register_metric("min_max_prob", task="classification", direction="lower")
    ... def min_max_prob(p):
    ...     "The least confident member's confidence."
    ...     return p.max(axis=2).min(axis=0)
    >>> get_metric("min_max_prob").summary
    "The least confident member's confidence."
    >>> remove("min_max_prob")
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        add(
            Metric(
                name, task, direction, range, frozenset(needs), min_samples, tuple(aliases),
                *documented(function), takes=frozenset(takes), kind="blockwise", definition=function,
            )
        )  # fmt: skip
        return function

    return decorate


def declare(
    name: str, *, task: Task, direction: Direction = "higher", range: tuple[float, float] = (0.0, math.inf),
    needs: Iterable[str], uses: Iterable[str], min_samples: int = 1, aliases: Iterable[str] = (),
    takes: Iterable[str] = (),
) -> Callable[[Callable[[Any], Array]], Metric]:  # fmt: skip
    """Declare a built-in: a formula over the statistics of a block (`s.entropy`, `s.variance`, ...)."""

    def decorate(function: Callable[[Any], Array]) -> Metric:
        return add(
            Metric(
                name, task, direction, range, frozenset(needs), min_samples, tuple(aliases),
                *documented(function), uses=frozenset(uses), takes=frozenset(takes), definition=function, built_in=True,
            )
        )  # fmt: skip

    return decorate


def documented(function: Callable[..., Any]) -> tuple[str, str, str]:
    """Summary, formula and reference as the docstring states them (first line, `Formula:`, `Reference:`)."""
    text = inspect.getdoc(function) or ""
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    found = {"summary": paragraphs[0] if paragraphs else "", "formula": "", "reference": ""}
    for paragraph in paragraphs[1:]:
        for key in ("formula", "reference"):
            if paragraph.lower().startswith(key + ":"):
                found[key] = paragraph[len(key) + 1 :].strip()
    return found["summary"], found["formula"], found["reference"]
