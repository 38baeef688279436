"""Name the classes of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.errors import ConfigurationError


@dataclass(frozen=True)
class Classes:
    """Hold the classes `[C]` of labels in order, the labels' places among them `[n]`, and these as rows of 0 and 1."""

    names: NDArray[Any]
    codes: NDArray[np.int64]
    ones: NDArray[np.float64]

    @classmethod
    def of(cls, y: Any, n: int) -> Classes:
        """Return those of `n` labels.

        Raises:
            ConfigurationError: if there are not as many.
        """
        labels = np.asarray(y).reshape(-1) if np.ndim(y) == 2 and np.shape(y)[1] == 1 else np.asarray(y)
        if labels.shape != (n,):
            raise ConfigurationError(f"y must be one class a sample, [{n}]; got shape {labels.shape}")
        names, codes = np.unique(labels, return_inverse=True)
        return cls(names, codes, np.eye(len(names))[codes])
