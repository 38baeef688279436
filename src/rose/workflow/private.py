"""What a task is given becomes its own: it may change it, and no other task sees that.

Values that many tasks take are read-only, or the same object for all of them (see `Engine.share`). Torch warns of
read-only arrays, and code that works in place cannot use them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rose.engine.transfer import mapped_again


def private(value: Any) -> Any:
    """Return a value of which arrays, also in lists, tuples and dicts, and tables are this caller's alone.

    A memory-mapped array is mapped again, copy-on-write: nothing is read or copied before it is needed. Other objects,
    such as models, stay what they are.

    >>> shared = np.zeros(3)
    >>> shared.setflags(write=False)
    >>> mine = private([shared, "text"])
    >>> mine[0] += 1
    >>> mine, shared
    ([array([1., 1., 1.]), 'text'], array([0., 0., 0.]))
    """
    if isinstance(value, np.ndarray):
        again = mapped_again(value)
        mine = np.array(value) if again is None else again
        for place, entry in np.ndenumerate(value) if value.dtype == object else ():
            mine[place] = private(entry)
        return mine
    kind = type(value)
    if kind is list or kind is tuple:
        return kind(map(private, value))
    if kind is dict:
        return {key: private(entry) for key, entry in value.items()}
    if hasattr(value, "iloc"):  # a table or a column of pandas
        return value.copy()
    return value


def own(value: Any) -> Any:
    """Return a task's argument as `private` does; a writable array of numbers is the task's own already."""
    mine = isinstance(value, np.ndarray) and value.flags.writeable and value.dtype != object
    return value if mine else private(value)


def with_own(func: Callable[..., Any], /, **arguments: Any) -> Any:
    """Call a function with arguments that are its own; of an async one, this gives the coroutine."""
    return func(**{name: own(value) for name, value in arguments.items()})
