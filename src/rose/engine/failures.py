"""Bring what goes wrong in a worker to the driver: the exception itself where it pickles, else all that it said."""

from __future__ import annotations

import inspect
import pickle
import traceback
from types import FunctionType
from typing import Any

import cloudpickle

from rose.engine.blame import is_of_place
from rose.engine.shipping.serialization import pack_result
from rose.errors import PlaceError, TaskError, TaskFailedError, UnpicklableError


class RemoteError(Exception):
    """Stand for an exception that could not be brought back from the worker; its text says what it was."""


def describe(error: BaseException) -> str:
    """Return an exception's type and text.

    >>> describe(ValueError("no convergence"))
    'ValueError: no convergence'
    """
    return "".join(traceback.format_exception_only(error)).strip()


def pack_failure(error: BaseException, of_place: bool = False) -> bytes:
    """Pickle an exception with its traceback; one that does not pickle is described by its text.

    With `of_place`, the place where the task ran is to blame for the failure, not the task, whatever the exception is.
    """
    # The first frame is the engine's own.
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    try:
        original = pack_result(error, None).body
    except Exception:  # whatever user classes raise: the text stands for it
        original = b""
    # All of it must fit into one message (`worker_protocol`): four bytes a character at worst.
    if len(original) > 40_000:
        original = b""
    return pickle.dumps((describe(error)[:2_000], text[-12_000:], original, of_place or is_of_place(error)))


def failed(error: BaseException, key: str) -> TaskError:
    """Make the error of a task whose function raised one in this process, as its cause."""
    made: TaskError = (PlaceError if is_of_place(error) else TaskFailedError)(describe(error), key)
    made.__cause__ = error
    return made


def of_place(text: str, error: BaseException, key: str) -> PlaceError:
    """Make the error of a task for which something else failed than itself."""
    made = PlaceError(f"{text}: {describe(error)}", key)
    made.__cause__ = error
    return made


def unpack_failure(body: Any, key: str) -> TaskError:
    """Make the error that the driver raises, with the original as its cause and the remote traceback as a note."""
    description, text, original, by_place = pickle.loads(body)
    cause: BaseException = RemoteError(description)
    if original:
        try:
            loaded = pickle.loads(original)
        except Exception:  # e.g. an __init__ that takes other arguments than `args`
            loaded = None
        if isinstance(loaded, BaseException):
            cause = loaded
    cause.add_note(f"In the worker process:\n{text}")
    error: TaskError = (PlaceError if by_place else TaskFailedError)(description, key)
    error.__cause__ = cause
    return error


def unpicklable(what: str, value: Any, reason: Exception, key: str) -> UnpicklableError:
    """Make the error for a value that does not pickle, naming the part of it that is to blame."""
    error = UnpicklableError(f"{culprit(what, value)} cannot be sent between processes: {describe(reason)}", key)
    error.__cause__ = reason
    return error


def culprit(what: str, value: Any, depth: int = 4) -> str:
    """Name the innermost part of `value` that does not pickle.

    >>> import threading
    >>> culprit("the result", {"model": [1, threading.Lock()]})
    "the result['model'][1] (a lock)"
    """
    parts: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        parts = [(f"{what}[{key!r}]", part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{what}[{index}]", part) for index, part in enumerate(value)]
    elif isinstance(value, FunctionType):
        inside = inspect.getclosurevars(value)
        used = {**inside.nonlocals, **inside.globals}
        parts = [(f"{what}, its variable {name!r}", part) for name, part in used.items()]
    elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        parts = [(f"{what}.{name}", part) for name, part in vars(value).items()]
    if depth:
        for name, part in parts:
            try:
                cloudpickle.dumps(part)
            except Exception:  # it is this part
                return culprit(name, part, depth - 1)
    kind = type(value).__name__
    return f"{what} ({'an' if kind[0] in 'aeiou' else 'a'} {kind})"
