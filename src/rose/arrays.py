"""Other libraries' arrays as NumPy's: the one entrance for everything that is an array.

NumPy, lists, DataFrames, torch (with gradients, on any device, bfloat16), CuPy, JAX, and whatever else has `__array__`;
sparse matrices and masked values are refused, by name. No library is imported here: an array brings its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.errors import ConfigurationError, RoseError

# How far probabilities may be from [0, 1] and their sum from 1, by the precision that they were computed in: its
# rounding, over a thousand classes or so.
_TOLERANCES = {"bfloat16": 3e-2, "float16": 1e-2, "float32": 1e-4, "float64": 1e-5}


def as_array(value: object, name: str, error: type[RoseError] = ConfigurationError) -> NDArray[Any]:
    """Return the numbers (or texts, or objects) of any array as NumPy's, without a copy where they are in memory.

    Args:
        value: the array, a DataFrame or Series, or a list, nested as deep as it likes.
        name: what messages call it.
        error: what to raise.

    Raises:
        RoseError: of the kind `error`, for sparse matrices, arrays with masked entries, and ragged lists.

    >>> as_array([[1, 2], [3, 4]], "X").shape
    (2, 2)
    """
    if isinstance(value, np.ndarray):
        return _unmasked(value, name, error)
    if _is_sparse(value):
        raise error(f"{name} is a sparse {type(value).__name__}; give it as a dense array, {name}.toarray()")
    library = type(value).__module__.partition(".")[0]
    if library == "torch" and hasattr(value, "detach"):
        tensor = value.detach().cpu()
        return np.asarray(tensor.float() if "bfloat16" in str(tensor.dtype) else tensor.resolve_conj().resolve_neg())
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):  # CuPy
        return np.asarray(value.get())
    if isinstance(value, (list, tuple)):
        value = [
            one if isinstance(one, _SCALARS) else as_array(one, f"{name}[{i}]", error) for i, one in enumerate(value)
        ]
    try:
        array = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except (TypeError, ValueError) as cause:
        raise error(f"{name} is no array: {cause}") from cause
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def as_numbers(value: object, name: str, error: type[RoseError] = ConfigurationError) -> NDArray[Any]:
    """Return what `as_array` does, as whole numbers, floats or truth values; objects that are numbers become float64.

    Raises:
        RoseError: of the kind `error`, as `as_array` does, and for anything else than real numbers.

    >>> from fractions import Fraction
    >>> as_numbers([Fraction(1, 2), 1], "scores")
    array([0.5, 1. ])
    """
    array = as_array(value, name, error)
    if array.dtype.kind == "O":  # Decimal, Fraction, columns of several kinds of numbers, or one is None
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise error(f"{name} must be numbers; there are others among them") from None
    if array.dtype.kind not in "fiub":
        raise error(f"{name} must be real numbers, not {array.dtype}")
    return array


def probability_tolerance(value: object) -> float:
    """Return how far probabilities in an array of this kind may be from [0, 1], and their sum from 1.

    Args:
        value: the array as it was given, before anything converted it: its dtype tells what it was computed in.

    >>> probability_tolerance(np.zeros(2, np.float32)), probability_tolerance([0.5, 0.5])
    (0.0001, 1e-05)
    """
    name = str(getattr(value, "dtype", "float64")).rpartition(".")[2]
    return _TOLERANCES.get(name, _TOLERANCES["float64"])


_SCALARS = (int, float, complex, str, bytes, bool, np.generic, type(None))


def _unmasked(array: NDArray[Any], name: str, error: type[RoseError]) -> NDArray[Any]:
    if not isinstance(array, np.ma.MaskedArray):
        return array
    if np.ma.getmaskarray(array).any():
        at = np.argwhere(np.ma.getmaskarray(array))[0].tolist()
        raise error(f"{name} has masked entries, the first at {at}: fill them or leave such rows out")
    return np.asarray(array.data)


def _is_sparse(value: object) -> bool:
    return (hasattr(value, "toarray") and hasattr(value, "nnz")) or (
        hasattr(value, "todense") and hasattr(value, "nnz")
    )
