"""What stacked predictions may be: one array, a list of S arrays, or S .npy files; and what makes them wrong.

`Predictions` hands out blocks of candidates as S rows, never copying what lies in memory. Files are read block by
block with plain reads (not memory-mapped: mapped pages would count against the process's memory).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.errors import ConfigurationError, PredictionError
from rose.scoring.device import lives_elsewhere, stacked, to_host

Rows = list[npt.NDArray[Any]]

# How far a row of probabilities may be from 1: rounding of the dtype, over a thousand classes or so.
SUM_TOLERANCE = {2: 1e-2, 4: 1e-4, 8: 1e-5}


@dataclass(frozen=True)
class NpyFile:
    """One member's predictions in a .npy file, read a slice at a time."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> NpyFile:
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PredictionError(f"cannot read predictions from {os.fspath(path)!r}: {error}") from error
        if not isinstance(mapped, np.memmap) or not mapped.flags.c_contiguous:
            raise PredictionError(f"{os.fspath(path)!r} is not one C-ordered .npy array")
        return cls(os.fspath(path), mapped.shape, mapped.dtype, int(mapped.offset))

    def read(self, low: int, high: int) -> npt.NDArray[Any]:
        width = math.prod(self.shape[1:])
        count = (high - low) * width
        start = self.offset + low * width * self.dtype.itemsize
        block = np.fromfile(self.path, dtype=self.dtype, count=count, offset=start)
        if len(block) != count:
            raise PredictionError(f"{self.path!r} ends early: it was changed while being read")
        return block.reshape((high - low, *self.shape[1:]))


@dataclass(frozen=True)
class Predictions:
    """S members' predictions for N candidates.

    Attributes:
        rows: S arrays or files, each of shape `[N]`, `[N, C]` or `[N, D]`.
        shape: `(S, N)` or `(S, N, C)`.
        dtype: of all rows in common.
        array: the one array that the rows are views of, where there is one.
        elsewhere: what lives on an accelerator instead: one array, or a list of S; `rows` is then empty.
    """

    rows: Sequence[npt.NDArray[Any] | NpyFile]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    array: npt.NDArray[Any] | None = None
    elsewhere: Any = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def block(self, low: int, high: int) -> Rows:
        """The rows of candidates `low` to `high - 1`: S arrays `[n, ...]`, native-endian floats."""
        if self.elsewhere is not None:
            return [usable(row) for row in to_host(self.device_block(low, high))]
        return [usable(row.read(low, high) if isinstance(row, NpyFile) else row[low:high]) for row in self.rows]

    def device_block(self, low: int, high: int) -> Any:
        """`[S, n, ...]` for candidates `low` to `high - 1`, on the device where the predictions live."""
        if isinstance(self.elsewhere, list):
            return stacked([row[low:high, ...] for row in self.elsewhere])
        return self.elsewhere[:, low:high, ...]

    def whole(self) -> npt.NDArray[Any]:
        """Everything as one array `[S, N, ...]`; what already is one array is not copied."""
        return np.stack(self.block(0, self.shape[1])) if self.array is None else self.array


def usable(row: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """As native floats; whole numbers become float64."""
    if row.dtype.kind != "f":
        return row.astype(np.float64)
    return row if row.dtype.isnative else row.astype(row.dtype.newbyteorder("="))


def predictions(mc_preds: object, name: str = "mc_preds") -> Predictions:
    """Understand `mc_preds` (see `rose.scoring.score` for what it may be) without copying it.

    Raises:
        PredictionError: if it is empty, ragged, not numeric, wider than float64, or not `[S, N]` or `[S, N, C]`.

    >>> predictions([[0.1, 0.2, 0.3], [0.1, 0.2, 0.4]]).shape
    (2, 3)
    """
    if isinstance(mc_preds, Predictions):
        return mc_preds
    if isinstance(mc_preds, (str, os.PathLike)):
        raise PredictionError(f"{name} is one path; give a list of S paths (one .npy file per member), or the array")
    if lives_elsewhere(mc_preds):
        return _elsewhere(mc_preds, tuple(getattr(mc_preds, "shape", ())), name)
    if not isinstance(mc_preds, (list, tuple)) or not mc_preds:
        return _one_array(_array(mc_preds, name), name)
    if lives_elsewhere(mc_preds[0]):
        return _elsewhere(list(mc_preds), (len(mc_preds), *mc_preds[0].shape), name)
    if all(isinstance(row, (str, os.PathLike)) for row in mc_preds):
        return _rows([NpyFile.open(path) for path in mc_preds], name)
    if all(hasattr(row, "__array__") or hasattr(row, "__dlpack__") for row in mc_preds):
        return _rows([_array(row, f"{name}[{i}]") for i, row in enumerate(mc_preds)], name)
    return _one_array(_array(mc_preds, name), name)


def _one_array(array: npt.NDArray[Any], name: str) -> Predictions:
    if array.ndim not in (2, 3):
        raise PredictionError(f"{name} must be [S, N] or [S, N, C], not of shape {array.shape}")
    return replace(_rows(list(array), name), array=array)


def _rows(rows: Sequence[npt.NDArray[Any] | NpyFile], name: str) -> Predictions:
    if not rows:
        raise PredictionError(f"{name} holds no member: S = 0")
    shape = rows[0].shape
    for i, row in enumerate(rows):
        if row.shape != shape:
            raise PredictionError(f"{name}: member {i} has shape {row.shape}, but member 0 has {shape}")
        if row.dtype.kind not in "fiu" or row.dtype.itemsize > 8:
            raise PredictionError(f"{name}: member {i} is of dtype {row.dtype}; use float16, float32 or float64")
    _check_member_shape(shape, name)
    kinds = {row.dtype if row.dtype.kind == "f" else np.dtype(np.float64) for row in rows}
    return Predictions(rows, (len(rows), *shape), np.result_type(*kinds).newbyteorder("="))


def _elsewhere(arrays: Any, shape: tuple[int, ...], name: str) -> Predictions:
    if len(shape) not in (2, 3) or shape[0] == 0:
        raise PredictionError(f"{name} must be [S, N] or [S, N, C] with S > 0, not of shape {shape}")
    _check_member_shape(shape[1:], name)
    some = arrays[0][:1, ...] if isinstance(arrays, list) else arrays[:1, :1, ...]
    dtype = to_host(some).dtype
    if dtype.kind != "f":
        raise PredictionError(f"{name} is of dtype {dtype}; use float16, float32 or float64")
    return Predictions([], shape, dtype, elsewhere=arrays)


def _check_member_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] == 0):
        raise PredictionError(f"{name}: each member must be [N] or [N, C] with C > 0, not of shape {shape}")


