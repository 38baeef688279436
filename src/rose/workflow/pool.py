"""The pool: the candidates that may be simulated, which of them come first, and a hold-out to measure with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import PoolError
from rose.workflow.candidate_file import CandidateFile
from rose.workflow.candidates import check_finite, digest_of, open_candidates
from rose.workflow.known import known_labels

INITIAL = 20  # candidates that are simulated first, where the user does not say


class Pool:
    """The candidates of a run.

    Args:
        X: an array `[N, ...]`, the path of a .npy file (memory-mapped, never read whole), or a sequence of objects.
        initial: how many candidates, drawn at random by `seed`, are simulated before the first training; or their
            indices. None: those that are labelled already, by `labels`; without any, 20.
        seed: of the draw, and of everything else in the run that is random.
        holdout: `(X_test, y_test)`, labelled samples outside the pool that a stop criterion may be measured on.
        block: the most candidates that one task predicts. A larger pool is never predicted as a whole: it is screened
            part by part, and what chooses a batch sees the most uncertain candidates (see `rose.workflow.screener`).
        features: `[N, F]` coordinates in which near candidates are alike, for the acquisition methods that look at
            them; None: they look at the ensemble's predictions.
        labels: of an earlier run or from elsewhere: a pair `(X, y)`, a mapping `{index: label}`, a file that `rose
            labels` wrote, or a run directory (which must be one that you trust, because labels of your own classes
            run their code when they are read). Candidates whose content equals a labelled one are not simulated.

    Raises:
        PoolError: if a candidate is NaN or infinite, `initial` does not fit, the hold-out's lengths differ, or `labels`
            fit no candidate, or one in several ways.

    Example:
        >>> import numpy as np
        >>> pool = Pool(np.linspace(0.0, 1.0, 100)[:, None], initial=5, seed=0)
        >>> len(pool), len(pool.initial)
        (100, 5)
    """

    def __init__(
        self,
        X: Any,
        initial: int | Sequence[int] | np.ndarray | None = None,
        seed: int = 0,
        holdout: tuple[Any, Any] | None = None,
        block: int = 65536,
        features: Any = None,
        labels: Mapping[int, Any] | tuple[Any, Any] | str | Path | None = None,
    ) -> None:
        self.X = open_candidates(X, "X")
        if len(self.X) == 0:
            raise PoolError("X holds no candidates")
        self.source = CandidateFile.of(self.X) or self.X  # what `take` reads candidates from
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise PoolError(f"seed={seed!r} must be a whole number of 0 or more")
        if not isinstance(block, int) or block < 1:
            raise PoolError(f"block={block!r} must be a whole number of 1 or more candidates")
        self.seed = int(seed)
        known = None if labels is None else known_labels(labels, self.X)
        self.known: dict[int, Any] = {} if known is None else known.labels  # by candidate: these need no simulation
        self.block = block
        if initial is None:
            initial = INITIAL if known is None else known.distinct
        self.initial = self._draw(initial)
        self.features = None if features is None else _check_features(features, len(self.X))
        self.holdout = None if holdout is None else _check_holdout(holdout)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: int) -> Any:
        """One candidate, as simulations take it."""
        return take(self.source, np.array([index]))[0]

    def digest(self, index: int) -> bytes:
        """What identifies a candidate by its content: equal candidates share one simulation."""
        return digest_of(self[index], f"X[{index}]")

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
    """The samples at `indices`: an array of an array or a file, a list of a sequence."""
    if isinstance(X, np.ndarray):
        return X[indices]
    if isinstance(X, CandidateFile):
        return X.take(indices)
    return [X[int(i)] for i in indices]


def part(X: Any, start: int, stop: int) -> Any:
    """Samples `start` to `stop - 1`: an array of an array or a file, a list of a sequence."""
    return X.read(start, stop) if isinstance(X, CandidateFile) else X[start:stop]


def _check_features(features: Any, n: int) -> np.ndarray:
    array: np.ndarray = np.asarray(open_candidates(features, "features"))
    if array.ndim != 2 or len(array) != n:
        raise PoolError(f"features must be [{n}, F], one row a candidate; got shape {array.shape}")
    return array


def _check_holdout(holdout: tuple[Any, Any]) -> tuple[Any, np.ndarray]:
    try:
        X_test, y_test = holdout
    except (TypeError, ValueError):
        raise PoolError("holdout must be a pair (X_test, y_test)") from None
    X_test, y_test = open_candidates(X_test, "holdout X_test"), np.asarray(y_test)
    if len(X_test) != len(y_test) or len(y_test) == 0:
        raise PoolError(f"holdout: X_test and y_test have {len(X_test)} and {len(y_test)} rows")
    check_finite(y_test, "holdout y_test")
    return X_test, y_test
