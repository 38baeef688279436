"""Say by how much ways to choose differ where they were tried with the same seeds, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rose.watch.facts.curves import Curve, counted, is_higher_better, main_measure
from rose.watch.facts.provenance import Provenance

_SURE = 0.95
EXPLAINED = "[...]: 95 % interval by Student's t over seeds; differences are paired"


class Interval(NamedTuple):
    """Hold a mean over seeds, and its 95 % interval by Student's t; the bounds are NaN where there is one seed."""

    mean: float
    low: float
    high: float
    seeds: int

    @classmethod
    def of(cls, values: np.ndarray) -> Interval:
        """Return the mean of the values that are there, and its interval.

        >>> str(Interval.of(np.array([1.0, 2.0, 3.0])))
        '2 [-0.4841, 4.484]'
        """
        there = values[np.isfinite(values)]
        if len(there) == 0:
            return cls(math.nan, math.nan, math.nan, 0)
        mean = float(there.mean())
        if len(there) == 1:
            return cls(mean, math.nan, math.nan, 1)
        from scipy.special import stdtrit  # slow to import

        half = float(stdtrit(len(there) - 1, 0.5 + _SURE / 2)) * float(there.std(ddof=1)) / math.sqrt(len(there))
        return cls(mean, mean - half, mean + half, len(there))

    def __str__(self) -> str:
        if not self.seeds:
            return "-"
        return f"{self.mean:.4g}" if self.seeds == 1 else f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


class Row(NamedTuple):
    """Hold what one way to choose came to.

    Attributes:
        name: what it is called.
        quality: the metric at the last labels that all have reached.
        difference: of that to the control's, paired by seed; None: it is the control.
        saved: how many labels fewer than the control it needed to reach the control's last quality, over the seeds in
            which it did; None: it is the control.
        reached: in how many of the seeds it did.
    """

    name: str
    quality: Interval
    difference: Interval | None
    saved: Interval | None
    reached: int


