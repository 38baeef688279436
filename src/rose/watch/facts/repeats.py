"""Put workflows together that repeat the same with other seeds: their mean, and how far they lie apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.watch.facts.curves import Curve

_NUMBER = re.compile(r"[-_ #/]*\d+$")


@dataclass(frozen=True)
class Drawn:
    """Hold a curve as it is drawn: of one workflow, or the mean of several; arrays are float64 `[iterations]`.

    Attributes:
        name: of the workflow, or what the names of repeats have in common.
        workflows: whose it is.
        iteration, labels, seconds, cost: what it is drawn over; labels are NaN where they are the user's files.
        values: by the names of figures, what is drawn.
        low, high: the same, of repeats the least and the largest; empty where there is one workflow.
    """

    name: str
    workflows: Sequence[str]
    iteration: np.ndarray
    labels: np.ndarray
    seconds: np.ndarray
    cost: np.ndarray
    values: Mapping[str, np.ndarray]
    low: Mapping[str, np.ndarray]
    high: Mapping[str, np.ndarray]


def repeats(curves: Sequence[Curve], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Curve]]:
    """Return workflows that differ in nothing but their seeds, by what their names have in common; others alone.

    Args:
        curves: of all workflows.
        settings: of those of which they are known.
    """
    found: dict[str, list[Curve]] = {}
    alike: dict[str, object] = {}
    for curve in curves:
        own = settings.get(curve.workflow, {})
        name = _NUMBER.sub("", curve.workflow) if "seed" in own else curve.workflow
        rest = {key: value for key, value in own.items() if key not in ("seed", "control_of")}
        if not name or alike.setdefault(name, rest) != rest:
            name = curve.workflow
        found.setdefault(name, []).append(curve)
    return {(name if len(of_one) > 1 else of_one[0].workflow): of_one for name, of_one in found.items()}


def drawn(groups: Mapping[str, Sequence[Curve]], names: Sequence[str]) -> list[Drawn]:
    """Return what is drawn of each group, for these figures."""
    return [_together(name, curves, names) for name, curves in groups.items()]


def _together(name: str, curves: Sequence[Curve], names: Sequence[str]) -> Drawn:
    """Return the mean over repeats, iteration by iteration, as far as all of them have come."""
    places = [{point.iteration: number for number, point in enumerate(curve.points)} for curve in curves]
    common = sorted(set.intersection(*map(set, places))) if places else []

    def column(of: Sequence[Sequence[Any]]) -> np.ndarray:
        """Return `[repeats, iterations]`."""
        rows = [[values[place[i]] for i in common] for values, place in zip(of, places, strict=True)]
        found = np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
        return found.reshape(len(rows), len(common))

    def mean(attribute: str) -> np.ndarray:
        return np.asarray(column([[getattr(p, attribute) for p in curve.points] for curve in curves]).mean(axis=0))

    columns = {one: column([curve.values(one) for curve in curves]) for one in names}
    several = len(curves) > 1
    return Drawn(
        name=name,
        workflows=[curve.workflow for curve in curves],
        iteration=np.array(common, dtype=np.float64),
        labels=mean("labels"),
        seconds=mean("seconds"),
        cost=mean("cost"),
        values={one: found.mean(axis=0) for one, found in columns.items()},
        low={one: found.min(axis=0) for one, found in columns.items()} if several else {},
        high={one: found.max(axis=0) for one, found in columns.items()} if several else {},
    )
