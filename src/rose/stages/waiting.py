"""Wait, in the driver's event loop, for people, web services and instruments; such tasks take no worker."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from rose.engine import Task
from rose.engine.deadline import Deadline
from rose.engine.failures import failed
from rose.engine.functions.copies import apart
from rose.errors import TaskError, TaskTimeoutError
from rose.stages.reporting import TaskFunction
from rose.stages.shared import private

_log = logging.getLogger("rose")

GRACE = 5.0  # seconds that a cancelled function has to clean up


async def run_here(task: Task) -> Any:
    """Run a task's async function in the event loop that runs, and return a copy of its result.

    Its arguments are its own, and what it does later to what it returned changes nothing: as on an engine. Cancelling
    the awaiting asyncio task cancels it, and waits for its end. Its timeout counts the seconds for which the driver
    itself ran: in others no answer could be heard.

    Raises:
        TaskFailedError, PlaceError: if it raises, SystemExit too; the original is the `__cause__`.
        TaskTimeoutError: if it takes longer than the task's timeout.
    """
    key, loop = str(task.key), asyncio.get_running_loop()
    work = loop.create_task(_outcome(task), name=f"rose task {key}")
    overrun = asyncio.Event()
    limit = loop.create_task(overrun.wait())
    deadline = None if task.timeout is None else Deadline(loop, task.timeout, overrun.set)
    try:
        await asyncio.wait([work, limit], return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _end(work, key)
        raise
    finally:
        limit.cancel()
        if deadline is not None:
            deadline.cancel()
    if not work.done():
        await _end(work, key)
        raise TaskTimeoutError(f"ran longer than its timeout of {task.timeout:g} s", key)
    result, error = work.result()
    if error is not None:
        raise error
    return result


async def _outcome(task: Task) -> tuple[Any, TaskError | None]:
    """Return what the function returned, or the error for what it raised: an event loop would end with some of that."""
    assert isinstance(task.call, TaskFunction)
    args, kwargs = map(private, task.args), {name: private(value) for name, value in task.kwargs.items()}
    key = str(task.key)
    try:
        result = await task.call.awaited(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also a cancellation, which may be its own; if it is ours, nobody wants the outcome
        return None, failed(error, key)
    return apart(result), None  # copied at once: other functions that wait may hold and change the same object


async def _end(work: asyncio.Task[Any], key: str) -> None:
    work.cancel()
    done, _ = await asyncio.wait([work], timeout=GRACE)
    if not done:
        _log.warning("task %s goes on though it was cancelled: its function does not let CancelledError through", key)
