"""Pack a task as it is sent to a worker, and unpack the reply."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Container
from typing import Any

from rose.engine.failures import describe, unpack_failure, unpicklable
from rose.engine.local.initializer import Initializer
from rose.engine.local.worker_protocol import BROKEN, FAILED, RESULT, UNPICKLABLE
from rose.engine.protocol import Command, Task
from rose.engine.shipping.serialization import Packed, Shipper, load, pack_arguments
from rose.errors import PlaceError, RoseError, TaskError, UnpicklableError, WorkerTakenError


def pack_task(
    task: Task,
    prefix: str | None,
    refs: Container[str],
    remap: bool = True,
    shipper: Shipper | None = None,
    initializer: Initializer | None = None,
) -> Packed:
    """Pickle a function task; large arrays in its arguments become files as `pack_arguments` says.

    Raises:
        UnpicklableError: naming the function or the argument that does not pickle.
        ConfigurationError: a Ref that is none of `refs`.
    """
    assert not isinstance(task.call, Command)
    call = task.call if initializer is None else initializer.before(task.call)
    try:
        return pack_arguments((call, task.args, dict(task.kwargs)), prefix, refs, remap, shipper)
    except RoseError:
        raise
    except Exception as error:
        raise _blame(task, error, prefix, refs, shipper) from error


def _blame(
    task: Task, error: Exception, prefix: str | None, refs: Container[str], shipper: Shipper | None
) -> UnpicklableError:
    call = getattr(task.call, "func", task.call)  # what a wrapper or a partial is made of
    name = getattr(call, "__qualname__", type(call).__name__)
    parts: list[tuple[str, Any]] = [(f"the function {name!r}", call)]
    parts += [(f"argument {position}", value) for position, value in enumerate(task.args)]
    parts += [(f"argument {name!r}", value) for name, value in task.kwargs.items()]
    for what, value in parts:
        try:
            pack_arguments(value, prefix, refs, shipper=shipper)
        except Exception as reason:
            return unpicklable(what, value, reason, str(task.key))
    return unpicklable("the task", task, error, str(task.key))


def broken(task: Task, reason: TaskError) -> WorkerTakenError:
    """Make the error for a task whose worker could not begin to serve (its initializer failed, a module is missing)."""
    error = WorkerTakenError(f"its worker process could not start: {reason.message}", str(task.key))
    error.by_signal = False
    error.__cause__ = reason.__cause__
    return error


def unpack_reply(task: Task, status: int, body: memoryview, future: asyncio.Future[object]) -> None:
    """Load a result, or make the error that the worker reports, and end `future` with it.

    A result is loaded even if nobody wants it any more: loading is what removes its files.
    """
    error: Exception
    if status == RESULT:
        try:
            result = load(body)
        except Exception as reason:
            error = UnpicklableError(f"its result cannot be loaded here: {describe(reason)}", str(task.key))
            error.__cause__ = reason
        else:
            if not future.done():
                future.set_result(result)
            return
    elif status == UNPICKLABLE:
        what, reason_text = pickle.loads(body)
        error = UnpicklableError(f"{what} cannot be sent between processes: {reason_text}", str(task.key))
    elif status == BROKEN:
        error = broken(task, unpack_failure(body, str(task.key)))
    else:
        error = unpack_failure(body, str(task.key))
        if status != FAILED:
            text = f"its function or arguments cannot be loaded in the worker: {error.message}"
            cause, error = error.__cause__, PlaceError(text, str(task.key))
            error.__cause__ = cause
    if not future.done():
        future.set_exception(error)
