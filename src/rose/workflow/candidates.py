"""Candidates as they are given: opened, looked over, and recognised by their content."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import PoolError
from rose.workflow.candidate_file import CandidateFile

_CHECK_BYTES = 8 * 2**20  # candidates are checked for NaN in blocks of this size: memory-mapped pools stay on disk


def open_candidates(X: Any, name: str) -> Any:
    """An array `[N, ...]` (of a path: memory-mapped), or a list.

    Raises:
        PoolError: if it is none of them, or holds NaN or infinite values; `name` is what the message calls it.
    """
    if isinstance(X, (str, Path)):
        if not Path(X).exists():
            raise PoolError(f"{name}: there is no file {str(X)!r}")
        X = np.load(X, mmap_mode="r", allow_pickle=False)
    if isinstance(X, np.ndarray) or hasattr(X, "__array__"):
        array = X if isinstance(X, np.ndarray) else np.asarray(X)
        if array.ndim == 0:
            raise PoolError(f"{name} must have one row a candidate, got a single value")
        check_finite(array, name)
        return array
    if not isinstance(X, Sequence):
        raise PoolError(f"{name} must be an array, the path of a .npy file or a sequence, got {type(X).__name__}")
    for i, candidate in enumerate(X):
        if isinstance(candidate, (float, np.floating, np.ndarray)) and not np.all(np.isfinite(candidate)):
            raise PoolError(f"{name}[{i}] is not finite: {candidate!r}; remove or repair it before the run")
    return list(X)


def check_finite(array: np.ndarray, name: str) -> None:
    """That no row of an array holds NaN or infinite values.

    Raises:
        PoolError: naming the first that does.
    """
    if array.dtype.kind not in "fc":
        return
    rows, file = max(1, _CHECK_BYTES // max(1, array[:1].nbytes)), CandidateFile.of(array)
    for start in range(0, len(array), rows):
        stop = min(start + rows, len(array))
        block = array[start:stop] if file is None else file.read(start, stop)
        finite = np.isfinite(block).reshape(stop - start, -1).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise PoolError(f"{name}[{row}] holds NaN or inf; remove or repair such candidates before the run")


def digest_of(candidate: Any, name: str) -> bytes:
    """What identifies a candidate by its content, in any pool of the same kind: 16 bytes.

    Raises:
        PoolError: if it is an object that cannot be pickled; `name` is what the message calls it.
    """
    hasher = hashlib.blake2b(digest_size=16)
    if isinstance(candidate, (np.ndarray, np.generic)) and not candidate.dtype.hasobject:
        hasher.update(f"{candidate.dtype.str}{candidate.shape}".encode())
        hasher.update(np.ascontiguousarray(candidate).tobytes())
    else:
        hasher.update(_pickled(candidate, name))
    return hasher.digest()


def _pickled(candidate: Any, name: str) -> bytes:
    try:
        return pickle.dumps(candidate, protocol=5)
    except Exception as error:
        raise PoolError(f"{name} of type {type(candidate).__name__} cannot be pickled: {error}") from error
