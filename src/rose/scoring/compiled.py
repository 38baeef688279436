"""Call the numba kernels, with types: which statistics they give for a block, and when they are worth loading.

Small inputs never get here, so numba is neither imported nor needed for them; without numba, nothing does. The choice
depends on the size of the input alone: the same input takes the same path in every run.
"""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.scoring.classification import ClassStatistics, xlogx
from rose.scoring.inputs import Rows, StackedPredictions
from rose.scoring.registry import Array, Metric
from rose.scoring.regression import ValueStatistics, between, quantile_position, quantiles_of

_LOG = logging.getLogger(__name__)

WORTHWHILE = 1_000_000  # elements; below, NumPy takes milliseconds, and loading compiled code half a second
_MOST_ENDS = 32  # order statistics kept per end; for more, sorting is as fast
CLASS_STATISTICS = frozenset({
    "entropy", "expected_entropy", "first", "second", "mode_votes", "vote_entropy", "cross_entropy",
    "target_probability", "square_norm",
})  # fmt: skip
VALUE_STATISTICS = frozenset({
    "mean", "variance", "lower", "upper", "lower_quartile", "upper_quartile", "smallest", "largest",
})  # fmt: skip


@cache
def kernels() -> tuple[Any, Any] | None:
    """Return the kernel modules, of classification and of regression, or None where numba is missing or broken."""
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        importlib.import_module("numba")
    except ImportError as error:
        _LOG.warning("numba is installed but cannot be used (%s); scoring with NumPy", error)
        return None
    from rose.scoring._kernels import classification, regression

    return classification, regression


def wanted(found: StackedPredictions, metrics: Iterable[Metric], task: str) -> frozenset[str]:
    """Return the statistics that kernels should provide for this input; empty: use the definitions."""
    if found.size < WORTHWHILE or found.elsewhere is not None:
        return frozenset()
    known = CLASS_STATISTICS if task == "classification" else VALUE_STATISTICS
    uses = frozenset().union(*(m.uses for m in metrics if m.kind == "formula")) & known
    return uses if uses and kernels() is not None else frozenset()


def in_place(found: StackedPredictions) -> npt.NDArray[np.uint64] | None:
    """Return where each member's row starts, if all can be read where they lie: C-ordered float32 or float64."""
    if found.normalise:
        return None
    for row in found.rows:
        if not isinstance(row, np.ndarray) or row.dtype != found.dtype or row.dtype not in (np.float32, np.float64):
            return None
        if not (row.dtype.isnative and row.flags.c_contiguous and row.flags.aligned):
            return None
    return np.array([_address(row) for row in found.rows], dtype=np.uint64)


def _address(row: Any) -> int:
    return int(row.__array_interface__["data"][0])


def fill_class_statistics(
    statistics: ClassStatistics, names: frozenset[str], addresses: npt.NDArray[np.uint64] | None, low: int,
    tolerance: float,
) -> bool:  # fmt: skip
    """Put the named statistics into `statistics`; return whether any of its predictions may be wrong.

    Args:
        statistics: of the candidates from `low` on; its rows are read.
        names: what to fill in.
        addresses: where the whole rows start, if they can be read in place; otherwise they are copied.
        low: the number of the first candidate.
        tolerance: how far the sum of probabilities may be from 1.
    """
    found = kernels()
    assert found is not None
    kernel = found[0]
    n, classes = statistics.rows[0].shape
    rows, addresses, start = _readable(statistics.rows, addresses, low)
    where = np.full(len(kernel.STATISTICS), -1, dtype=np.int64)
    width = n + kernel.BEYOND
    where[[kernel.STATISTICS.index(name) for name in sorted(names)]] = np.arange(len(names)) * width
    out = np.empty((len(names), width))
    shares = np.arange(statistics.members + 1) / statistics.members
    wrong = kernel.classify(
        addresses, start, n, classes, np.empty(0, rows[0].dtype), _targets(statistics, names), -xlogx(shares),
        tolerance / statistics.members, where, out.reshape(-1),
    )  # fmt: skip
    statistics.__dict__.update(zip(sorted(names), out[:, :n], strict=True))
    return bool(wrong)


def _targets(statistics: ClassStatistics, names: frozenset[str]) -> npt.NDArray[np.intp]:
    if statistics.targets is None or "target_probability" not in names:
        return np.zeros(0, dtype=np.intp)
    return np.array(statistics.targets, dtype=np.intp)  # a copy: numba compiles anew for what cannot be written to


def fill_value_statistics(
    statistics: ValueStatistics, names: frozenset[str], addresses: npt.NDArray[np.uint64] | None, low: int
) -> bool:
    """Do as `fill_class_statistics`, for values; what needs too many order statistics is left to the definition."""
    found = kernels()
    assert found is not None
    kernel = found[1]
    n = len(statistics.rows[0])
    quantiles = {name: q for name, q in quantiles_of(statistics.level).items() if name in names}
    places = _places(quantiles.values(), statistics.members)
    rows, addresses, start = _readable(statistics.rows, addresses, low)
    moments = np.empty((2, n + kernel.BEYOND if names & {"mean", "variance"} else 0))
    picked = np.empty((len(places), n))
    ends = max((place + 1 if place >= 0 else -place for place in places), default=0)
    wrong = kernel.summarise(
        addresses, start, n, np.empty(0, rows[0].dtype), moments.reshape(-1), math.ceil(ends / kernel.LEVELS),
        np.array(places, dtype=np.int64), picked,
    )  # fmt: skip
    if moments.size:
        statistics.__dict__.update(mean=moments[0, :n], variance=moments[1, :n])
    if places:
        for name, q in quantiles.items():
            statistics.__dict__[name] = _quantile(q, statistics.members, places, picked)
    return bool(wrong)


def _ends(q: float, members: int) -> tuple[int, int]:
    """Return the places of the order statistics around a quantile, from the nearer end: 0, 1, ... or ..., -2, -1."""
    below, above, _ = quantile_position(q, members)
    return (below, above) if above + 1 <= members - below else (below - members, above - members)


def _places(quantiles: Iterable[float], members: int) -> list[int]:
    """Return the order statistics that hold all the quantiles; empty for none, or if one is too far from either end."""
    places = sorted({place for q in quantiles for place in _ends(q, members)})
    return places if all(-_MOST_ENDS <= place < _MOST_ENDS for place in places) else []


def _quantile(q: float, members: int, places: list[int], picked: Array) -> Array:
    below, above = (picked[places.index(place)] for place in _ends(q, members))
    with np.errstate(invalid="ignore"):  # what is not finite has been noticed, and is named by the check
        return between(below, above, quantile_position(q, members)[2])


def _readable(
    rows: Any, addresses: npt.NDArray[np.uint64] | None, low: int
) -> tuple[Rows, npt.NDArray[np.uint64], int]:
    """Return rows of one dtype that kernels can read, their addresses, and the first candidate's number from there."""
    if addresses is not None:
        return rows, addresses, low
    dtype = np.float64 if any(row.dtype == np.float64 for row in rows) else np.float32
    copies = [np.ascontiguousarray(row, dtype=dtype) for row in rows]
    return copies, np.array([_address(row) for row in copies], dtype=np.uint64), 0
