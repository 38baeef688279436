"""The pool: the candidates that may be simulated, which of them come first, and a hold-out to measure with."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import PoolError

_CHECK_BYTES = 64 * 2**20  # candidates are checked for NaN in blocks of this size: memory-mapped pools stay on disk


class Pool:
    """The candidates of a run.

    Args:
        X: an array `[N, ...]`, the path of a .npy file (memory-mapped, never read whole), or a sequence of objects.
        initial: how many candidates, drawn at random by `seed`, are simulated before the first training; or their
            indices.
        seed: of the draw, and of everything else in the run that is random.
        holdout: `(X_test, y_test)`, labelled samples outside the pool that a stop criterion may be measured on.
        block: the most candidates that one prediction task takes.
        features: `[N, F]` coordinates in which near candidates are alike, for the acquisition methods that look at
            them; None: they look at the ensemble's predictions.

    Raises:
        PoolError: if a candidate is NaN or infinite, `initial` does not fit, or the hold-out's lengths differ.

    Example:
        >>> import numpy as np
        >>> pool = Pool(np.linspace(0.0, 1.0, 100)[:, None], initial=5, seed=0)
        >>> len(pool), len(pool.initial)
        (100, 5)
    """

    def __init__(
        self,
        X: Any,
        initial: int | Sequence[int] | np.ndarray = 20,
        seed: int = 0,
        holdout: tuple[Any, Any] | None = None,
        block: int = 65536,
        features: Any = None,
    ) -> None:
        self.X = _open(X, "X")
        if len(self.X) == 0:
            raise PoolError("X holds no candidates")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise PoolError(f"seed={seed!r} must be a whole number of 0 or more")
        if not isinstance(block, int) or block < 1:
            raise PoolError(f"block={block!r} must be a whole number of 1 or more candidates")
        self.seed = int(seed)
        self.known: dict[int, Any] = {}  # labels that need no simulation, by candidate
        self.block = block
        self.initial = self._draw(initial)
        self.features = None if features is None else _check_features(features, len(self.X))
        self.holdout = None if holdout is None else _check_holdout(holdout)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: int) -> Any:
        """One candidate, as simulations take it."""
        return self.X[index]

    def digest(self, index: int) -> bytes:
        """What identifies a candidate by its content: equal candidates share one simulation."""
        value = self.X[index]
        hasher = hashlib.blake2b(digest_size=16)
        if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
            hasher.update(f"{value.dtype.str}{value.shape}".encode())
            hasher.update(np.ascontiguousarray(value).tobytes())
        else:
            hasher.update(_pickled(value, index))
        return hasher.digest()

    def _draw(self, initial: int | Sequence[int] | np.ndarray) -> np.ndarray:
        n = len(self.X)
        if isinstance(initial, (int, np.integer)) and not isinstance(initial, bool):
            if not 1 <= initial <= n:
                raise PoolError(f"initial={initial} must be from 1 to the number of candidates, {n}")
            return np.sort(np.random.default_rng(self.seed).choice(n, size=int(initial), replace=False))
        indices = np.asarray(initial)
        if indices.ndim != 1 or indices.size == 0 or indices.dtype.kind not in "iu":
            raise PoolError(f"initial={initial!r} must be a number of candidates or a list of their indices")
        if indices.min() < 0 or indices.max() >= n or len(np.unique(indices)) != len(indices):
            raise PoolError(f"initial: the indices must be distinct and from 0 to {n - 1}")
        return indices.astype(np.int64)


def take(X: Any, indices: np.ndarray) -> Any:
    """The samples at `indices`: an array of an array, a list of a sequence."""
    if isinstance(X, np.ndarray):
        return X[indices]
    return [X[int(i)] for i in indices]


def _open(X: Any, name: str) -> Any:
    if isinstance(X, (str, Path)):
        if not Path(X).exists():
            raise PoolError(f"{name}: there is no file {str(X)!r}")
        X = np.load(X, mmap_mode="r", allow_pickle=False)
    if isinstance(X, np.ndarray) or hasattr(X, "__array__"):
        array = X if isinstance(X, np.ndarray) else np.asarray(X)
        if array.ndim == 0:
            raise PoolError(f"{name} must have one row a candidate, got a single value")
        _check_finite(array, name)
        return array
    if not isinstance(X, Sequence):
        raise PoolError(f"{name} must be an array, the path of a .npy file or a sequence, got {type(X).__name__}")
    for i, candidate in enumerate(X):
        if isinstance(candidate, (float, np.floating, np.ndarray)) and not np.all(np.isfinite(candidate)):
            raise PoolError(f"{name}[{i}] is not finite: {candidate!r}; remove or repair it before the run")
    return list(X)


def _check_finite(array: np.ndarray, name: str) -> None:
    if array.dtype.kind not in "fc":
        return
    rows = max(1, _CHECK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        finite = np.isfinite(array[start : start + rows]).reshape(len(array[start : start + rows]), -1).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise PoolError(f"{name}[{row}] holds NaN or inf; remove or repair such candidates before the run")


def _check_features(features: Any, n: int) -> np.ndarray:
    array: np.ndarray = np.asarray(_open(features, "features"))
    if array.ndim != 2 or len(array) != n:
        raise PoolError(f"features must be [{n}, F], one row a candidate; got shape {array.shape}")
    return array


def _check_holdout(holdout: tuple[Any, Any]) -> tuple[Any, np.ndarray]:
    try:
        X_test, y_test = holdout
    except (TypeError, ValueError):
        raise PoolError("holdout must be a pair (X_test, y_test)") from None
    X_test, y_test = _open(X_test, "holdout X_test"), np.asarray(y_test)
    if len(X_test) != len(y_test) or len(y_test) == 0:
        raise PoolError(f"holdout: X_test and y_test have {len(X_test)} and {len(y_test)} rows")
    _check_finite(y_test, "holdout y_test")
    return X_test, y_test


def _pickled(value: Any, index: int) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception as error:
        raise PoolError(f"X[{index}] of type {type(value).__name__} cannot be pickled: {error}") from error
