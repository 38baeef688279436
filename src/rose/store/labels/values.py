"""Check what a label may be: a number, a text, an array or any object, with nothing in it that is not finite."""

from __future__ import annotations

import logging
import math
import numbers
import pickle
from collections.abc import Iterator, Mapping, Sequence, Set
from decimal import Decimal
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
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

    It looks into lists, tuples, sets, dicts (their keys, too), arrays and the attributes of objects, and at numbers of
    every kind; not into classes, functions, modules and what can be fitted. A None in a list or tuple that holds
    numbers is a value that is missing; elsewhere it may be.

    Args:
        value: the label or candidate.
        allow_nan: whether only infinite values count.

    >>> not_finite({"energy": 1.0, "forces": [0.0, math.nan]})
    "nan at ['forces'][1]"
    >>> not_finite(Decimal("Infinity"))
    'Infinity'
    >>> not_finite([1.0, None, "nan"])
    'None at [1]'
    >>> not_finite({"energy": 1.0, "charge": None}) is None
    True
    """
    seen: dict[tuple[int, bool], Any] = {}  # held, so that no other object gets the number of one that is gone
    waiting = [_Part(value)]
    while waiting:  # no recursion: objects may be chained without end, or hold themselves
        part = waiting.pop()
        found = _itself(part, allow_nan)
        if found is not None:
            where = part.where + found[0]
            return f"{found[1]} at {where}" if where else found[1]
        key = (id(part.value), part.among_numbers)
        if key not in seen and not isinstance(part.value, _ALONE):
            seen[key] = part.value
            waiting.extend(reversed([*_parts(part)]))
    return None


def same_label(one: Any, other: Any) -> bool:
    """Return whether two labels are equal: numbers by their value, arrays, lists and tuples by their elements.

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
    """Return whether another library calls this an array; sparse ones are objects like any other."""
    if hasattr(value, "nnz") and (hasattr(value, "toarray") or hasattr(value, "todense")):
        return False
    torch = type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")
    return torch or hasattr(value, "__cuda_array_interface__") or hasattr(value, "__array__")


class _Part:
    """Hold a value that is somewhere in a label, and where."""

    def __init__(self, value: Any, name: str = "", inside: _Part | None = None, among_numbers: bool = False) -> None:
        self.value, self.name, self.inside = value, name, inside
        self.among_numbers = among_numbers  # whether it is in a list with numbers

    @property
    def where(self) -> str:
        names, part = [self.name], self.inside
        while part is not None:
            names.append(part.name)
            part = part.inside
        return "".join(reversed(names))


def _itself(part: _Part, allow_nan: bool) -> tuple[str, str] | None:
    """Return where in a number or an array what is not finite is, and what; None for a container."""
    value = part.value
    if value is None:
        return ("", "None") if part.among_numbers and not allow_nan else None
    if isinstance(value, (str, bytes, int)) and not isinstance(value, np.generic):
        return None
    if isinstance(value, (np.ndarray, np.generic)):
        return _in_array(np.asanyarray(value), allow_nan)
    if isinstance(value, Decimal):
        return None if value.is_finite() or (allow_nan and value.is_nan()) else ("", str(value))
    if isinstance(value, numbers.Number):
        return None if _is_finite(value, allow_nan) else ("", str(value))
    if type(value).__name__ in _NO_VALUES:
        return None if allow_nan else ("", str(value))
    if isinstance(value, _CLOSED):
        return None
    if _is_array(value):
        part.value = as_array(value, "it")
        return _in_array(part.value, allow_nan)
    if _is_sparse(value):
        found = _in_array(value.data, allow_nan)
        return None if found is None else (f".data{found[0]}", found[1])
    return None


def _parts(part: _Part) -> Iterator[_Part]:
    """Return what a value holds."""
    value = part.value
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            yield from (_Part(value[place], _text(place), part) for place in np.ndindex(value.shape))
        return
    if isinstance(value, _CLOSED) or _is_sparse(value) or callable(getattr(type(value), "fit", None)):
        return
    if isinstance(value, Mapping):
        for i, (key, one) in enumerate(value.items()):
            if not _is_plainly_finite(key):
                yield _Part(key, f".keys()[{i}]", part)
            yield _Part(one, f"[{key!r}]", part)
    elif isinstance(value, (Sequence, Set)):
        among = isinstance(value, (list, tuple)) and not hasattr(value, "_fields")
        among = among and (part.among_numbers or _has_number(value))
        yield from (_Part(one, f"[{i}]", part, among) for i, one in enumerate(value) if not _is_plainly_finite(one))
    for name, one in _attributes(value):
        if not _is_plainly_finite(one):
            yield _Part(one, f".{name}", part)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Return what an object holds in its `__dict__` and `__slots__`; properties are not asked."""
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            private = name.startswith("__") and not name.endswith("__")
            name = f"_{kind.__name__.lstrip('_')}{name}" if private else name
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


def _has_number(value: Any) -> bool:
    """Return whether a list or tuple holds a number, or one in it does."""
    seen, waiting = set(), [value]
    while waiting:
        for one in waiting.pop():
            if isinstance(one, (numbers.Number, np.number)):
                return True
            if isinstance(one, (list, tuple)) and id(one) not in seen:
                seen.add(id(one))
                waiting.append(one)
    return False


_ALONE = (str, bytes, int, float, complex, Decimal, type(None), np.generic)  # nothing is in them
_CLOSED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, logging.Logger, range)  # no content of data


def _is_sparse(value: Any) -> bool:
    return hasattr(value, "nnz") and isinstance(getattr(value, "data", None), np.ndarray)


def _is_plainly_finite(value: Any) -> bool:
    """Return whether a second look is not needed: lists of numbers may be long."""
    kind = type(value)
    return kind is int or kind is str or (kind is float and math.isfinite(value))


def _in_array(array: np.ndarray, allow_nan: bool) -> tuple[str, str] | None:
    """Return where an array of numbers holds what is not finite, and what."""
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        if mask.dtype.names is None and mask.any():
            return _place(mask), "a masked entry"
        array = np.asarray(array.data)
    if array.dtype.names is not None:
        for name in array.dtype.names:
            found = _in_array(array[name], allow_nan)
            if found is not None:
                return f"[{name!r}]{found[0]}", found[1]
    elif array.dtype.kind in "fcmM" or array.dtype.name == "bfloat16":
        if array.dtype.kind in "mM":
            bad = np.zeros(array.shape, dtype=bool) if allow_nan else np.isnat(array)
        else:
            bad = np.isinf(array) if allow_nan else ~np.isfinite(array)
        if bad.any():
            first = tuple(np.argwhere(bad)[0].tolist())
            return _text(first), str(array[first])
    return None


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
    """Return its content, in the form that it has after it was read: what was shared inside may not be any more."""
    return bytes(cloudpickle.dumps(pickle.loads(cloudpickle.dumps(value, protocol=5)), protocol=5))
