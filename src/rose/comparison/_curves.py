"""Hold what a comparison found: curves by seed, what they come to, and how sure that is."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rose.comparison._picture import draw
from rose.loop.saved.frames import needed_pandas
from rose.loop.state import Results
from rose.watch.facts.paired import EXPLAINED, Interval, Paired, Row


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
    def _paired(self) -> Paired:
        measured = {way: [self._measured(name) for name in names] for way, names in self.workflows.items()}
        return Paired(self.metric, self.higher_is_better, self.control, measured)

    def _measured(self, workflow: str) -> dict[int, float]:
        found = self.results[workflow].curves
        pairs = zip(found["labels"].tolist(), found["metric"].tolist(), strict=True)
        return {int(count): value for count, value in pairs if math.isfinite(count) and math.isfinite(value)}

    @property
    def labels(self) -> np.ndarray:
        """Return the numbers of labels at which the curves are told, int64 `[L]`, ascending."""
        return self._paired.labels

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """Return, by way, the metric at each of `labels` (or the last before) in each seed, float64 `[seeds, L]`."""
        return self._paired.curves

    def rows(self) -> list[Row]:
        """Return what each way came to, the control last."""
        return self._paired.rows()

    def to_dict(self) -> dict[str, Any]:
        """Return the table and the curves in plain values, NaN where there is none."""
        return self._paired.to_dict() | {"seeds": list(self.seeds)}

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
        found = self._paired.table()
        if not found:
            return self._paired.told()
        widths = [max(len(line[column]) for line in found) for column in range(len(found[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)).rstrip() for one in found
        ]
        return "\n".join([self._paired.told(), "", *lines, "", EXPLAINED])
