"""Check the truth that predictions are held against: class numbers, or values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rose.arrays import as_array, as_numbers, as_vector
from rose.errors import ConfigurationError


def class_numbers(labels: object, n: int, classes: int, name: str = "y_true") -> npt.NDArray[np.intp]:
    """Return the columns of the true classes, `[n]`, from any array of whole numbers (a table's one column, too).

    Raises:
        ConfigurationError: for another shape, and for what is no number of a column: 0 to `classes` - 1.

    >>> class_numbers([0.0, 1.0], 2, 2)
    array([0, 1])
    """
    wanted = f"{name} must be class numbers from 0 to {classes - 1}, the columns of the true classes"
    found = as_array(labels, name)
    if found.dtype.kind not in "iubfO":
        raise ConfigurationError(f"{wanted}; they are {found.dtype}")
    found = as_vector(found, name)
    if found.shape != (n,):
        raise ConfigurationError(f"{name} must have shape {(n,)}, not {found.shape}: one class number per sample")
    whole = found.dtype.kind in "iub" or bool((found == np.floor(found)).all())
    if not whole or (found.size and (found.min() < 0 or found.max() >= classes)):
        raise ConfigurationError(wanted)
    return found.astype(np.intp)


def true_values(targets: object, shape: tuple[int, ...], name: str = "y_true") -> npt.NDArray[Any]:
    """Return true values as float64, `[n]` or `[n, D]`.

    Raises:
        ConfigurationError: for another shape, and for what is no finite number.

    >>> true_values([[1], [2]], (2,))
    array([1., 2.])
    """
    found = as_numbers(targets, name) if len(shape) > 1 else as_vector(targets, name)
    if found.shape != shape:
        raise ConfigurationError(f"{name} must have shape {shape}, not {found.shape}")
    if not np.isfinite(found).all():
        raise ConfigurationError(f"{name} must be finite numbers")
    return found.astype(np.float64)
