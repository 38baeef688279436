"""Labels that a pool is given: which of its candidates they are of."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rose.errors import PoolError
from rose.store import LabelTable, labels_of_run, read_labels_file
from rose.workflow.candidates import digest_of

_log = logging.getLogger("rose")


class Known(NamedTuple):
    """Labels by candidate, and the distinct ones among these candidates, ascending."""

    labels: dict[int, Any]
    distinct: np.ndarray


def known_labels(labels: Any, X: Any) -> Known:
    """The labels of those candidates that are labelled already.

    Args:
        labels: as `Pool` takes them.
        X: the candidates.

    Raises:
        PoolError: if it is no such thing, no candidate is labelled, or one is in two ways.
        RunDirectoryError, CorruptRunError: if it is a directory without a run, or a damaged one.
    """
    table = _table(labels)
    if not len(table):
        raise PoolError(f"labels={_named(labels)} holds no labels")
    for row, label in enumerate(table.labels):
        _check(label, row)
    digests = _digests(table, X)
    found = _by_index(table, len(X)) if digests is None else _by_content(table, digests, X)
    if not found.labels:
        raise PoolError(
            f"labels={_named(labels)}: none of its {len(table)} samples is a candidate of this pool (other scaling? "
            "another type?)"
        )
    _log.info("%d labels are given, of %d candidates of the pool", len(table), len(found.labels))
    matched = {digest_of(X[index], f"X[{index}]") for index in found.distinct.tolist()}
    if unused := sum(digest not in matched for digest in digests or ()):
        _log.warning("%d of the %d labels given are of no candidate of this pool", unused, len(table))
    return found


def _table(labels: Any) -> LabelTable:
    if isinstance(labels, (str, Path)):
        path = Path(labels)
        if path.is_dir():
            return labels_of_run(path, trusted=True)
        if not path.exists():
            raise PoolError(f"labels: there is no file or directory {str(labels)!r}")
        return read_labels_file(path)
    if isinstance(labels, Mapping):
        return LabelTable(list(labels.values()), np.array(list(labels)))
    if isinstance(labels, tuple) and len(labels) == 2:
        X, y = labels
        if not hasattr(X, "__len__") or not hasattr(y, "__len__") or len(X) != len(y):
            raise PoolError("labels: X and y of the pair (X, y) must be sequences of one length")
        return LabelTable(list(y), X=X)
    raise PoolError(
        "labels must be a pair (X, y), a mapping {index: label}, a file of `rose labels` or a run directory, got "
        f"{type(labels).__name__}"
    )


def _by_index(table: LabelTable, n: int) -> Known:
    indices = np.asarray(table.candidates)
    if table.candidates is None or indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
        raise PoolError("labels: nothing says which candidates they are of: neither index, digest nor X")
    if indices.min() < 0 or indices.max() >= n:
        raise PoolError(f"labels: the indices must be from 0 to {n - 1}")
    known: dict[int, Any] = {}
    for row, index in enumerate(indices.tolist()):
        if index in known and not _same(known[index], table.labels[row]):
            raise _ambiguous(index, [known[index], table.labels[row]])
        known[index] = table.labels[row]
    return Known(known, np.unique(indices).astype(np.int64))


def _by_content(table: LabelTable, digests: Sequence[bytes], X: Any) -> Known:
    rows_of: dict[bytes, list[int]] = {}
    for row, digest in enumerate(digests):
        rows_of.setdefault(digest, []).append(row)
    known: dict[int, Any] = {}
    first: dict[bytes, int] = {}
    for index in range(len(X)):
        digest = digest_of(X[index], f"X[{index}]")
        rows = rows_of.get(digest)
        if rows is None:
            continue
        # A simulation that asks for the index may label equal candidates differently.
        itself = [row for row in rows if table.candidates is not None and int(table.candidates[row]) == index]
        found = [table.labels[row] for row in itself or rows]
        if not all(_same(found[0], other) for other in found[1:]):
            raise _ambiguous(index, found, [table.keys[row] for row in itself or rows] if table.keys else ())
        known[index] = found[0]
        first.setdefault(digest, index)
    return Known(known, np.array(list(first.values()), dtype=np.int64))


def _digests(table: LabelTable, X: Any) -> Sequence[bytes] | None:
    """What identifies each sample of the table; None: only its index does."""
    if table.digests is not None or table.X is None:
        return table.digests
    if not isinstance(X, np.ndarray):
        first = X[0]
        rows = list(np.asarray(table.X, first.dtype)) if isinstance(first, np.ndarray) else _plain(table.X)
        return [digest_of(row, f"labels: X[{i}]") for i, row in enumerate(rows)]
    given = np.asarray(table.X)
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


def _plain(X: Any) -> Sequence[Any]:
    return X.tolist() if isinstance(X, np.ndarray) else list(X)


def _check(label: Any, row: int) -> None:
    array = np.asarray(label) if isinstance(label, (float, np.generic, np.ndarray)) else None
    finite = array is None or array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
    if label is None or not finite:
        raise PoolError(f"labels: label {row} is {label!r}; leave out what has no label")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other))
    return bool(one == other)


def _ambiguous(index: int, labels: Sequence[Any], keys: Sequence[str] = ()) -> PoolError:
    by = f", by {', '.join(keys)}," if keys else ""
    return PoolError(
        f"labels: candidate {index} has several labels{by} that differ: {', '.join(map(repr, labels))}; was its "
        "simulation configured differently? Give those that are meant as a mapping {index: label}"
    )


def _named(labels: Any) -> str:
    return repr(str(labels)) if isinstance(labels, (str, Path)) else f"({type(labels).__name__})"