@dataclass(frozen=True)
class Paired:
    """Hold how good ways to choose were by labels, each with the same seeds.

    Attributes:
        metric: what is compared.
        higher_is_better: whether more of it is.
        control: what the others are compared with.
        measured: by way, for each seed the metric by the number of labels at which it was measured.
    """

    metric: str
    higher_is_better: bool
    control: str
    measured: Mapping[str, Sequence[Mapping[int, float]]]

    @cached_property
    def labels(self) -> np.ndarray:
        """Return the numbers of labels, int64 `[L]`, ascending, at which all were measured.

        Where the last that all have reached is none of them, since simulations were dropped: at which any was.
        """
        curves = [curve for of_one in self.measured.values() for curve in of_one]
        if not all(curves):
            return np.empty(0, dtype=np.int64)
        first, last = max(min(curve) for curve in curves), min(max(curve) for curve in curves)
        found = set.intersection(*map(set, curves))
        if last not in found:
            found = {count for curve in curves for count in curve if first <= count <= last}
        return np.array(sorted(found), dtype=np.int64)

    @cached_property
    def curves(self) -> dict[str, np.ndarray]:
        """Return, by way, the metric at each of `labels` in each seed, float64 `[seeds, L]`.

        Where one was not measured at just so many, it is the last before.
        """
        return {
            way: np.array([self._at(curve) for curve in of_one]).reshape(len(of_one), len(self.labels))
            for way, of_one in self.measured.items()
        }

    def _at(self, curve: Mapping[int, float]) -> list[float]:
        known = sorted(curve)
        return [curve[known[i - 1]] for i in np.searchsorted(known, self.labels, side="right").tolist()]

    def rows(self) -> list[Row]:
        """Return what each way came to, the control last."""
        return [self._row(way) for way in [*(way for way in self.measured if way != self.control), self.control]]

    def _row(self, way: str) -> Row:
        mine, control = self.curves[way], self.curves[self.control]
        if not len(self.labels):
            nothing = Interval.of(np.empty(0))
            return Row(way, nothing, nothing, nothing, 0)
        quality = Interval.of(mine[:, -1])
        if way == self.control:
            return Row(way, quality, None, None, 0)
        saved = np.array([self._saved(a, b) for a, b in zip(mine, control, strict=True)])
        difference = Interval.of(mine[:, -1] - control[:, -1])
        return Row(way, quality, difference, Interval.of(saved), int(np.isfinite(saved).sum()))

    def _saved(self, mine: np.ndarray, control: np.ndarray) -> float:
        """Return by how many labels one curve reaches the other's last quality earlier; NaN: it does not."""
        good = mine >= control[-1] if self.higher_is_better else mine <= control[-1]
        return float(self.labels[-1] - self.labels[np.argmax(good)]) if good.any() else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the table and the curves in plain values, NaN where there is none."""
        told = {"metric": self.metric, "higher_is_better": self.higher_is_better, "control": self.control}
        rows = []
        for row in self.rows():
            parts = {"quality": row.quality, "difference": row.difference, "saved": row.saved}
            plain = {name: None if part is None else part._asdict() for name, part in parts.items()}
            rows.append({"name": row.name, **plain, "reached": row.reached})
        curves = {way: curve.tolist() for way, curve in self.curves.items()}
        return {**told, "rows": rows, "labels": self.labels.tolist(), "curves": curves}

    @property
    def seeds(self) -> int:
        """Return how many seeds there are."""
        return len(self.measured[self.control])

    def told(self) -> str:
        """Say what is compared, and how far the comparison goes."""
        if not len(self.labels):
            return f"{self.metric}: nothing was measured at a number of labels that all workflows have reached"
        better = "higher" if self.higher_is_better else "lower"
        span = f"{int(self.labels[0])} to {int(self.labels[-1])} labels"
        return f"{self.metric} ({better} is better), {counted(self.seeds, 'seed')}, {span}"

    def table(self) -> list[tuple[str, str, str, str]]:
        """Return the heads and the rows of the table as texts; none where nothing can be compared."""
        if not len(self.labels):
            return []
        last, name = int(self.labels[-1]), self.control
        lines = [("", f"at {last} labels", f"difference to {name}", f"labels saved to reach {name}'s")]
        for row in self.rows():
            saved = "" if row.saved is None else f"{row.saved} in {row.reached} of {counted(self.seeds, 'seed')}"
            lines.append((row.name, str(row.quality), "" if row.difference is None else str(row.difference), saved))
        return lines


def paired(groups: Mapping[str, Sequence[Curve]], provenance: Provenance) -> Paired | None:
    """Return the comparison that a run is: `rose.compare`'s, or repeats with the same seeds as others at random.

    Args:
        groups: its workflows by name, repeats of one with other seeds together.
        provenance: how it came to be.
    """
    curves = {curve.workflow: curve for of_one in groups.values() for curve in of_one}
    noted = provenance.last.get("comparison") or {}
    ways: dict[str, list[str]] = noted.get("workflows") or _by_seed(groups, provenance)
    control = noted.get("control") or next((way for way, names in ways.items() if names[0] in provenance.controls), "")
    measure = noted.get("metric") or main_measure([*curves.values()])
    if (
        measure is None
        or control not in ways
        or len(ways) < 2
        or not all(n in curves for w in ways.values() for n in w)
    ):
        return None
    measured = {way: [_measured(curves[name], measure) for name in names] for way, names in ways.items()}
    return Paired(measure, is_higher_better(measure, [*curves.values()]), control, measured)


def _by_seed(groups: Mapping[str, Sequence[Curve]], provenance: Provenance) -> dict[str, list[str]]:
    """Return those of a seed in the same place, of seeds that all have; none where there is one of each."""
    of_seed = {way: {provenance.setting(c.workflow, "seed"): c.workflow for c in of} for way, of in groups.items()}
    common = set.intersection(*map(set, of_seed.values())) - {None} if of_seed else set()
    return {way: [names[seed] for seed in names if seed in common] for way, names in of_seed.items() if len(common) > 1}


def _measured(curve: Curve, measure: str) -> dict[int, float]:
    pairs = zip(curve.points, curve.values(measure), strict=True)
    return {p.labels: value for p, value in pairs if p.labels is not None and value is not None and np.isfinite(value)}
