"""Read how well the last ensemble of each workflow knows what it does not know, as measured on the hold-out."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rose.errors import RoseError
from rose.watch.facts.curves import Curve
from rose.watch.facts.remembered import Record

_GROUPS = 10  # of hold-out samples, by how unsure the ensemble is of them


@dataclass(frozen=True)
class Calibration:
    """Hold what was seen on the hold-out after a workflow's last iteration; arrays are float64 or int64.

    Attributes:
        workflow, iteration: whose.
        task: "classification" or "regression".
        key: of the task that measured it.
        claimed, found, counts: the curve that is the diagonal if all is well: of groups of samples, the mean
            confidence, the share that was right, and how many there are; for values, levels of intervals and the
            shares inside.
        unsure, errors: of groups of samples by uncertainty, their mean uncertainty and mean error.
        classes: the names of the classes; empty for values.
        confusion: `[C, C]` counts, true classes down; empty for values, and where there are many classes.
        truth, mean, std: `[n, D]` of some samples; empty for classes.
        conformal: of intervals or label sets at 90 %, the share of the hold-out that they hold and how wide or large
            they are, by the names of the measures; empty where the hold-out is too small, and of older records.
    """

    workflow: str
    iteration: int
    task: str
    key: str
    claimed: np.ndarray
    found: np.ndarray
    counts: np.ndarray
    unsure: np.ndarray
    errors: np.ndarray
    classes: Sequence[str] = ()
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    truth: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))
    mean: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))
    std: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))
    conformal: Mapping[str, float] = field(default_factory=dict)


def calibration(reader: Record, curve: Curve) -> Calibration | None:
    """Return what is recorded of a workflow's last iteration; None: nothing, as of runs without a hold-out."""
    for point in reversed(curve.points[-3:]):  # of the last, the driver may have died before it was measured
        key = f"{curve.workflow}/{point.iteration}/quality"
        with contextlib.suppress(KeyError, RoseError):
            value = reader.value_of(key)
            seen = value.get("seen") if isinstance(value, dict) else None
            if isinstance(seen, dict) and {"task", "claimed", "found", "counts"} <= seen.keys():
                found = _read(curve.workflow, point.iteration, key, seen)
                return replace(found, conformal=_conformal(point.holdout))
    return None


def _conformal(measured: Mapping[str, float | None]) -> dict[str, float]:
    wanted = re.compile(r"((set_)?coverage|set_size|interval_width)_90(_\d+)?")
    return {name: value for name, value in measured.items() if value is not None and wanted.fullmatch(name)}


def _read(workflow: str, iteration: int, key: str, seen: dict[str, object]) -> Calibration:
    def numbers(name: str) -> np.ndarray:
        return np.asarray(seen.get(name, ()), dtype=np.float64)

    unsure, errors = _groups(numbers("unsure"), numbers("error"))
    common = workflow, iteration, str(seen["task"]), key
    curve = numbers("claimed"), numbers("found"), numbers("counts")
    if seen["task"] == "classification":
        classes = [str(one) for one in np.asarray(seen.get("classes", ()))]
        confusion = numbers("confusion")
        return Calibration(*common, *curve, unsure, errors, classes, confusion)
    truth, mean, std = (numbers(name) for name in ("truth", "mean", "std"))
    return Calibration(*common, *curve, unsure, errors, truth=truth, mean=mean, std=std)


def _groups(unsure: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of groups of equal size, the surest samples first."""
    if not len(unsure) or len(unsure) != len(errors):
        return np.zeros(0), np.zeros(0)
    order = np.argsort(unsure, kind="stable")
    parts = np.array_split(order, min(_GROUPS, len(order)))
    return np.array([unsure[part].mean() for part in parts]), np.array([errors[part].mean() for part in parts])
