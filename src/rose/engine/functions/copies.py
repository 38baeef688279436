"""Copy a task's result where the task runs in the caller's process, and may still change it.

Between processes a result is a copy by nature. In a thread it is the task's own object, and a task that works in a
buffer (`buffer[:] = x; return buffer`) would give all its callers the last value.
"""

from __future__ import annotations

import array
import copy
import dataclasses
import sys
from collections import deque
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any


def apart(value: Any) -> Any:
    """Return data with all that can be changed in it copied: arrays, tables, containers, data classes.

    Other objects, such as models, stay what they are: they may be large, live on a gpu, or hold what has no copy.

    >>> buffer = [1, 2]
    >>> kept = apart({"value": buffer})
    >>> buffer[0] = 9
    >>> kept
    {'value': [1, 2]}
    """
    return _apart(value, {})


def _apart(value: Any, copies: dict[int, Any]) -> Any:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return value
    if id(value) not in copies:
        new = _leaf(value)
        if new is None:
            new = _whole(value, copies)
        copies[id(value)] = new
    return copies[id(value)]


def _leaf(value: Any) -> Any:
    """Copy what holds no other objects; None: it does, or it is no data."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.clone()
    if hasattr(value, "iloc") or hasattr(value, "tocsr"):  # of pandas; a sparse matrix
        return value.copy()
    if isinstance(value, (bytearray, array.array, set)):
        return copy.copy(value)
    return None


def _whole(value: Any, copies: dict[int, Any]) -> Any:
    """Copy a container with its parts; return anything that is no data as it is."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        new = numpy.array(value, subok=not isinstance(value, numpy.memmap))
        for place, entry in numpy.ndenumerate(value) if value.dtype == object else ():
            new[place] = _apart(entry, copies)
        return new
    if isinstance(value, tuple):
        parts = [_apart(part, copies) for part in value]
        return type(value)._make(parts) if hasattr(value, "_make") else tuple(parts)
    if isinstance(value, (list, deque)):
        new = copies[id(value)] = copy.copy(value)  # before its parts: one of them may be itself
        for place, part in enumerate(value):
            new[place] = _apart(part, copies)
        return new
    if isinstance(value, MutableMapping):
        new = copies[id(value)] = copy.copy(value)
        for key, part in value.items():
            new[key] = _apart(part, copies)
        return new
    names = _fields(value)
    if not names:
        return value
    new = copies[id(value)] = copy.copy(value)
    for name in names:
        object.__setattr__(new, name, _apart(getattr(value, name), copies))
    return new


def _fields(value: Any) -> list[str]:
    """Return the fields of an object that is data: of a dataclass, of pydantic, attrs, or a namespace."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif hasattr(kind, "__pydantic_fields__") or kind is SimpleNamespace:
        names = list(vars(value))
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    else:
        return []
    return [name for name in names if hasattr(value, name)]
