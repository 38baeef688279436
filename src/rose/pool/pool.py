"""Hold the pool: the candidates that may be simulated, which of them come first, and a hold-out to measure with."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from rose.arrays import as_array, as_numbers
from rose.errors import PoolError
from rose.pool._coordinates import given_coordinates, own_coordinates
from rose.pool.candidates.extra import Extra, open_extra
from rose.pool.candidates.file import CandidateFile
from rose.pool.candidates.frames import frame_digests, is_frame, of_types
from rose.pool.candidates.given_labels import Known, known_labels
from rose.pool.candidates.opening import check_finite, digest_of, open_candidates
from rose.pool.candidates.taking import take
from rose.pool.start import RANDOM, check_start, first_of
from rose.store import as_label, not_finite, stacked

INITIAL = 20  # candidates that are simulated first, where the user does not say


class Pool:
    """Hold the candidates of a run.

    Args:
        X: an array `[N, ...]` of any library; a pandas DataFrame, whose parts are DataFrames wherever functions get
            samples, and a single candidate a Series; the path of a .npy file (memory-mapped, never read whole); or a
            sequence of objects.
        initial: how many candidates are labelled before the first training, those given by `labels` among them; more
            are chosen as `start` says. Or their indices, to which those given are added. None: those given;
            without any, 20.
        seed: of the draw, and of everything else in the run that is random.
        holdout: `(X_test, y_test)`, labelled samples outside the pool that a stop criterion may be measured on;
            `X_test` as `X`, `y_test` `[n]`, `[n, 1]` or, of vector labels, `[n, D]`.
        block: the most candidates that one task predicts. A larger pool is never predicted as a whole: it is screened
            part by part, and what chooses a batch sees the most uncertain candidates (see `rose.pool.screening`).
        features: `[N, F]` coordinates in which near candidates are alike, for the acquisition methods that look at
            them; None: the candidates themselves, each coordinate of unit variance, where they are at most 64 numbers
            each; else the ensemble's predictions.
        labels: of an earlier run or from elsewhere: a pair `(X, y)`, a mapping `{index: label}`, a file that `rose
            labels` wrote, or a run directory (which must be one that you trust, because labels of your own classes
            run their code when they are read). Candidates whose content equals a labelled one are not simulated. When
            a run is resumed, those that are new join its labelled sets; one that differs from what is recorded is
            refused, or with `accept_changes=True` taken.
        extra: `(X, y)`, labelled samples that are no candidates: every training gets them before the labelled
            candidates. They are not counted as labels, and never chosen.
        allow_nan: whether features (of candidates, hold-out and `extra`) may be NaN, or missing in a DataFrame, for
            models that can do with it. Infinite ones never may, and labels neither.
        start: how the first candidates are spread: "maximin" (each the farthest from those before), "lhs" (nearest to a
            Latin hypercube), "stratified" (one of each cluster) or "random"; all by `seed`, in the features if there
            are some. None: "stratified" where candidates are at most 64 numbers each, else "random".

    Raises:
        PoolError: if a candidate is NaN or infinite, or an array sparse or masked; `initial` or `start`
            does not fit; the hold-out's or the extra samples' lengths differ, or they are not of the pool's shape; a
            label is None, NaN or infinite, or holds such a value; or `labels` fit no candidate, or one in several ways.

    Example:
        >>> import numpy as np
        >>> pool = Pool(np.linspace(0.0, 1.0, 100)[:, None], initial=5, seed=0)
        >>> len(pool), len(pool.initial)
        (100, 5)
        >>> Pool(np.arange(10.0), initial=3, labels={7: 0.5, 9: 0.25}).initial
        array([7, 9, 2])
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
        extra: tuple[Any, Any] | None = None,
        allow_nan: bool = False,
        start: str | None = None,
    ) -> None:
        if not isinstance(allow_nan, bool):
            raise PoolError(f"allow_nan={allow_nan!r} must be True or False")
        self.X = open_candidates(X, "X", allow_nan)
        if len(self.X) == 0:
            raise PoolError("X holds no candidates")
        self.source = CandidateFile.of(self.X) or self.X  # what `take` reads candidates from
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise PoolError(f"seed={seed!r} must be a whole number of 0 or more")
        if not isinstance(block, int) or block < 1:
            raise PoolError(f"block={block!r} must be a whole number of 1 or more candidates")
        self.seed = int(seed)
        self.given = Known.none() if labels is None else known_labels(labels, self.X)
        self.block = block
        self.asked = initial  # as the user said it
        self.features = None if features is None else _check_features(features, len(self.X))
        self.own = own_coordinates(self.source, len(self.X))  # None: candidates are no numbers
        self.near = given_coordinates(self.features) or self.own
        self.says_start = start is not None
        self.start = check_start(start, self.near)
        self.initial = self._initial(initial, self.seed)
        self.extra: Extra | None = None if extra is None else open_extra(extra, self.X, allow_nan)
        self.holdout = None if holdout is None else _check_holdout(holdout, self.X, allow_nan)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: int) -> Any:
        """Return one candidate, as simulations take it."""
        return self.X.iloc[int(index)] if is_frame(self.X) else take(self.source, np.array([index]))[0]

    @property
    def known(self) -> dict[int, Any]:
        """Return the labels that are given, by candidate: these need no simulation."""
        return self.given.labels

    def digest(self, index: int, x: Any = None) -> bytes:
        """Return what identifies a candidate by its content: equal candidates share one simulation.

        `x` is the candidate itself, where it is at hand.
        """
        if is_frame(self.X):
            return next(frame_digests(self.X.iloc[index : index + 1]))
        return digest_of(self[index] if x is None else x, f"X[{index}]")

    def digests(self, indices: Sequence[int]) -> list[bytes]:
        """Return what identifies several candidates, as `digest` does one."""
        if is_frame(self.X):
            return list(frame_digests(self.X.iloc[list(indices)]))
        return [self.digest(index) for index in indices]

    def drawn(self) -> np.ndarray:
        """Return what tells one `initial` from another: the indices, or as many drawn by the seed."""
        asked = INITIAL if self.asked is None else self.asked
        if isinstance(asked, (int, np.integer)) and not isinstance(asked, bool):
            n = len(self.X)
            return first_of(RANDOM, None, np.arange(n), int(min(asked, n)), self.seed, np.empty(0, np.int64))
        return np.asarray(asked).astype(np.int64)

    def drawn_by(self, seed: int) -> np.ndarray:
        """Return the candidates that come first in workflows of another seed; those named or given stay."""
        return self._initial(self.asked, seed)

    def _initial(self, initial: int | Sequence[int] | np.ndarray | None, seed: int) -> np.ndarray:
        given, n = self.given.distinct, len(self.X)
        if initial is None and len(given):
            return given
        initial = INITIAL if initial is None else initial
        if isinstance(initial, (int, np.integer)) and not isinstance(initial, bool):
            if not 1 <= initial <= n:
                raise PoolError(f"initial={initial} must be from 1 to the number of candidates, {n}")
            others = np.delete(np.arange(n), np.array(sorted(self.known), dtype=np.int64))
            lacking = min(max(0, int(initial) - len(given)), len(others))
            more = first_of(self.start, self.near, others, lacking, seed, given)
            return np.concatenate([given, more]).astype(np.int64)
        indices = np.asarray(initial)
        if indices.ndim != 1 or indices.size == 0 or indices.dtype.kind not in "iu":
            raise PoolError(f"initial={initial!r} must be a number of candidates or a list of their indices")
        if indices.min() < 0 or indices.max() >= n or len(np.unique(indices)) != len(indices):
            raise PoolError(f"initial: the indices must be distinct and from 0 to {n - 1}")
        beside = self.given.beside(indices.tolist())
        return np.concatenate([indices, np.array(beside, dtype=np.int64)]).astype(np.int64)


