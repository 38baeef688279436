"""Hold the labelled set of one workflow: which candidates have labels, are being simulated, or were dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.errors import PoolError
from rose.store import Dropped, stacked


class LabelledSet:
    """Hold the candidates of one workflow that have a label, in the order they came.

    It takes memory for these alone, not for all `size` candidates of the pool.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken: set[int] = set()  # those that are labelled, dropped or reserved
        self._reserved: dict[int, None] = {}
        self._pending: dict[int, None] = {}  # those that are being simulated, in the order of asking
        self._indices: list[int] = []
        self._labels: list[Any] = []
        self._dropped: dict[int, bytes] = {}  # candidates that could not be simulated, with what identifies the samples

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, indices: np.ndarray, labels: Sequence[Any]) -> None:
        """Add candidates with their labels.

        Raises:
            PoolError: if one of them is labelled already.
        """
        for index, label in zip(indices.tolist(), labels, strict=True):
            self._pending.pop(index, None)
            if self._dropped.pop(index, None) is None and index in self._taken:  # else its label has come since
                raise PoolError(f"candidate {index} is labelled already")
            self._taken.add(index)
            self._indices.append(index)
            self._labels.append(label)

    def drop(self, samples: Mapping[int, bytes]) -> None:
        """Exclude these candidates from being chosen, though they have no label."""
        for index in samples:
            self._pending.pop(index, None)
        self._taken.update(samples)
        self._dropped.update(samples)

    def expect(self, indices: np.ndarray) -> None:
        """Exclude these candidates from being chosen again: they are being simulated."""
        self._pending.update(dict.fromkeys(indices.tolist()))

    def reserve(self, indices: np.ndarray) -> None:
        """Exclude these candidates from being chosen, for good: they are for an audit, and not learned from."""
        for index in indices.tolist():
            self._pending.pop(index, None)
            self._taken.add(index)
            self._reserved[index] = None

    @property
    def reserved(self) -> list[int]:
        """Return those that are for an audit, in the order of asking."""
        return list(self._reserved)

    @property
    def pending(self) -> np.ndarray:
        """Return those that are being simulated, int64, in the order of asking."""
        return np.array(list(self._pending), dtype=np.int64)

    @property
    def left(self) -> int:
        """Return how many candidates may still be chosen."""
        return self._size - len(self._taken.union(self._pending))

    @property
    def dropped(self) -> Mapping[int, bytes]:
        """Return the candidates that could not be simulated, with what identifies the samples."""
        return self._dropped

    @property
    def indices(self) -> np.ndarray:
        """Return which candidates have a label, int64 `[L]`."""
        return np.array(self._indices, dtype=np.int64)

    @property
    def taken(self) -> np.ndarray:
        """Return those that cannot be chosen any more, int64, ascending."""
        return np.array(sorted(self._taken.union(self._pending)), dtype=np.int64)

    @property
    def candidates(self) -> np.ndarray:
        """Return those that may be chosen, int64, ascending."""
        return np.delete(np.arange(self._size), self.taken)

    @property
    def labels(self) -> list[Any]:
        """Return the labels as they came."""
        return list(self._labels)

    @property
    def y(self) -> Any:
        """Return the labels: an array `[L, ...]` where they are of one kind and shape, else a list."""
        return as_stack(self._labels)


def as_stack(labels: Sequence[Any]) -> Any:
    """Return labels as an array `[L, ...]` where they are of one kind and shape, else as they are, in a list."""
    array = stacked(labels)
    return list(labels) if array is None else array


@dataclass(frozen=True)
class Arrived:
    """Hold candidates that were asked for, with what identifies each sample, and its label or `Dropped`."""

    indices: np.ndarray
    contents: Sequence[bytes]
    labels: Sequence[Any]

    def into(self, labelled: LabelledSet) -> list[int]:
        """Add them to a labelled set; return those that were dropped."""
        failed = np.array([isinstance(label, Dropped) for label in self.labels], dtype=bool)
        labelled.add(self.indices[~failed], [label for label, bad in zip(self.labels, failed, strict=True) if not bad])
        dropped: list[int] = self.indices[failed].tolist()
        places = np.flatnonzero(failed).tolist()
        labelled.drop({index: self.contents[place] for index, place in zip(dropped, places, strict=True)})
        return dropped
