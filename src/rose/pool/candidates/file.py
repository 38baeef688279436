"""Candidates in a .npy file: workers get its path, and read the part that they need."""

from __future__ import annotations

import math
import mmap
import os
import socket
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.errors import PoolError


@dataclass(frozen=True)
class CandidateFile:
    """An array `shape` of `dtype` in C order, that begins at byte `offset` of a file.

    Parts are read plainly, not memory-mapped: pages of a mapped file count as the process's memory until the kernel
    wants them back, and a pool may be larger than any memory.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @classmethod
    def of(cls, X: Any) -> CandidateFile | None:
        """The file that a memory-mapped array is; None if it is another kind of array, or a part of one."""
        if not isinstance(X, np.memmap) or X.mode != "r" or X.filename is None or not X.flags.c_contiguous:
            return None
        if not isinstance(X.base, mmap.mmap) or X.dtype.hasobject:  # a view of a mapped array says its owner's offset
            return None
        return cls(os.path.abspath(X.filename), X.shape, X.dtype, X.offset)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Candidates `start` to `stop - 1`.

        Raises:
            PoolError: if the file is not to be seen from here, or is shorter than it was.
        """
        width = math.prod(self.shape[1:])
        count = (stop - start) * width
        first = self.offset + start * width * self.dtype.itemsize
        try:
            rows = np.fromfile(self.path, self.dtype, count, offset=first)
        except OSError as error:
            raise self._unseen(error) from error
        if len(rows) != count:
            raise self._shorter()
        return rows.reshape(stop - start, *self.shape[1:])

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The candidates at these indices; raises as `read` does."""
        found = np.empty((len(indices), *self.shape[1:]), self.dtype)
        rows = found.reshape(len(indices), math.prod(self.shape[1:])).view(np.uint8)
        try:
            with open(self.path, "rb", buffering=0) as file:
                for row, index in zip(rows, indices.tolist(), strict=True):
                    file.seek(self.offset + index * rows.shape[1])
                    if file.readinto(row.data) != len(row):
                        raise self._shorter()
        except OSError as error:
            raise self._unseen(error) from error
        return found

    def _shorter(self) -> PoolError:
        return PoolError(f"the pool's file {self.path!r} has become shorter during the run")

    def _unseen(self, error: OSError) -> PoolError:
        return PoolError(
            f"the pool's file {self.path!r} cannot be read on {socket.gethostname()}: {error}; a pool of more than "
            "`block` candidates that was given as a file is read there by its path: put it where all workers see it"
        )
