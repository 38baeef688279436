"""Define what a metric is, and keep the one list of all of them.

A metric is declared once, by the decorator of the function that defines it; name, direction, range, needs and reference
are read from there by selection, stop criteria, reports, `rose metrics` and the documentation. Nothing else in ROSE
decides what "more uncertain" means.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rose.arrays import as_vector
from rose.errors import ConfigurationError, UnknownMetricError
from rose.metrics import GREATER_THAN_THRESHOLD, LESS_THAN_THRESHOLD
from rose.plugins import Registry
from rose.scoring.ranking import most_uncertain

Task = Literal["classification", "regression", "any"]
Direction = Literal["higher", "lower"]
Kind = Literal["formula", "blockwise", "whole"]
Array = npt.NDArray[np.float64]

TASKS = ("classification", "regression", "any")
NEEDS = frozenset({"probabilities", "values", "variances", "targets"})


@dataclass(frozen=True)
class Metric:
    """Declare one uncertainty metric.

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
        scorer: of the kind "whole", makes the scorer of a task type that the function is handed.
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
    scorer: Callable[[str], object] | None = field(default=None, repr=False, compare=False)
    built_in: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigurationError(f"task={self.task!r} of metric {self.name!r} is none of {', '.join(TASKS)}")
        if self.direction not in ("higher", "lower"):
            raise ConfigurationError(
                f"direction={self.direction!r} of metric {self.name!r} must be 'higher' or 'lower'"
            )
        if self.kind == "whole" and self.scorer is None:
            raise ConfigurationError(f"metric {self.name!r} sees all candidates at once: declare it with register_uq")
        for field_name, words in (("needs", self.needs), ("takes", self.takes)):
            if unknown := words - NEEDS:
                raise ConfigurationError(
                    f"{field_name}={sorted(unknown)} of metric {self.name!r}: known are {sorted(NEEDS)}"
                )

    @property
    def threshold_operator(self) -> str:
        """Return how a score compares with a threshold when a workflow is sure enough to stop."""
        return LESS_THAN_THRESHOLD if self.direction == "higher" else GREATER_THAN_THRESHOLD

    def order(self, scores: object) -> npt.NDArray[np.intp]:
        """Return all indices, most uncertain first; equal scores keep the lower index first.

        >>> get_metric("margin").order([0.5, 0.1, 0.1])
        array([1, 2, 0])
        """
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
        """Tell whether the metric can score predictions of this task type."""
        return self.task in ("any", task)


def _accept(name: str, loaded: Any) -> Metric | None:
    return replace(loaded, name=name) if isinstance(loaded, Metric) else None


METRICS = Registry("metric", "rose.metrics", _accept, UnknownMetricError)


def get_metric(metric: str | Metric) -> Metric:
    """Return the metric of this name or alias; a `Metric` is handed back.

    Names that nobody registered are looked for among the installed packages' `rose.metrics` entry points.

    Raises:
        UnknownMetricError: if there is none; the message names the closest ones.
        PluginError: if the package that brings it cannot be loaded.

    >>> get_metric("bald").name
    'mutual_information'
    """
    return metric if isinstance(metric, Metric) else METRICS.get(metric)


def metrics(task: str | None = None) -> list[Metric]:
    """Return all metrics, or those that can score this task type, in the order of their registration.

    Raises:
        ConfigurationError: if `task` is no task type.

    >>> [m.name for m in metrics("regression")][:2]
    ['predictive_variance', 'standard_deviation']
    """
    if task is not None and task not in TASKS:
        raise ConfigurationError(f"task={task!r} is none of {', '.join(TASKS)}")
    return [m for m in METRICS.things() if task in (None, "any") or m.serves(str(task))]


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
    >>> METRICS.remove("min_max_prob")
    """

    def declared(function: Callable[..., Any]) -> Metric:
        return Metric(
            name, task, direction, range, frozenset(needs), min_samples, tuple(aliases),
            *documented(function), takes=frozenset(takes), kind="blockwise", definition=function,
        )  # fmt: skip

    return METRICS.register(name, declared, aliases)


def declare(
    name: str, *, task: Task, direction: Direction = "higher", range: tuple[float, float] = (0.0, math.inf),
    needs: Iterable[str], uses: Iterable[str], min_samples: int = 1, aliases: Iterable[str] = (),
    takes: Iterable[str] = (),
) -> Callable[[Callable[[Any], Array]], Callable[[Any], Array]]:  # fmt: skip
    """Declare a built-in: a formula over the statistics of a block (`s.entropy`, `s.variance`, ...)."""

    def declared(function: Callable[[Any], Array]) -> Metric:
        return Metric(
            name, task, direction, range, frozenset(needs), min_samples, tuple(aliases),
            *documented(function), uses=frozenset(uses), takes=frozenset(takes), definition=function, built_in=True,
        )  # fmt: skip

    return METRICS.register(name, declared, aliases)


def documented(function: Callable[..., Any]) -> tuple[str, str, str]:
    """Return summary, formula and reference as the docstring states them (first line, `Formula:`, `Reference:`)."""
    text = inspect.getdoc(function) or ""
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    found = {"summary": paragraphs[0] if paragraphs else "", "formula": "", "reference": ""}
    for paragraph in paragraphs[1:]:
        for key in ("formula", "reference"):
            if paragraph.lower().startswith(key + ":"):
                found[key] = paragraph[len(key) + 1 :].strip()
    return found["summary"], found["formula"], found["reference"]


# --- the list as people read it: `rose metrics`, and the documentation -------------------------------------------


def table(task: str | None = None) -> Iterator[dict[str, str]]:
    """Yield one row of text per metric.

    >>> next(iter(table("classification")))["name"]
    'predictive_entropy'
    """
    for m in metrics(task):
        yield {
            "name": m.name,
            "aliases": ", ".join(m.aliases),
            "task": m.task,
            "more uncertain": m.direction,
            "range": f"[{m.range[0]:g}, {m.range[1]:g}]",
            "needs": ", ".join(sorted(m.needs)),
            "takes": ", ".join(sorted(m.takes)),
            "min S": _smallest_in_words(m),
            "summary": m.summary,
            "formula": m.formula,
            "reference": m.reference,
        }


def _smallest_in_words(metric: Metric) -> str:
    if metric.smallest(True) == metric.min_samples:
        return str(metric.min_samples)
    values = f"{metric.min_samples}, or {metric.smallest(True)} with variances"
    return values if metric.task == "regression" else f"{metric.smallest(False, 'classification')}; of values {values}"


def describe(task: str | None = None) -> str:
    """Return the list of metrics as Markdown.

    >>> print(describe("classification").splitlines()[0])
    | metric | aliases | task | more uncertain | range | needs | takes | min S | formula | reference |
    """
    keys = ("name", "aliases", "task", "more uncertain", "range", "needs", "takes", "min S", "formula", "reference")
    lines = ["| " + " | ".join("metric" if k == "name" else k for k in keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(row[k].replace("|", "\\|") for k in keys) + " |" for row in table(task)]
    return "\n".join(lines)
