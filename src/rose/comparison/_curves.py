"""Hold what a comparison found: curves by seed, what they come to, and how sure that is."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rose.comparison._picture import draw
from rose.loop.saved.frames import needed_pandas
from rose.loop.state import Results
from rose.watch.facts.worth import Interval


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
class Comparison:
    """Hold the results of ways to choose, by seeds; `print` shows the table.

    Attributes:
        results: of all workflows, by name.
        metric: what is compared.
        higher_is_better: whether more of it is.
        control: what the others are compared with.
        seeds: the seeds.
        workflows: by way, the names of its workflows, one a seed.
    """

    results: Results
    metric: str
    higher_is_better: bool
    control: str
    seeds: Sequence[int]
    workflows: Mapping[str, Sequence[str]]

    @cached_property
    def labels(self) -> np.ndarray:
        """Return the numbers of labels at which every workflow was measured, int64 `[L]`, ascending."""
        counts = [{*self._curve(name)} for names in self.workflows.values() for name in names]
        return np.array(sorted(set.intersection(*counts)), dtype=np.int64)

    @cached_property
    def curves(self) -> dict[str, np.ndarray]:
        """Return, by way, the metric at each of `labels` in each seed, float64 `[seeds, L]`."""
        return {
            way: np.array([[self._curve(name)[count] for count in self.labels.tolist()] for name in names]).reshape(
                len(names), len(self.labels)
            )
            for way, names in self.workflows.items()
        }

    def _curve(self, workflow: str) -> dict[int, float]:
        found = self.results[workflow].curves
        pairs = zip(found["labels"].tolist(), found["metric"].tolist(), strict=True)
        return {int(count): value for count, value in pairs if math.isfinite(count) and math.isfinite(value)}

    def rows(self) -> list[Row]:
        """Return what each way came to, the control last."""
        return [self._row(way) for way in [*(way for way in self.workflows if way != self.control), self.control]]

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
        return {**told, "seeds": list(self.seeds), "rows": rows, "labels": self.labels.tolist(), "curves": curves}

    def to_frame(self) -> Any:
        """Return the mean curves as a pandas DataFrame, a row for each way and number of labels.

        Columns: acquisition, labels, seeds, mean, low, high; difference, difference_low, difference_high to the
        control, paired by seed. The bounds are 95 % intervals by Student's t.

        Raises:
            MissingPackageError: if pandas is not installed.
        """
        pandas = needed_pandas("to_frame()")
        rows = []
        for way, curve in self.curves.items():
            for place, count in enumerate(self.labels.tolist()):
                own = Interval.of(curve[:, place])
                less = Interval.of(curve[:, place] - self.curves[self.control][:, place])
                told = {"acquisition": way, "labels": count, "seeds": own.seeds}
                told |= {"mean": own.mean, "low": own.low, "high": own.high}
                rows.append(told | {"difference": less.mean, "difference_low": less.low, "difference_high": less.high})
        return pandas.DataFrame(rows)

    def picture(self, path: str | os.PathLike[str]) -> None:
        """Draw the mean curves with their 95 % intervals into a file (.png, .svg, .pdf).

        Raises:
            MissingPackageError: if matplotlib is not installed.
            OSError: if it cannot be written.
        """
        bands = {
            way: [Interval.of(curve[:, place]) for place in range(len(self.labels))]
            for way, curve in self.curves.items()
        }
        draw(path, self.labels, {way: np.array([one[:3] for one in band]) for way, band in bands.items()}, self.metric)

    def __str__(self) -> str:
        better = "higher" if self.higher_is_better else "lower"
        if not len(self.labels):
            return f"{self.metric}: nothing was measured at a number of labels that all workflows have reached"
        last = int(self.labels[-1])
        heads = ("", f"at {last} labels", f"difference to {self.control}", f"labels saved to reach {self.control}'s")
        table = [heads]
        for row in self.rows():
            saved = "" if row.saved is None else f"{row.saved} in {row.reached} of {_counted(len(self.seeds))}"
            table.append((row.name, str(row.quality), "" if row.difference is None else str(row.difference), saved))
        widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)).rstrip() for one in table
        ]
        said = (
            f"{self.metric} ({better} is better), {_counted(len(self.seeds))}, {int(self.labels[0])} to {last} labels"
        )
        return "\n".join(
            [said, "", *lines, "", "[...]: 95 % interval by Student's t over seeds; differences are paired"]
        )


def _counted(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds} seeds"
