"""Take some of the candidates, of whichever kind they are: arrays, files, tables, sequences of objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.pool.candidates.file import CandidateFile
from rose.pool.candidates.frames import is_frame


def take(X: Any, indices: np.ndarray) -> Any:
    """Return the samples at `indices`: an array of an array or a file, a table of a table, a list of a sequence."""
    if isinstance(X, np.ndarray):
        return X[indices]
    if isinstance(X, CandidateFile):
        return X.take(indices)
    if is_frame(X):
        return X.iloc[indices]
    return [X[int(i)] for i in indices]


def part(X: Any, start: int, stop: int) -> Any:
    """Return samples `start` to `stop - 1`, as `take` returns those at indices."""
    if isinstance(X, CandidateFile):
        return X.read(start, stop)
    return X.iloc[start:stop] if is_frame(X) else X[start:stop]
