"""Read stacked predictions: one array, a list of S arrays, or S .npy files; and say what makes them wrong.

`StackedPredictions` hands out blocks of candidates as S rows, never copying what lies in memory. Files are read block
by block with plain reads (not memory-mapped: mapped pages would count against the process's memory).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.arrays import as_array, as_numbers, probability_tolerance, refuse_sparse
from rose.errors import ConfigurationError, PredictionError
from rose.npy import NpyFile
from rose.scoring.device import lives_elsewhere, stacked, together, without_gradients
from rose.scoring.probabilities import check_sums, divided

Rows = list[npt.NDArray[Any]]


def _opened(path: str | os.PathLike[str]) -> NpyFile:
    """Open one member's predictions in a .npy file, which is read a slice at a time."""
    try:
        file = NpyFile.of(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise PredictionError(f"cannot read predictions from {os.fspath(path)!r}: {error}") from error
    if file is None:
        raise PredictionError(f"{os.fspath(path)!r} is not one C-ordered .npy array")
    return file


def _read(file: NpyFile, low: int, high: int) -> npt.NDArray[Any]:
    try:
        return file.read(low, high)
    except EOFError:
        raise PredictionError(f"{file.path!r} ends early: it was changed while being read") from None


@dataclass(frozen=True)
class StackedPredictions:
    """Hold S members' predictions for N candidates.

    Attributes:
        rows: S arrays or files, each of shape `[N]`, `[N, C]` or `[N, D]`.
        shape: `(S, N)` or `(S, N, C)`.
        dtype: of all rows in common.
        tolerance: how far probabilities may be from [0, 1] and their sum from 1, by what they were computed in.
        array: the one array that the rows are views of, where there is one.
        elsewhere: what lives on an accelerator instead: one array, or a list of S; `rows` is then empty.
        normalise: whether each candidate's probabilities are divided by their sum as they are handed out.
    """

    rows: Sequence[npt.NDArray[Any] | NpyFile]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    tolerance: float
    array: npt.NDArray[Any] | None = None
    elsewhere: Any = None
    normalise: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def block(self, low: int, high: int) -> Rows:
        """Return the rows of candidates `low` to `high - 1`: S arrays `[n, ...]`, native-endian floats.

        Raises:
            PredictionError: if they are to be divided by their sums, and are no rounded probabilities.
        """
        if self.elsewhere is not None:
            rows = [usable(row) for row in as_array(self.device_block(low, high), "mc_preds", PredictionError)]
        else:
            rows = [usable(_read(row, low, high) if isinstance(row, NpyFile) else row[low:high]) for row in self.rows]
        if not self.normalise:
            return rows
        return [
            divided(row, self.tolerance, lambda at, member=i: f"member {member}, candidate {low + at}")  # type: ignore[misc]
            for i, row in enumerate(rows)
        ]

    def device_block(self, low: int, high: int) -> Any:
        """Return `[S, n, ...]` for candidates `low` to `high - 1`, on the device where the predictions live."""
        if isinstance(self.elsewhere, list):
            return stacked([row[low:high, ...] for row in self.elsewhere])
        return self.elsewhere[:, low:high, ...]

    def whole(self) -> npt.NDArray[Any]:
        """Return everything as one array `[S, N, ...]`; what already is one array is not copied."""
        if self.array is None or self.normalise:
            return np.stack(self.block(0, self.shape[1]))
        return usable(self.array)


def usable(row: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return native floats; whole numbers become float64."""
    if row.dtype.kind != "f":
        return row.astype(np.float64)
    return row if row.dtype.isnative else row.astype(row.dtype.newbyteorder("="))


def predictions(mc_preds: object, name: str = "mc_preds", axes: int | None = None) -> StackedPredictions:
    """Understand `mc_preds` (see `rose.scoring.score` for what it may be) without copying it.

    Args:
        mc_preds: the predictions.
        name: what messages call them.
        axes: of the stack; last axes of length 1 beyond so many are dropped. None: nothing is.

    Raises:
        PredictionError: if it is empty, ragged, not numeric, wider than float64, sparse, or not `[S, N]` or
            `[S, N, C]`.

    >>> predictions([[0.1, 0.2, 0.3], [0.1, 0.2, 0.4]]).shape
    (2, 3)
    """
    if isinstance(mc_preds, StackedPredictions):
        return mc_preds
    if isinstance(mc_preds, (str, os.PathLike)):
        raise PredictionError(f"{name} is one path; give a list of S paths (one .npy file per member), or the array")
    tolerance = probability_tolerance(mc_preds)
    if lives_elsewhere(mc_preds):
        return _elsewhere(mc_preds, tuple(getattr(mc_preds, "shape", ())), name, axes, tolerance)
    if not isinstance(mc_preds, (list, tuple)) or not mc_preds:
        return _one_array(_array(mc_preds, name), name, axes, tolerance)
    if all(lives_elsewhere(row) for row in mc_preds) and together(list(mc_preds)):
        shapes = [tuple(row.shape) for row in mc_preds]
        _check_alike(shapes, name)
        return _elsewhere(list(mc_preds), (len(shapes), *shapes[0]), name, axes, tolerance)
    if all(isinstance(row, (str, os.PathLike)) for row in mc_preds):
        files = [_opened(path) for path in mc_preds]
        return _rows([_without_last_axes(file, axes) for file in files], name, probability_tolerance(files))
    if not any(isinstance(row, (list, tuple, int, float)) for row in mc_preds):
        rows = [_array(row, f"{name}[{i}]") for i, row in enumerate(mc_preds)]
        return _rows([_without_last_axes(row, axes) for row in rows], name, tolerance)
    return _one_array(_array(mc_preds, name), name, axes, tolerance)


def _one_array(array: npt.NDArray[Any], name: str, axes: int | None, tolerance: float) -> StackedPredictions:
    while axes is not None and array.ndim > axes and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3):
        raise PredictionError(f"{name} must be [S, N] or [S, N, C], not of shape {array.shape}")
    return replace(_rows(list(array), name, tolerance), array=array)


def _without_last_axes(row: Any, axes: int | None) -> Any:
    """Return a member's array or file without last axes of length 1, beyond the `axes` of the stack."""
    while axes is not None and len(row.shape) > axes - 1 and row.shape[-1] == 1:
        row = replace(row, shape=row.shape[:-1]) if isinstance(row, NpyFile) else row[..., 0]
    return row


def _check_alike(shapes: Sequence[tuple[int, ...]], name: str) -> None:
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise PredictionError(f"{name}: member {i} has shape {shape}, but member 0 has {shapes[0]}")


def _rows(rows: Sequence[npt.NDArray[Any] | NpyFile], name: str, tolerance: float) -> StackedPredictions:
    if not rows:
        raise PredictionError(f"{name} holds no member: S = 0")
    _check_alike([row.shape for row in rows], name)
    for i, row in enumerate(rows):
        if row.dtype.kind not in "fiu" or row.dtype.itemsize > 8:
            raise PredictionError(f"{name}: member {i} is of dtype {row.dtype}; use float16, float32 or float64")
    _check_member_shape(rows[0].shape, name)
    kinds = {row.dtype if row.dtype.kind == "f" else np.dtype(np.float64) for row in rows}
    return StackedPredictions(
        rows, (len(rows), *rows[0].shape), np.result_type(*kinds).newbyteorder("="), tolerance
    )  # fmt: skip


def _elsewhere(
    arrays: Any, shape: tuple[int, ...], name: str, axes: int | None, tolerance: float
) -> StackedPredictions:
    several = isinstance(arrays, list)
    for array in arrays if several else [arrays]:
        refuse_sparse(array, name, PredictionError)
    arrays = [without_gradients(a) for a in arrays] if several else without_gradients(arrays)
    while axes is not None and len(shape) > axes and shape[-1] == 1:
        shape, arrays = shape[:-1], [a[..., 0] for a in arrays] if several else arrays[..., 0]
    if len(shape) not in (2, 3) or shape[0] == 0:
        raise PredictionError(f"{name} must be [S, N] or [S, N, C] with S > 0, not of shape {shape}")
    _check_member_shape(shape[1:], name)
    dtype = _array(arrays[0][:1, ...] if several else arrays[:1, :1, ...], name).dtype
    return StackedPredictions(
        [], shape, dtype if dtype.kind == "f" else np.dtype(np.float64), tolerance, elsewhere=arrays
    )


def _check_member_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] == 0):
        raise PredictionError(f"{name}: each member must be [N] or [N, C] with C > 0, not of shape {shape}")