def _check_features(features: Any, n: int) -> np.ndarray:
    opened = open_candidates(features, "features") if isinstance(features, (str, Path)) else features
    array = as_numbers(opened, "features", PoolError)
    if array.ndim != 2 or len(array) != n:
        raise PoolError(f"features must be [{n}, F], one row a candidate; got shape {array.shape}")
    check_finite(array, "features")
    return array


def _check_holdout(holdout: tuple[Any, Any], X: Any, allow_nan: bool) -> tuple[Any, np.ndarray]:
    try:
        X_test, y_test = holdout
    except (TypeError, ValueError):
        raise PoolError("holdout must be a pair (X_test, y_test)") from None
    X_test, y_test = open_candidates(X_test, "holdout X_test", allow_nan), _as_labels(y_test)
    if len(X_test) != len(y_test) or len(y_test) == 0:
        raise PoolError(f"holdout: X_test and y_test have {len(X_test)} and {len(y_test)} rows")
    if is_frame(X) and is_frame(X_test):
        X_test = of_types(X, X_test, "holdout X_test", floats=True)
    return X_test, y_test


def _as_labels(y_test: Any) -> np.ndarray:
    """Return labels `[n]` or `[n, D]`; a single column is `[n]`."""
    array = as_array(y_test, "holdout y_test", PoolError)
    if array.ndim == 0:
        raise PoolError(f"holdout y_test must be one label a sample, got a single value, {y_test!r}")
    found = not_finite(array)
    if found is None and array.dtype.kind == "O" and any(one is None for one in array.ravel()):
        found = "None"
    if found is not None:
        raise PoolError(f"holdout y_test holds NaN or inf ({found}); leave out samples without a label")
    if array.dtype.kind == "O" or (array.dtype.kind == "U" and not isinstance(y_test, np.ndarray)):
        array = _of_one_kind(array.tolist() if array.dtype.kind == "O" else list(y_test))
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _of_one_kind(labels: Sequence[Any]) -> np.ndarray:
    """Return labels of one kind as an array; NumPy would make texts of all where some are numbers and some texts."""
    labels = [as_label(one) for one in labels]
    array = stacked(labels)
    if array is not None:
        return array
    if all(isinstance(one, (numbers.Real, Decimal)) for one in labels):
        return np.array(labels, dtype=np.float64)
    kinds = ", ".join(sorted({type(one).__name__ for one in labels}))
    raise PoolError(f"holdout y_test has labels of several kinds ({kinds}), or of none that can be compared")
