"""Show histories as arrays and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rose.errors import MissingPackageError

_ALIASES = {"metric_value": "metric", "uq_value": "uncertainty"}


class Entry(dict[str, Any]):
    """Hold one iteration of a history; what ROSE calls `metric_value` and `uq_value` is found under these names, too.

    >>> Entry(metric=0.9)["metric_value"]
    0.9
    """

    def __missing__(self, key: str) -> Any:
        if key in _ALIASES:
            return self[_ALIASES[key]]
        raise KeyError(key)


def curves_of(iterations: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return a history's numbers by name, float64 `[iterations]` each; NaN where there is none.

    >>> curves_of([{"labels": 20, "metric": None, "uncertainty": 0.5, "holdout": {"brier": 0.25}}])["brier"]
    array([0.25])
    """
    rows = [_row(one) for one in iterations]
    names = dict.fromkeys(("labels", "metric", "uncertainty")) | dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([np.nan if row.get(name) is None else row[name] for row in rows], float) for name in names}


def _row(entry: Mapping[str, Any]) -> dict[str, float | None]:
    own = {name: entry.get(name) for name in ("labels", "metric", "uncertainty")}
    return {**(entry.get("holdout") or {}), **own}


def frame_of(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    """Return histories by workflow as a pandas DataFrame.

    Its columns are workflow, iteration, labels, metric, uncertainty, and what was measured on the hold-out.

    Raises:
        MissingPackageError: if pandas is not installed.
    """
    pandas = needed_pandas("to_frame()")
    columns = ["workflow", "iteration", "labels", "metric", "uncertainty"]
    rows = [
        {"workflow": name, "iteration": entry["iteration"], **_row(entry)}
        for name, iterations in histories.items()
        for entry in iterations
    ]
    found = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    return pandas.DataFrame(rows, columns=[*found])


def needed_pandas(what: str) -> Any:
    """Return pandas, which is imported only where somebody asks for a table.

    Raises:
        MissingPackageError: if it is not installed; `what` needs it.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingPackageError(f"{what} needs pandas: pip install pandas") from error
    return pandas
