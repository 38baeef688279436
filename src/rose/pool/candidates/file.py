"""Read candidates from a .npy file: workers get its path, and read the part that they need."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from rose.errors import PoolError
from rose.npy import NpyFile


class CandidateFile(NpyFile):
    """Read a pool's file, with a PoolError for what cannot be read of it."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return candidates `start` to `stop - 1`.

        Raises:
            PoolError: if the file is not to be seen from here, or is shorter than it was.
        """
        with self._seen():
            return super().read(start, stop)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Return the candidates at these indices; raises as `read` does."""
        with self._seen():
            return super().take(indices)

    @contextmanager
    def _seen(self) -> Iterator[None]:
        try:
            yield
        except EOFError:
            raise PoolError(f"the pool's file {self.path!r} has become shorter during the run") from None
        except OSError as error:
            raise PoolError(
                f"the pool's file {self.path!r} cannot be read on {socket.gethostname()}: {error}; a pool of more than "
                "`block` candidates that was given as a file is read there by its path: put it where all workers see it"
            ) from error
