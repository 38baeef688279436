"""What a label may be: a number, a text, an array or any object, with nothing that is not finite anywhere inside."""

from __future__ import annotations

import dataclasses
import math
import numbers
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from typing import Any

import cloudpickle
import numpy as np

from rose.arrays import as_array
from rose.errors import ConfigurationError, RoseError

_PLAIN = (str, bytes, bool, int, float, complex, type(None), np.generic)
_NO_VALUES = ("NAType", "NaTType")  # what pandas has in the place of a value that is missing


def as_label(value: Any, name: str = "the label", error: type[RoseError] = ConfigurationError) -> Any:
    """Return a label with the arrays of other libraries as NumPy's, in lists, tuples and dicts too.

    An array without axes becomes its number. What is no array stays as it is.

    Raises:
        RoseError: of the kind `error`, as `as_array` does.

    >>> as_label(np.array(3)), as_label([1.5, np.array(2.5)])
    (np.int64(3), [1.5, np.float64(2.5)])
    """
    if isinstance(value, _PLAIN):
        return value
    kind = type(value)
    if kind in (list, tuple):
        return kind(as_label(one, f"{name}[{i}]", error) for i, one in enumerate(value))
    if kind is dict:
        return {key: as_label(one, f"{name}[{key!r}]", error) for key, one in value.items()}
    if not isinstance(value, np.ndarray) and not _is_array(value):
        return value
    array = as_array(value, name, error)
    if array.ndim:
        return array
    return array[()] if isinstance(value, np.ndarray) else array.item()


def not_finite(value: Any, allow_nan: bool = False) -> str | None:
    """Return the first value in a label or candidate that is not finite, and where it is; None if all are.

    It looks into lists, tuples, sets, dicts, dataclasses and arrays, and at numbers of every kind.

    Args:
        value: the label or candidate.
        allow_nan: whether only infinite values count.

    >>> not_finite({"energy": 1.0, "forces": [0.0, math.nan]})
    "nan at ['forces'][1]"
    >>> not_finite(Decimal("Infinity"))
    'Infinity'
    >>> not_finite([1.0, None, "nan"]) is None
    True
    """
    for where, found in _not_finite(value, allow_nan, "", set()):
        return f"{found} at {where}" if where else found
    return None


