"""Open candidates as they are given, look them over, and recognise them by their content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rose.arrays import as_array
from rose.errors import PoolError
from rose.identity import value_digest
from rose.paths import expanded
from rose.pool.candidates.file import CandidateFile
from rose.pool.candidates.frames import check_frame, frame_digests, is_frame
from rose.store import not_finite

_CHECK_BYTES = 8 * 2**20  # candidates are checked for NaN in blocks of this size: memory-mapped pools stay on disk


def open_candidates(X: Any, name: str, allow_nan: bool = False) -> Any:
    """Return an array `[N, ...]` (of a path: memory-mapped), a table with named columns as it is, or a list.

    Args:
        X: as `Pool` takes it.
        name: what messages call it.
        allow_nan: whether values may be NaN (or, in a table, missing otherwise).

    Raises:
        PoolError: if it is none of them, or holds NaN or infinite values.
        NoIdentityError: if one holds what has no canonical form.
    """
    if isinstance(X, (str, Path)):
        X = _mapped(expanded(X, name), name)
    if is_frame(X):
        check_frame(X, name, allow_nan)
        return X
    if isinstance(X, Sequence):
        for i, candidate in enumerate(X):
            found = not_finite(candidate, allow_nan)
            if found is not None:
                raise PoolError(
                    f"{name}[{i}] is not finite ({found}): {_short(candidate)}; remove or repair it before the run"
                )
            if not _is_plain(candidate):
                digest_of(candidate, f"{name}[{i}]")  # which tells of one that has no identity
        return list(X)
    array = as_array(X, name, PoolError)
    if hasattr(X, "isna") and not allow_nan and (missing := np.asarray(X.isna(), dtype=bool)).any():
        raise PoolError(
            f"{name}[{int(np.argmax(missing))}] has no value (NaN or None); remove or repair such candidates"
        )
    if array.ndim == 0:
        raise PoolError(f"{name} must be {_MAY_BE}; got {_short(X)}, a {type(X).__name__}")
    check_finite(array, name, allow_nan)
    if array.dtype.hasobject:
        for i in range(len(array)):
            digest_of(array[i], f"{name}[{i}]")
    return array


_PLAIN = frozenset({type(None), bool, str, bytes, int, float, complex})  # which have an identity, and no parts
_MAY_BE = "an array [N, ...], a DataFrame, the path of a .npy file, or a sequence of candidates"
_READERS = {
    ".csv": "pandas.read_csv({0!r})",
    ".parquet": "pandas.read_parquet({0!r})",
    ".xlsx": "pandas.read_excel({0!r})",
    ".npz": "numpy.load({0!r})['X'], for an .npz file holds several arrays",
    ".txt": "numpy.loadtxt({0!r})",
    ".dat": "numpy.loadtxt({0!r})",
}


def _mapped(path: Path, name: str) -> np.ndarray:
    reader = _READERS.get(path.suffix.lower())
    if reader is not None:
        raise PoolError(
            f"{name}={str(path)!r}: of files only .npy arrays are opened; candidates are {_MAY_BE}. Read this one "
            f"first: {reader.format(str(path))}"
        )
    if not path.is_file():
        raise PoolError(f"{name}: there is no file {str(path)!r}; candidates are {_MAY_BE}")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise PoolError(
            f"{name}: {str(path)!r} is no .npy file of plain values ({error}); it must be {_MAY_BE}"
        ) from None
    if not isinstance(found, np.ndarray):
        raise PoolError(f"{name}: {str(path)!r} holds several arrays; give one of them")
    return found


def check_finite(array: np.ndarray, name: str, allow_nan: bool = False) -> None:
    """Check that no row of an array holds NaN (unless that is allowed) or infinite values.

    Raises:
        PoolError: naming the first that does.
    """
    if array.dtype.kind in "biuSU":
        return
    rows, file = max(1, _CHECK_BYTES // max(1, array[:1].nbytes)), CandidateFile.of(array)
    for start in range(0, len(array), rows):
        stop = min(start + rows, len(array))
        block = array[start:stop] if file is None else file.read(start, stop)
        if not_finite(block, allow_nan) is None:
            continue
        row = next(i for i in range(len(block)) if not_finite(block[i], allow_nan) is not None)
        what = "inf" if allow_nan else "NaN or inf"
        raise PoolError(
            f"{name}[{start + row}] holds {what} ({not_finite(block[row], allow_nan)}); remove or repair such "
            "candidates before the run" + ("" if allow_nan else ", or say allow_nan=True if the models can do with NaN")
        )


def digests(X: Any, name: str = "X") -> Iterator[bytes]:
    """Return what identifies each candidate by its content, in order.

    Raises:
        NoIdentityError: as `digest_of`.
    """
    return frame_digests(X) if is_frame(X) else (digest_of(X[i], f"{name}[{i}]") for i in range(len(X)))


def digest_of(candidate: Any, name: str) -> bytes:
    """Return what identifies a candidate by its content, in any pool of the same kind: 16 bytes, see `rose.identity`.

    Raises:
        NoIdentityError: if it holds what has no canonical form; `name` is what the message calls it.
    """
    # A scalar that is taken out of an array has its type, as the rows of one have.
    return value_digest(np.asarray(candidate) if isinstance(candidate, np.generic) else candidate, name)


def _is_plain(candidate: Any) -> bool:
    """Return whether a candidate has an identity, as can be seen at a glance."""
    kind = type(candidate)
    if kind is np.ndarray:
        return not candidate.dtype.hasobject
    parts = (*candidate, *candidate.values()) if kind is dict else candidate if kind in (tuple, list) else (candidate,)
    return all(type(part) in _PLAIN for part in parts)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
