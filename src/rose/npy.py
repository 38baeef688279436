"""Read parts of arrays in .npy files, in any process that sees the file."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NpyFile:
    """Read parts of an array `shape` of `dtype` in C order, that begins at byte `offset` of a file.

    Parts are read plainly, not memory-mapped: pages of a mapped file count as the process's memory until the kernel
    wants them back, and an array may be larger than any memory.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @classmethod
    def of(cls, array: Any) -> Self | None:
        """Return the file that a memory-mapped array is; None if it is another kind of array, or a part of one."""
        if not isinstance(array, np.memmap) or array.mode != "r" or array.filename is None:
            return None
        if not array.flags.c_contiguous or array.dtype.hasobject:
            return None
        if not isinstance(array.base, mmap.mmap):  # a view of a mapped array says its owner's offset
            return None
        return cls(os.path.abspath(array.filename), array.shape, array.dtype, int(array.offset))

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` to `stop - 1`.

        Raises:
            OSError: if the file is not to be seen from here.
            EOFError: if it is shorter than it was.
        """
        width = math.prod(self.shape[1:])
        count = (stop - start) * width
        rows = np.fromfile(self.path, self.dtype, count, offset=self.offset + start * width * self.dtype.itemsize)
        if len(rows) != count:
            raise EOFError(self.path)
        return rows.reshape(stop - start, *self.shape[1:])

    def take(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the rows at these indices; raises as `read` does."""
        found = np.empty((len(indices), *self.shape[1:]), self.dtype)
        rows = found.reshape(len(indices), math.prod(self.shape[1:])).view(np.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for row, index in zip(rows, indices.tolist(), strict=True):
                file.seek(self.offset + index * rows.shape[1])
                if file.readinto(row.data) != len(row):
                    raise EOFError(self.path)
        return found