def same_label(one: Any, other: Any) -> bool:
    """Whether two labels are equal: numbers by their value, arrays, lists and tuples by their elements.

    >>> same_label(1, np.float64(1)), same_label([1, 2], np.array([1.0, 2.0])), same_label("1", 1)
    (True, True, False)
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_label(one[key], other[key]) for key in one)
    if isinstance(one, _SEQUENCES) and isinstance(other, _SEQUENCES):
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return bool(np.array_equal(one, other))
        return len(one) == len(other) and all(map(same_label, one, other))
    if isinstance(one, _SEQUENCES) or isinstance(other, _SEQUENCES):
        return False
    try:
        if bool(one == other):
            return True
    except Exception:  # an object that holds arrays cannot say whether it is equal
        return _pickled(one) == _pickled(other)
    # An object that does not say what makes it equal to another is compared by its content.
    silent = type(one) is type(other) and getattr(type(one), "__eq__", None) is object.__eq__
    return silent and _pickled(one) == _pickled(other)


def stacked(values: Sequence[Any]) -> np.ndarray | None:
    """Return values of one kind and shape as an array `[L, ...]`; None where that would change them.

    Numbers of all types are one kind, and so are texts, and truth values; lists and tuples of them count as arrays.

    >>> stacked([1, 2.5]), stacked([(1, 2), [3, 4]])
    (array([1. , 2.5]), array([[1, 2],
           [3, 4]]))
    >>> stacked([1, "a"]) is None, stacked([True, 2]) is None
    (True, True)
    """
    kinds = set(map(type, values))
    if kinds <= {bool, np.bool_} or kinds <= {str, np.str_}:
        return np.array(values)
    if all(issubclass(kind, _NUMBERS) for kind in kinds) and not kinds & {bool, np.timedelta64}:
        array = np.array(values)
        return None if array.dtype.hasobject else array
    if kinds <= {np.datetime64} or kinds <= {np.timedelta64}:
        return np.array(values)
    if not kinds <= {list, tuple, np.ndarray}:
        return None
    rows = [value if isinstance(value, np.ndarray) else stacked(value) for value in values]
    arrays = [row for row in rows if row is not None]
    one_kind = {_KINDS.get(row.dtype.kind, row.dtype.str) for row in arrays if row.size or row.dtype.kind != "f"}
    alike = len(arrays) == len(rows) and len(one_kind) < 2 and len({row.shape for row in arrays}) == 1
    return np.stack(arrays) if alike and not any(row.dtype.hasobject for row in arrays) else None


_SEQUENCES = (list, tuple, np.ndarray)
_NUMBERS = (int, float, complex, np.number)
_KINDS = dict.fromkeys("iufc", "number") | {"U": "text", "b": "truth"}


def _is_array(value: Any) -> bool:
    """Whether another library calls this an array; sparse ones are objects like any other."""
    if hasattr(value, "nnz") and (hasattr(value, "toarray") or hasattr(value, "todense")):
        return False
    torch = type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")
    return torch or hasattr(value, "__cuda_array_interface__") or hasattr(value, "__array__")


def _not_finite(value: Any, allow_nan: bool, where: str, inside: set[int]) -> Iterator[tuple[str, str]]:
    """All that is not finite; `inside` are the containers that this is in, for some hold themselves."""
    if isinstance(value, (str, bytes, int, type(None))) and not isinstance(value, np.generic):
        return
    if isinstance(value, (np.ndarray, np.generic)):
        yield from _in_array(np.asanyarray(value), allow_nan, where, inside)
    elif isinstance(value, Decimal):
        if not value.is_finite() and not (allow_nan and value.is_nan()):
            yield where, str(value)
    elif isinstance(value, numbers.Number):
        if not _is_finite(value, allow_nan):
            yield where, str(value)
    elif type(value).__name__ in _NO_VALUES:
        if not allow_nan:
            yield where, str(value)
    elif _is_array(value):
        yield from _in_array(as_array(value, "it"), allow_nan, where, inside)
    elif hasattr(value, "nnz") and isinstance(getattr(value, "data", None), np.ndarray):  # a sparse matrix
        yield from _in_array(value.data, allow_nan, f"{where}.data", inside)
    elif id(value) not in inside:
        for name, one in _parts(value):
            yield from _not_finite(one, allow_nan, where + name, inside | {id(value)})


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return ((f"[{key!r}]", one) for key, one in value.items())
    if isinstance(value, (Sequence, Set)):
        return ((f"[{i}]", one) for i, one in enumerate(value) if not _is_plainly_finite(one))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
        return ((f".{name}", getattr(value, name)) for name in names)
    return ()


def _is_plainly_finite(value: Any) -> bool:
    """Whether a second look is not needed: lists of numbers may be long."""
    kind = type(value)
    return kind is int or kind is str or (kind is float and math.isfinite(value))


def _in_array(array: np.ndarray, allow_nan: bool, where: str, inside: set[int]) -> Iterator[tuple[str, str]]:
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.getmaskarray(array).any():
            yield where + _place(np.ma.getmaskarray(array)), "a masked entry"
            return
        array = np.asarray(array.data)
    if array.dtype.names is not None:
        for name in array.dtype.names:
            yield from _in_array(array[name], allow_nan, f"{where}[{name!r}]", inside)
    elif array.dtype.kind == "O":
        for place in np.ndindex(array.shape):
            yield from _not_finite(array[place], allow_nan, where + _text(place), inside | {id(array)})
    elif array.dtype.kind in "fcmM" or array.dtype.name == "bfloat16":
        if array.dtype.kind in "mM":
            bad = np.zeros(array.shape, dtype=bool) if allow_nan else np.isnat(array)
        else:
            bad = np.isinf(array) if allow_nan else ~np.isfinite(array)
        if bad.any():
            first = tuple(np.argwhere(bad)[0].tolist())
            yield where + _text(first), str(array[first])


def _is_finite(value: Any, allow_nan: bool) -> bool:
    try:
        parts = [float(value.real), float(value.imag)]
    except OverflowError:  # of no float's range, but a number
        return True
    except (AttributeError, TypeError, ValueError):
        return True
    if allow_nan:
        return not any(map(math.isinf, parts))
    return all(map(math.isfinite, parts))


def _place(bad: np.ndarray) -> str:
    return _text(tuple(np.argwhere(bad)[0].tolist()))


def _text(place: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, place))}]" if place else ""


def _pickled(value: Any) -> bytes:
    """Its content, in the form that it has after it was read: what was shared inside may not be any more."""
    return bytes(cloudpickle.dumps(pickle.loads(cloudpickle.dumps(value, protocol=5)), protocol=5))