def _array(value: object, name: str) -> npt.NDArray[Any]:
    array = as_array(value, name, PredictionError)
    array = as_numbers(array, name, PredictionError) if array.dtype.kind == "O" else array
    if array.dtype.kind not in "fiu":
        raise PredictionError(f"{name} has dtype {array.dtype}; use float16, float32 or float64")
    return array


BOTH_COLUMNS = "; if they are P(class 1), give both columns: rose.arrays.two_columns(p[..., None]) is [1 - p, p]"


def normalising(found: StackedPredictions, normalise: bool, task: str) -> StackedPredictions:
    """Return the predictions, to be divided by their sums if so wanted.

    Raises:
        ConfigurationError: if they are no probabilities, which have no sum.
    """
    if normalise and task != "classification":
        raise ConfigurationError("normalise=True divides probabilities by their sum; these are values (regression)")
    return replace(found, normalise=True) if normalise else found


def task_of(found: StackedPredictions, task: str, reduction: str | None = None) -> str:
    """Check the number of dimensions against the task type; "any" is decided by it.

    Raises:
        PredictionError: if they do not fit.
    """
    dimensions = len(found.shape)
    if task == "any":
        task = "classification" if dimensions == 3 and reduction is None else "regression"
    if task == "classification" and dimensions != 3:
        raise PredictionError(f"classification needs probabilities [S, N, C], not shape {found.shape}{BOTH_COLUMNS}")
    if task == "regression" and dimensions == 3 and reduction is None:
        raise PredictionError(
            f"regression needs values [S, N], not shape {found.shape}; for several outputs [S, N, D] declare "
            "reduction='mean', 'max', 'sum' or 'norm'"
        )
    return task


