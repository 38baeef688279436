"""Follow what each workflow knew after each iteration: labels, time and cost paid, and how good it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rose.metrics import LEARNING_METRICS
from rose.store import IterationDone

# Of figures whose operator is not known: what is better the larger it is; of the others, the smaller the better.
_HIGHER = ("accuracy", "r2", "f1", "precision", "recall", "correlation", "auc")
_ALIASES = {  # of the hold-out's measures that may be the criterion, too
    "accuracy": "model_accuracy",
    "rmse": "root_mean_squared_error_rmse",
    "mae": "mean_absolute_error_mae",
    "r2": "r2_score",
}
_COVERAGES = {"coverage_95": "0.95 is right", "coverage_90": "0.9 is right", "set_coverage_90": "0.9 is right"}
_RIGHT = {"sharpness": "lower is surer", **_COVERAGES}
_NOT_QUALITY = (
    "sharpness", "error_uncertainty_correlation", "risk_coverage_area", "interval_width_90", "set_size_90", *_COVERAGES,
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """Hold one iteration of a workflow.

    Attributes:
        iteration: 0-based.
        labels: how many it held; None: they are the user's files.
        seconds: since the run began, without the times when no driver drove it.
        cost: seconds of simulation of what it has asked for, whoever paid.
        metric, uncertainty: the criterion's value, and the mean score of the candidates that come first.
        holdout: how good the ensemble was on the hold-out, by the names of the measures.
        chosen: the candidates to be simulated next.
        dropped: those that could not be.
        failed_members: models that could not be trained.
    """

    iteration: int
    labels: int | None
    seconds: float
    cost: float
    metric: float | None
    uncertainty: float | None
    holdout: Mapping[str, float | None]
    chosen: Sequence[int]
    dropped: Sequence[int]
    failed_members: Sequence[str]


@dataclass
class Curve:
    """Hold the iterations of a workflow, in order.

    Attributes:
        metric_name, operator: of the stop criterion; None: there is none, or it is not known.
    """

    workflow: str
    metric_name: str | None = None
    operator: str | None = None
    points: list[Point] = field(default_factory=list)

    def add(self, event: IterationDone, seconds: float, cost: float) -> None:
        """Take an iteration; one that is played again takes the place of it and of all later ones."""
        while self.points and self.points[-1].iteration >= event.iteration:
            self.points.pop()
        self.metric_name = event.metric_name or self.metric_name
        self.points.append(
            Point(
                iteration=event.iteration,
                labels=event.labels,
                seconds=seconds,
                cost=cost,
                metric=event.metric_value,
                uncertainty=event.uncertainty,
                holdout=event.holdout or {},
                chosen=indices(event.selection),
                dropped=event.dropped or (),
                failed_members=event.failed_members or (),
            )
        )

    def values(self, measure: str) -> list[float | None]:
        """Return a figure of each iteration: "uncertainty", the criterion by its name, or one of the hold-out."""
        if measure == "uncertainty":
            return [point.uncertainty for point in self.points]
        if measure == self.metric_name:
            return [point.metric for point in self.points]
        return [point.holdout.get(measure) for point in self.points]

    def last(self, measure: str) -> float | None:
        """Return the last value of a figure, None where it has none."""
        return next((value for value in reversed(self.values(measure)) if value is not None), None)


def figure(value: float | None) -> str:
    """Return a number for people; a dash where there is none."""
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def counted(count: int, what: str) -> str:
    """Return how many there are of something.

    >>> counted(1, "task"), counted(2000, "task")
    ('1 task', '2,000 tasks')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def operator_of(settings: Mapping[str, object]) -> str | None:
    """Return the operator of the stop criterion that settings tell of; None: there is none."""
    told = str(settings.get("criterion", "")).rsplit(" ", 2)  # name, operator, threshold
    return told[1] if len(told) == 3 else None


def indices(selection: object) -> list[int]:
    """Return the candidates that a selection names; none where it is something of the user's."""
    if not isinstance(selection, list):
        return []
    return [one for one in selection if isinstance(one, int) and not isinstance(one, bool)]


def measures(curves: Sequence[Curve]) -> list[str]:
    """Return the figures that say how good workflows are: the criterion first, then those of the hold-out."""
    found = dict.fromkeys(curve.metric_name for curve in curves if curve.metric_name)
    for curve in curves:
        if curve.points:
            found |= dict.fromkeys(curve.points[-1].holdout)
    known = [name for name in found if name is not None and any(curve.last(name) is not None for curve in curves)]
    said = {alias for alias, long in _ALIASES.items() if long in known[:1]}
    return [name for name in known if name not in said]


def main_measure(curves: Sequence[Curve]) -> str | None:
    """Return the figure by which workflows are compared: the criterion, or the hold-out's accuracy, RMSE, ..."""
    known = measures(curves)
    return next((name for name in known if name not in _NOT_QUALITY), known[0] if known else None)


def is_higher_better(measure: str, curves: Sequence[Curve]) -> bool:
    """Return whether a figure is better the larger it is; of a criterion, its operator says so."""
    told = next((one.operator for one in curves if one.metric_name == measure and one.operator), None)
    operator = told or LEARNING_METRICS.get(_ALIASES.get(measure, measure))
    return operator.startswith(">") if operator else any(part in measure.lower() for part in _HIGHER)


def direction(measure: str, curves: Sequence[Curve]) -> str:
    """Say when a figure is good."""
    known = _RIGHT.get(measure) or _RIGHT.get(measure.rsplit("_", 1)[0])  # of an output, as coverage_90_1
    return known or ("higher is better" if is_higher_better(measure, curves) else "lower is better")


def labels_to_reach(curve: Curve, measure: str, level: float, higher: bool) -> int | None:
    """Return how many labels a workflow held when a figure was first as good as `level`; None: it never was.

    `higher`: whether it is better the larger it is.
    """
    for point, value in zip(curve.points, curve.values(measure), strict=True):
        if value is not None and (value >= level if higher else value <= level):
            return point.labels
    return None
