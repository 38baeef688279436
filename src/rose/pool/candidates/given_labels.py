"""Find which candidates of a pool the labels are of that it is given."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rose.arrays import as_array
from rose.errors import PoolError
from rose.paths import expanded
from rose.pool.candidates.frames import frame_digests, is_frame, with_columns
from rose.pool.candidates.opening import digest_of, digests
from rose.store import LabelTable, as_label, labels_of_run, not_finite, read_labels_file, same_label

_log = logging.getLogger("rose")


class Known(NamedTuple):
    """Hold labels by candidate.

    Attributes:
        labels: the label of each candidate that has one.
        distinct: these candidates, int64, ascending; of several that are equal the first.
        first: by candidate, the one of `distinct` that it is equal to.
    """

    labels: dict[int, Any]
    distinct: np.ndarray
    first: dict[int, int]

    @classmethod
    def none(cls) -> Known:
        """Return no labels."""
        return cls({}, np.empty(0, dtype=np.int64), {})

    def beside(self, taken: Iterable[int]) -> list[int]:
        """Return those of `distinct` that are not, and equal none, among the `taken`."""
        there = {self.first.get(index) for index in taken} if self.labels else set()
        return [index for index in self.distinct.tolist() if index not in there]


def known_labels(labels: Any, X: Any) -> Known:
    """Return the labels of those candidates that are labelled already.

    Args:
        labels: as `Pool` takes them.
        X: the candidates.

    Raises:
        PoolError: if it is no such thing, a label is none, no candidate is labelled, or one is in two ways.
        RunDirectoryError, CorruptRunError: if it is a directory without a run, or a damaged one.
    """
    table = _table(labels)
    if not len(table):
        raise PoolError(f"labels={_named(labels)} holds no labels")
    for row, label in enumerate(table.labels):
        _check(label, row, "labels")
    contents = _digests(table, X)
    found = _by_index(table, len(X)) if contents is None else _by_content(table, contents, X)
    if not found.labels:
        raise PoolError(
            f"labels={_named(labels)}: none of its {len(table)} samples is a candidate of this pool (other scaling? "
            "another type?)"
        )
    _log.info("%d labels are given, of %d candidates of the pool", len(table), len(found.labels))
    return found


def labels_of(y: Any, name: str) -> list[Any]:
    """Return the labels in what `rows_of` takes, with the arrays of other libraries as NumPy's.

    Raises:
        PoolError: if it is no such thing; a label is None, or holds what is not finite; or if some are single values
            and some sequences.
    """
    made = [as_label(one, f"{name}: label {row}", PoolError) for row, one in enumerate(rows_of(y, f"{name}: y"))]
    for row, label in enumerate(made):
        _check(label, row, name)
    nested = [isinstance(label, (list, tuple, np.ndarray)) for label in made]
    if any(nested) and not all(nested):
        one, many = nested.index(False), nested.index(True)
        kinds = [type(made[row]).__name__ for row in (many, one)]
        raise PoolError(
            f"{name}: label {many} is a {kinds[0]}, and label {one} a {kinds[1]}: give "
            "single values, or sequences of one length"
        )
    return made


def rows_of(y: Any, name: str) -> list[Any]:
    """Return the labels in an array `[L, ...]`, a Series, a DataFrame (of one column: its values), or a sequence.

    Raises:
        PoolError: if it is none of them; `name` is what the message calls it.
    """
    if is_frame(y):
        table = as_array(y, name, PoolError)
        return list(table[:, 0] if table.shape[1] == 1 else table)
    if hasattr(y, "iloc"):
        return list(y.tolist())
    if isinstance(y, Sequence) and not isinstance(y, (str, bytes)):
        return list(y)
    array = as_array(y, name, PoolError)
    if array.ndim == 0:
        raise PoolError(f"{name} must be a sequence of labels, got {type(y).__name__}")
    return list(array)


def _table(labels: Any) -> LabelTable:
    if isinstance(labels, (str, Path)):
        path = expanded(labels, "labels")
        if path.is_dir():
            return labels_of_run(path, trusted=True)
        if not path.exists():
            raise PoolError(f"labels: there is no file or directory {str(labels)!r}")
        return read_labels_file(path)
    if isinstance(labels, Mapping):
        for key in labels:
            if isinstance(key, (bool, np.bool_)) or not isinstance(key, (int, np.integer)):
                raise PoolError(
                    "labels: the keys of a mapping are indices of candidates (whole numbers from 0), got "
                    f"{key!r}, a {type(key).__name__}"
                )
        return LabelTable(labels_of(list(labels.values()), "labels"), np.array(list(labels)))
    if isinstance(labels, tuple) and len(labels) == 2:
        X, y = labels
        if _count(X, "X") != _count(y, "y"):
            raise PoolError("labels: X and y of the pair (X, y) must be sequences of one length")
        return LabelTable(labels_of(y, "labels"), X=X)
    raise PoolError(
        "labels must be a pair (X, y), a mapping {index: label}, a file of `rose labels` or a run directory, got "
        f"{type(labels).__name__}"
    )


def _count(values: Any, name: str) -> int:
    if hasattr(values, "nnz"):  # a sparse matrix does not say how long it is
        as_array(values, f"labels: {name}", PoolError)
    try:
        return len(values)
    except TypeError:
        raise PoolError(f"labels: {name} of the pair (X, y) must be a sequence, got {type(values).__name__}") from None


def _by_index(table: LabelTable, n: int) -> Known:
    indices = np.asarray(table.candidates)
    if table.candidates is None or indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iuO"):
        raise PoolError("labels: nothing says which candidates they are of: neither index, digest nor X")
    if indices.min() < 0 or indices.max() >= n:
        raise PoolError(f"labels: the indices must be from 0 to {n - 1}")
    known: dict[int, Any] = {}
    for row, index in enumerate(indices.tolist()):
        if index in known and not same_label(known[index], table.labels[row]):
            raise _ambiguous(index, [known[index], table.labels[row]])
        known[index] = table.labels[row]
    return Known(known, np.unique(indices).astype(np.int64), {index: index for index in known})


def _by_content(table: LabelTable, contents: Sequence[bytes], X: Any) -> Known:
    rows_of: dict[bytes, list[int]] = {}
    for row, digest in enumerate(contents):
        rows_of.setdefault(digest, []).append(row)
    known: dict[int, Any] = {}
    first: dict[bytes, int] = {}
    same: dict[int, int] = {}
    used: set[int] = set()
    for index, digest in enumerate(digests(X)):
        rows = rows_of.get(digest)
        if rows is None:
            continue
        # A simulation that asks for the index may label equal candidates differently.
        used.update(rows)
        itself = [row for row in rows if table.candidates is not None and int(table.candidates[row]) == index]
        found = [table.labels[row] for row in itself or rows]
        if not all(same_label(found[0], other) for other in found[1:]):
            raise _ambiguous(index, found, [table.keys[row] for row in itself or rows] if table.keys else ())
        known[index] = found[0]
        same[index] = first.setdefault(digest, index)
    if known and (unused := len(table) - len(used)):
        _log.warning("%d of the %d labels given are of no candidate of this pool", unused, len(table))
    return Known(known, np.array(list(first.values()), dtype=np.int64), same)


def _digests(table: LabelTable, X: Any) -> Sequence[bytes] | None:
    """Return what identifies each sample of the table by its content; None: only its index identifies it."""
    if table.digests is not None or table.X is None:
        return table.digests
    if is_frame(X):
        return list(frame_digests(with_columns(X, table.X, "labels: X")))
    if not isinstance(X, np.ndarray):
        return [digest_of(row, f"labels: X[{i}]") for i, row in enumerate(_rows_like(X[0], table.X))]
    given = as_array(table.X, "labels: X", PoolError)
    try:
        cast = given.reshape(len(given), *X.shape[1:]).astype(X.dtype, casting="same_kind")
    except (TypeError, ValueError):
        raise PoolError(
            f"labels: X is {given.shape[1:]} of {given.dtype}, and the pool's candidates are {X.shape[1:]} of {X.dtype}"
        ) from None
    rounded = np.zeros(len(given), dtype=bool)
    if given.dtype.kind not in "fc":  # what does not fit the pool's type is none of its candidates
        rounded = (cast.reshape(given.shape) != given).reshape(len(given), -1).any(axis=1)
    return [b"" if bad else digest_of(row, "labels: X") for row, bad in zip(cast, rounded.tolist(), strict=True)]


def _rows_like(first: Any, X: Any) -> list[Any]:
    """Return samples in the form of a list's candidates, of which one is `first`."""
    if isinstance(first, np.ndarray):
        return list(as_array(X, "labels: X", PoolError).astype(first.dtype))
    rows = X.tolist() if isinstance(X, np.ndarray) else list(X)
    return [tuple(row) for row in rows] if type(first) is tuple and isinstance(X, np.ndarray) else rows


def _check(label: Any, row: int, name: str) -> None:
    if label is None:
        raise PoolError(f"{name}: label {row} is None; leave out what has no label")
    found = not_finite(label)
    if found is not None:
        raise PoolError(
            f"{name}: label {row} {'has' if ' at ' in found else 'is'} {found}; leave out what has no label"
        )


def _ambiguous(index: int, labels: Sequence[Any], keys: Sequence[str] = ()) -> PoolError:
    by = f", by {', '.join(keys)}," if keys else ""
    return PoolError(
        f"labels: candidate {index} has several labels{by} that differ: {', '.join(map(repr, labels))}; was its "
        "simulation configured differently? Give those that are meant as a mapping {index: label}"
    )


def _named(labels: Any) -> str:
    return repr(str(labels)) if isinstance(labels, (str, Path)) else f"({type(labels).__name__})"