def _array(value: object, name: str) -> npt.NDArray[Any]:
    try:
        array = to_host(value)
    except (TypeError, ValueError) as error:
        raise PredictionError(f"{name} is no array: {error}") from error
    if array.dtype.kind not in "fiu":
        raise PredictionError(f"{name} has dtype {array.dtype}; use float16, float32 or float64")
    return array


def task_of(found: Predictions, task: str, reduction: str | None = None) -> str:
    """Check the number of dimensions against the task type; "any" is decided by it.

    Raises:
        PredictionError: if they do not fit.
    """
    dimensions = len(found.shape)
    if task == "any":
        task = "classification" if dimensions == 3 and reduction is None else "regression"
    if task == "classification" and dimensions != 3:
        raise PredictionError(f"classification needs probabilities [S, N, C], not shape {found.shape}")
    if task == "regression" and dimensions == 3 and reduction is None:
        raise PredictionError(
            f"regression needs values [S, N], not shape {found.shape}; for several outputs [S, N, D] declare "
            "reduction='mean', 'max', 'sum' or 'norm'"
        )
    return task


def check_predictions(mc_preds: object, task: str, *, nan: str = "raise") -> None:
    """Check stacked predictions: numbers, finite, and for classification probabilities that sum to 1.

    One pass in bounded memory. A row may miss 1 by rounding: 1e-2 in float16, 1e-4 in float32, 1e-5 in float64.

    Args:
        mc_preds: `[S, N, C]` or `[S, N]`, in any form that `score` takes.
        task: "classification" or "regression".
        nan: "omit" lets NaN pass.

    Raises:
        PredictionError: naming the member, the candidate and what is wrong.
        ConfigurationError: for an unknown task.

    >>> check_predictions([[[0.5, 0.5]], [[0.9, 0.3]]], "classification")
    Traceback (most recent call last):
    rose.errors.PredictionError: member 1, candidate 0: probabilities sum to 1.2, not 1
    """
    if task not in ("classification", "regression"):
        raise ConfigurationError(f"task={task!r} must be 'classification' or 'regression'")
    found = predictions(mc_preds)
    task_of(found, task, reduction="any" if task == "regression" else None)
    size = max(1, 65536 // math.prod(found.shape[2:]))
    for low in range(0, found.shape[1], size):
        check_block(found.block(low, min(low + size, found.shape[1])), low, task, nan=nan)


def check_block(rows: Rows, start: int, task: str, *, nan: str = "raise") -> None:
    """`check_predictions` for the rows of candidates `start`, `start + 1`, ...; the first offence is named."""
    for member, row in enumerate(rows):
        bad = ~np.isfinite(row) if nan == "raise" else np.isinf(row)
        if bad.any():
            _complain(member, start, bad, "is {value}, not a finite number", row)
        if task == "classification":
            tolerance = SUM_TOLERANCE[row.dtype.itemsize]
            _check_probabilities(member, start, row, tolerance)


def _check_probabilities(member: int, start: int, row: npt.NDArray[Any], tolerance: float) -> None:
    outside = (row < 0.0) | (row > 1.0 + tolerance)
    if outside.any():
        _complain(member, start, outside, "is {value}, outside [0, 1] (are these logits? apply softmax)", row)
    sums = row.sum(axis=-1, dtype=np.float64)
    wrong = np.abs(sums - 1.0) > tolerance  # a NaN sum is not wrong here: it was reported or is omitted
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise PredictionError(
            f"member {member}, candidate {start + at}: probabilities sum to {sums[at]:.6g}, not 1"
        )  # fmt: skip


def _complain(member: int, start: int, bad: npt.NDArray[np.bool_], what: str, row: npt.NDArray[Any]) -> None:
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f", column {at[1]}" if len(at) > 1 else ""
    raise PredictionError(
        f"member {member}, candidate {start + at[0]}{where}: the prediction " + what.format(value=row[at])
    )  # fmt: skip
