"""Hold labelled samples that are no candidates: they train, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.errors import PoolError
from rose.identity import value_digest
from rose.pool.candidates.frames import concatenated, is_frame, of_types
from rose.pool.candidates.given_labels import labels_of
from rose.pool.candidates.opening import digests, open_candidates
from rose.store import stacked


@dataclass(frozen=True)
class Extra:
    """Hold samples `X`, of the kind and shape of the pool's candidates, and a label for each."""

    X: Any
    labels: Sequence[Any]

    def before(self, X: Any) -> Any:
        """Return these samples, then those of `X`."""
        if is_frame(X):
            return concatenated([self.X, X])
        return [*self.X, *X] if isinstance(X, list) else np.concatenate([self.X, X])

    def labels_before(self, labels: Sequence[Any]) -> Any:
        """Return these labels, then those given: an array where they are of one kind and shape, else a list.

        Raises:
            PoolError: if each are of one kind, but not of the same.
        """
        array = stacked([*self.labels, *labels])
        if array is not None:
            return array
        mine, others = stacked(self.labels), stacked(labels)
        if mine is not None and others is not None and len(mine) and len(others):
            raise PoolError(
                f"Pool(extra=): its labels are of another kind or shape than the candidates': {_form(mine)} and "
                f"{_form(others)}"
            )
        return [*self.labels, *labels]

    def digest(self) -> str:
        """Return what identifies these samples and labels by their content."""
        hasher = hashlib.blake2b(digest_size=16)
        for place, (digest, label) in enumerate(zip(digests(self.X, "extra X"), self.labels, strict=True)):
            hasher.update(digest + value_digest(label, f"extra y[{place}]"))
        return hasher.hexdigest()


def open_extra(extra: Any, X: Any, allow_nan: bool) -> Extra:
    """Return the samples and labels of `Pool(extra=)`, checked to fit the candidates `X`.

    Raises:
        PoolError: if they are no such pair, or do not fit the candidates; or a label is none.
    """
    if not isinstance(extra, (tuple, list)) or len(extra) != 2:
        raise PoolError(f"extra must be a pair (X, y) of labelled samples, got {type(extra).__name__}")
    samples, labels = open_candidates(extra[0], "extra X", allow_nan), labels_of(extra[1], "extra")
    if len(samples) != len(labels) or not len(labels):
        raise PoolError(f"extra: X and y have {len(samples)} and {len(labels)} rows")
    if is_frame(X):
        return Extra(of_types(X, samples, "extra X"), labels)
    if isinstance(X, np.ndarray):
        return Extra(_shaped(samples, X), labels)
    if is_frame(samples):
        raise PoolError("extra X is a DataFrame, and the pool is a list: give it as the pool's candidates are")
    return Extra(list(samples), labels)


def _shaped(samples: Any, X: np.ndarray) -> np.ndarray:
    if is_frame(samples):
        raise PoolError("extra X is a DataFrame, and the pool is an array: give both as one or the other")
    array = np.asarray(samples)
    kinds = {"number" if one.dtype.kind in "biufc" else one.dtype.kind for one in (array, X)}
    if array.shape[1:] != X.shape[1:] or len(kinds) > 1:
        raise PoolError(
            f"extra X has rows of shape {array.shape[1:]} of {array.dtype}, and the pool's candidates are "
            f"{X.shape[1:]} of {X.dtype}"
        )
    return array


def _form(labels: np.ndarray) -> str:
    return f"{labels.dtype} of shape {list(labels.shape[1:])}" if labels.ndim > 1 else str(labels.dtype)
