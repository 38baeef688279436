"""Take tables with named columns (pandas' DataFrames, or what looks like one) as candidates, and keep them tables.

No library is imported here: a table brings its own.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from rose.errors import PoolError
from rose.identity import value_digest
from rose.store import not_finite

_ROWS = 4096  # that are looked at together


def is_frame(X: Any) -> bool:
    """Return whether these are rows with named columns."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def check_frame(X: Any, name: str, allow_nan: bool) -> None:
    """Check that no value is missing or infinite.

    Args:
        X: the table.
        name: what messages call it.
        allow_nan: whether values may be missing (NaN, None, NaT, NA).

    Raises:
        PoolError: naming the first row that has one, and its column; or if two columns have one name.
        NoIdentityError: if a cell holds what has no canonical form.
    """
    names = list(X.columns)
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise PoolError(f"{name} has several columns that are called {twice!r}; name each differently")
    for place, column in enumerate(names):
        values = X.iloc[:, place]
        missing = np.asarray(values.isna(), dtype=bool)
        if missing.any() and not allow_nan:
            raise PoolError(
                f"{name}[{int(np.argmax(missing))}] has no value (NaN or None) in column {column!r}; remove or repair "
                "such rows before the run, or say allow_nan=True if the models can do with it"
            )
        found = not_finite(values.to_numpy() if getattr(values.dtype, "kind", "O") in "biuf" else values.tolist(), True)
        if found is not None:
            raise PoolError(f"{name} has {found} in column {column!r}; remove or repair such rows before the run")
        if getattr(values.dtype, "kind", "O") == "O":
            for row, value in enumerate(values.tolist()):
                _plain(value, partial(value_digest, where=f"{name}[{row}][{column!r}]"))


def _of_object(value: Any) -> bytes:
    return value_digest(value, "a value of the pool's table")


def pickled_cell(value: Any) -> bytes:
    """Return a cell that is an object in a plain form, as a run directory keeps it.

    Raises:
        PoolError: if it cannot be pickled.
    """
    try:
        return pickle.dumps(value, protocol=5)
    except Exception as error:
        raise PoolError(
            f"a value of type {type(value).__name__} in the pool's table cannot be pickled: {error}"
        ) from error


def frame_digests(X: Any, of_object: Callable[[Any], Any] = _of_object) -> Iterator[bytes]:
    """Return what identifies each row by its content: the columns' names and plain values, 16 bytes.

    It is the same in every process, for every order of rows and columns, and for whole numbers as integers and floats.
    `of_object` makes something plain of a cell that is an object.

    Raises:
        NoIdentityError: if a cell holds what has no canonical form.
    """
    order = sorted(range(len(X.columns)), key=lambda place: str(X.columns[place]))
    head = hashlib.blake2b(repr([str(X.columns[place]) for place in order]).encode(), digest_size=16)
    for start in range(0, len(X), _ROWS):
        block = X.iloc[start : start + _ROWS]
        columns = [[_plain(value, of_object) for value in block.iloc[:, place].tolist()] for place in order]
        for row in zip(*columns, strict=True):
            hasher = head.copy()
            hasher.update(repr(row).encode(errors="surrogatepass"))
            yield hasher.digest()


def plain_row(X: Any, index: int) -> dict[str, Any]:
    """Return one row in plain values by column name, as a run directory keeps it."""
    return {
        str(name): _plain(X.iloc[index : index + 1, place].tolist()[0], pickled_cell)
        for place, name in enumerate(X.columns)
    }


def with_columns(X: Any, other: Any, name: str) -> Any:
    """Return the rows of `other` with the columns of `X`, in its order; floats are rounded to its precision.

    Raises:
        PoolError: if it is no table, or lacks a column; `name` is what the message calls it.
    """
    if not is_frame(other):
        raise PoolError(f"{name} must be a DataFrame with the pool's columns, got {type(other).__name__}")
    there = set(other.columns)
    missing = [column for column in X.columns if column not in there]
    if missing:
        raise PoolError(f"{name} lacks the column {missing[0]!r} of the pool; it has {list(other.columns)}")
    types = {column: kind for column, kind in X.dtypes.items() if getattr(kind, "kind", "O") == "f"}
    try:
        return other[list(X.columns)].astype(types)
    except (TypeError, ValueError) as error:
        raise PoolError(f"{name} has values of other types than the pool's columns: {error}") from error


def of_types(X: Any, other: Any, name: str, floats: bool = False) -> Any:
    """Return the rows of `other` as `with_columns` does, with all columns of the types of `X`.

    With `floats`, a column of floats stays one where that of `X` is of whole numbers.

    Raises:
        PoolError: also if it has values that these types cannot hold.
    """
    chosen = with_columns(X, other, name)
    types = dict(X.dtypes.items())
    if floats:
        whole = [column for column, kind in types.items() if getattr(kind, "kind", "O") in "iu"]
        types |= {column: chosen[column].dtype for column in whole if getattr(chosen[column].dtype, "kind", "O") == "f"}
    for column, kind in types.items():
        if hasattr(kind, "categories"):
            known = set(kind.categories.tolist())
            _check_held(chosen[column].tolist(), known.__contains__, column, kind, name)
    try:
        cast = chosen.astype(types)
    except (TypeError, ValueError) as error:
        raise PoolError(f"{name} has values of other types than the pool's columns: {error}") from error
    for column, kind in types.items():
        pairs = zip(chosen[column].tolist(), cast[column].tolist(), strict=True)
        _check_held(pairs, lambda pair: pair[0] == pair[1], column, kind, name)
    return cast


def _check_held(values: Iterable[Any], holds: Callable[[Any], bool], column: Any, kind: Any, name: str) -> None:
    """Check that the pool's type of a column can hold these values (or pairs of a value and what becomes of it)."""
    for row, one in enumerate(values):
        value = one[0] if isinstance(one, tuple) else one
        if _plain(value, lambda other: other) is not None and not holds(one):
            raise PoolError(
                f"{name}[{row}] has {value!r} in column {column!r}, which the type of the pool's column, {kind}, "
                "cannot hold"
            )


def concatenated(frames: Sequence[Any]) -> Any:
    """Return tables with the same columns, one below the other."""
    return sys.modules[type(frames[0]).__module__.partition(".")[0]].concat(list(frames), ignore_index=True)


def _plain(value: Any, of_object: Callable[[Any], Any]) -> Any:
    """Return a value in a form whose text is the same wherever it comes from."""
    if isinstance(value, np.generic):
        value = value.item()
    kind = type(value)
    if kind is str or kind is bool:
        return value
    if kind is float:
        return None if value != value else value + 0.0  # no negative zero
    if kind is int:
        return float(value) if -(2**53) <= value <= 2**53 else value
    if value is None or kind.__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if kind in (list, tuple):
        return [_plain(one, of_object) for one in value]
    return of_object(value)