def check_predictions(mc_preds: object, task: str, *, nan: str = "raise", normalise: bool = False) -> None:
    """Check stacked predictions: numbers, finite, and for classification probabilities that sum to 1.

    One pass in bounded memory. Probabilities may miss [0, 1], and their sum 1, by the rounding of what they were
    computed in: 3e-2 in bfloat16, 1e-2 in float16, 1e-4 in float32, 1e-5 in float64.

    Args:
        mc_preds: `[S, N, C]` or `[S, N]`, in any form that `score` takes.
        task: "classification" or "regression".
        nan: "omit" lets NaN pass.
        normalise: sums within 5 % of 1 will do: `score(..., normalise=True)` divides by them.

    Raises:
        PredictionError: naming the member, the candidate and what is wrong.
        ConfigurationError: for an unknown task, or values that are to be normalised.

    >>> check_predictions([[[0.5, 0.5]], [[0.9, 0.3]]], "classification")
    Traceback (most recent call last):
    rose.errors.PredictionError: member 1, candidate 0: probabilities sum to 1.2, not 1
    """
    if task not in ("classification", "regression"):
        raise ConfigurationError(f"task={task!r} must be 'classification' or 'regression'")
    found = predictions(mc_preds)
    task_of(found, task, reduction="any" if task == "regression" else None)
    found = normalising(found, normalise, task)
    size = max(1, 65536 // math.prod(found.shape[2:]))
    for low in range(0, found.shape[1], size):
        check_block(found.block(low, min(low + size, found.shape[1])), low, task, found.tolerance, nan=nan)


def check_block(rows: Rows, start: int, task: str, tolerance: float, *, nan: str = "raise") -> None:
    """Check the rows of candidates from `start` on as `check_predictions` does; the first offence is named."""
    for member, row in enumerate(rows):
        bad = ~np.isfinite(row) if nan == "raise" else np.isinf(row)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            column = f", column {at[1]}" if len(at) > 1 else ""
            raise PredictionError(
                f"member {member}, candidate {start + at[0]}{column}: the prediction is {row[at]}, not a finite number"
            )
        if task == "classification":
            check_sums(row, tolerance, tolerance, lambda at, who=member: f"member {who}, candidate {start + at}")  # type: ignore[misc]
