"""Take other libraries' arrays as NumPy's: the one entrance for everything that is an array.

NumPy, lists, DataFrames, torch (with gradients, on any device, bfloat16), CuPy, JAX, and whatever else has `__array__`
or `__dlpack__`; sparse matrices and masked values are refused, by name. No library is imported here: an array brings
its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.errors import ConfigurationError, PredictionError, RoseError

# How far probabilities may be from [0, 1] and their sum from 1, by the precision that they were computed in: its
# rounding, over a thousand classes or so.
_TOLERANCES = {"bfloat16": 3e-2, "float16": 1e-2, "float32": 1e-4, "float64": 1e-5}
_OF_FLOATS = {2: _TOLERANCES["float16"], 4: _TOLERANCES["float32"], 8: _TOLERANCES["float64"]}  # by bytes


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
        return _known(_unmasked(value, name, error))
    refuse_sparse(value, name, error)
    if isinstance(value, (list, tuple)):
        value = [
            one if isinstance(one, _SCALARS) else as_array(one, f"{name}[{i}]", error) for i, one in enumerate(value)
        ]
    try:
        return _unmasked(_known(_converted(value)), name, error)
    except (TypeError, ValueError, RuntimeError) as cause:
        if isinstance(cause, RoseError):
            raise
        raise error(f"{name} is no array: {cause}") from cause


def as_numbers(value: object, name: str, error: type[RoseError] = ConfigurationError) -> NDArray[Any]:
    """Return what `as_array` does, as whole numbers, floats or truth values; objects that are numbers become float64.

    Missing values of a table (None, pandas' NA) become NaN.

    Raises:
        RoseError: of the kind `error`, as `as_array` does, and for anything else than real numbers.

    >>> from fractions import Fraction
    >>> as_numbers([Fraction(1, 2), 1], "scores")
    array([0.5, 1. ])
    """
    array = as_array(value, name, error)
    if array.dtype.kind == "O":  # Decimal, Fraction, columns of several kinds of numbers, or one is missing
        try:
            array = _without_missing(array).astype(np.float64)
        except (TypeError, ValueError):
            raise error(f"{name} must be numbers; there are others among them") from None
    if array.dtype.kind not in "fiub":
        raise error(f"{name} must be real numbers, not {array.dtype}")
    return array


def as_vector(value: object, name: str, error: type[RoseError] = ConfigurationError) -> NDArray[Any]:
    """Return what `as_numbers` does, where a table of one column `[n, 1]` counts as that column, `[n]`.

    Raises:
        RoseError: of the kind `error`, as `as_numbers` does. What has other axes is handed on as it is.

    >>> as_vector([[1.0], [2.0]], "y")
    array([1., 2.])
    """
    array = as_numbers(value, name, error)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def probability_tolerance(value: object) -> float:
    """Return how far probabilities in an array of this kind may be from [0, 1], and their sum from 1.

    Args:
        value: the array as it was given, before anything converted it: its dtype tells what it was computed in. Of
            several (a list of arrays, the columns of a table) the coarsest counts.

    >>> probability_tolerance(np.zeros(2, np.float32)), probability_tolerance([0.5, 0.5])
    (0.0001, 1e-05)
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return _OF_FLOATS.get(value.dtype.itemsize if value.dtype.kind == "f" else 8, _TOLERANCES["float64"])
    if isinstance(value, (list, tuple)):
        # Numbers of Python's are float64; of lists in lists, as they come from JSON, the first tells enough.
        some = value[:1] if value and isinstance(value[0], (int, float, list, tuple)) else value
        return max(map(probability_tolerance, some), default=_TOLERANCES["float64"])
    dtypes = getattr(value, "dtypes", None) if hasattr(value, "columns") else None
    kinds = [getattr(value, "dtype", "float64")] if dtypes is None else list(dtypes)
    names = [str(getattr(kind, "name", kind)).rpartition(".")[2].lower() for kind in kinds]
    return max((_TOLERANCES.get(name, _TOLERANCES["float64"]) for name in names), default=_TOLERANCES["float64"])


def two_columns(value: object, name: str = "probabilities", error: type[RoseError] = PredictionError) -> NDArray[Any]:
    """Return both classes' probabilities, `[..., 2]`, where only those of class 1 are given: `[1 - p, p]`.

    Args:
        value: `[n]`, or with a last axis of length 1: `[n, 1]`, `[S, n, 1]`. (Stacked `[S, n]` are `p[..., None]`.)
        name: what messages call it.
        error: what to raise.

    Raises:
        RoseError: of the kind `error`, for another shape, and for numbers outside [0, 1] or NaN.

    >>> two_columns([[0.25], [1.0]])
    array([[0.75, 0.25],
           [0.  , 1.  ]])
    """
    p = as_numbers(value, name, error)
    if p.ndim != 1 and p.shape[-1:] != (1,):
        raise error(
            f"{name} must be P(class 1), [n] or with a last axis of length 1, not of shape {p.shape}; for stacked "
            f"[S, n] give {name}[..., None]"
        )
    p = (p if p.ndim == 1 else p[..., 0]).astype(p.dtype if p.dtype.kind == "f" else np.float64)
    tolerance = probability_tolerance(value)
    outside = ~((p >= -tolerance) & (p <= 1.0 + tolerance))
    if outside.any():
        at = tuple(np.argwhere(outside)[0].tolist())
        raise error(f"{name}{list(at)} is {p[at]}, outside [0, 1] (is this a logit? apply the sigmoid)")
    p = np.clip(p, 0.0, 1.0)
    return np.stack([1.0 - p, p], axis=-1)


def refuse_sparse(value: object, name: str, error: type[RoseError] = ConfigurationError) -> None:
    """Do nothing, unless it is a sparse matrix.

    Raises:
        RoseError: of the kind `error`, for those of scipy and its like, and torch's of any layout but strided.
    """
    if hasattr(value, "nnz") and hasattr(value, "toarray"):
        raise error(f"{name} is a sparse {type(value).__name__}; give it as a dense array, {name}.toarray()")
    if hasattr(value, "nnz") and hasattr(value, "todense"):
        raise error(f"{name} is a sparse {type(value).__name__}; give it as a dense array, {name}.todense()")
    if _is_torch(value) and str(getattr(value, "layout", "torch.strided")) != "torch.strided":
        raise error(f"{name} is a sparse tensor; give it as a dense one, {name}.to_dense()")


_SCALARS = (int, float, complex, str, bytes, bool, np.generic, type(None))


def _is_torch(value: object) -> bool:
    """Return whether it is a tensor, or of a class that is derived from it."""
    return hasattr(value, "detach") and any(c.__module__.partition(".")[0] == "torch" for c in type(value).__mro__)


def _converted(value: Any) -> NDArray[Any]:
    """Convert an array by its library's own way to NumPy."""
    if _is_torch(value):
        tensor = value.detach().cpu()
        return np.asarray(tensor.float() if "bfloat16" in str(tensor.dtype) else tensor.resolve_conj().resolve_neg())
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):  # CuPy
        return np.asarray(value.get())
    if hasattr(value, "to_numpy"):
        return np.asanyarray(value.to_numpy())
    try:
        return np.asanyarray(value)
    except RuntimeError:  # an array that knows only the exchange protocol
        if not hasattr(value, "__dlpack__"):
            raise
        return np.from_dlpack(value)


def _known(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of a type that NumPy knows, and no matrix.

    bfloat16 of other libraries is no number to NumPy; and a matrix would keep two axes, whatever is taken of it.
    """
    if isinstance(array, np.matrix):
        array = np.asarray(array)
    exotic = array.dtype.kind == "V" and array.dtype.name == "bfloat16"  # in this order: a dtype's name is slow to make
    return array.astype(np.float32) if exotic else array


def _without_missing(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of objects with None in the place of pandas' NA.

    float64 knows None as NaN; NA is no number to anyone else.
    """
    numbers = np.empty(array.size, dtype=object)
    numbers[:] = [None if type(one).__name__ == "NAType" else one for one in array.flat]
    return numbers.reshape(array.shape)


def _unmasked(array: NDArray[Any], name: str, error: type[RoseError]) -> NDArray[Any]:
    if not isinstance(array, np.ma.MaskedArray):
        return array
    if np.ma.getmaskarray(array).any():
        at = np.argwhere(np.ma.getmaskarray(array))[0].tolist()
        raise error(f"{name} has masked entries, the first at {at}: fill them or leave such rows out")
    return np.asarray(array.data)
