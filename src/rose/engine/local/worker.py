"""Serve in a worker process: one task after the other, until it is killed or the driver has gone."""

from __future__ import annotations

import os
import pickle
import socket
import sys
from time import perf_counter
from typing import Any

from rose.engine.failures import culprit, describe, pack_failure
from rose.engine.functions.coroutines import finished
from rose.engine.functions.printing import let_go_of_broken, show_all
from rose.engine.local.initializer import InitializerError
from rose.engine.local.interpreter import take_over
from rose.engine.local.worker_protocol import (
    BROKEN,
    BUFFER,
    FAILED,
    OUT_OF_MEMORY,
    READY,
    REPLY,
    RESULT,
    TASK,
    UNLOADABLE,
    UNPICKLABLE,
)
from rose.engine.processes.kernel import hear_signals
from rose.engine.processes.memory import ENFORCED, MemoryLimit, was_refused
from rose.engine.processes.thread_limits import ThreadLimits
from rose.engine.shipping.serialization import load_task, pack_result


def main(descriptor: int, folder: str, path: list[str]) -> None:
    """Serve the driver at the other end of the socket; large results become files in `folder`."""
    sys.path[:] = path
    os.set_inheritable(descriptor, False)
    show_all()
    driver = socket.socket(fileno=descriptor)
    try:
        hear_signals()
        os.mkdir(folder)
        take_over(pickle.loads(settings()))
    except BaseException as error:
        driver.send(REPLY.pack(0, 0.0, BROKEN) + pack_failure(error, of_place=True))
        flush()
        os._exit(1)
    flush()
    threads, limit = ThreadLimits(), MemoryLimit()
    buffer = bytearray(BUFFER)
    content = memoryview(buffer)
    driver.send(REPLY.pack(0, 0.0, READY))
    while size := driver.recv_into(buffer):
        number, cpus, memory = TASK.unpack_from(buffer)
        let_go_of_broken()
        started = perf_counter()
        try:
            threads.hold(cpus)
        except Exception as error:  # a library that will not be limited
            status, body = FAILED, pack_failure(error, of_place=True)
        else:
            task, prefix = content[TASK.size : size], os.path.join(folder, "")
            status, body = within(limit, memory, task, prefix) if memory and ENFORCED else execute(task, prefix)
        flush()
        driver.send(REPLY.pack(number, perf_counter() - started, status) + body)
    os._exit(0)  # the driver has gone: nothing that a user's module left behind may keep us


def settings() -> bytes:
    """Return what the standard input holds, a file of the driver's; tasks find it empty."""
    with open(0, "rb", closefd=False) as file:
        packed = file.read()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return packed


def execute(body: memoryview, prefix: str) -> tuple[int, bytes]:
    """Run one pickled task; return the status and the body of the reply."""
    status, result = compute(body)
    return reply(result, prefix) if status == RESULT else (status, pack_failure(result))


def within(limit: MemoryLimit, memory: int, body: memoryview, prefix: str) -> tuple[int, bytes]:
    """Run one pickled task with no more than `memory` bytes for the arguments and the work."""
    limit.hold(memory)
    try:
        status, result = compute(body)
    finally:
        limit.lift()
    if status == RESULT:
        return reply(result, prefix)
    if was_refused(result):
        return OUT_OF_MEMORY, pickle.dumps((limit.peak(), pack_failure(result)))
    return status, pack_failure(result)


def compute(body: memoryview) -> tuple[int, Any]:
    """Run one pickled task; return RESULT and its result, or another status and the exception."""
    try:
        call, args, kwargs = load_task(body)
    except BaseException as error:
        return UNLOADABLE, error
    try:
        return RESULT, finished(call(*args, **kwargs))
    except InitializerError as error:
        return BROKEN, error.__cause__ or error
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they end a task, not the worker
        return FAILED, error


def reply(result: Any, prefix: str | None) -> tuple[int, bytes]:
    """Pickle a result and write its files."""
    try:
        packed = pack_result(result, prefix)
    except Exception as error:
        return UNPICKLABLE, pickle.dumps((culprit("the result", result), describe(error)))
    try:
        packed.write()
    except OSError as error:
        packed.discard()
        if prefix is not None:
            place = os.path.dirname(prefix)
            error.add_note(f"while its result was written to {place} (see TMPDIR, or the engine's temp_dir)")
        return FAILED, pack_failure(error, of_place=True)
    return RESULT, packed.body


def flush() -> None:
    """Show now what the task printed: the worker may be killed any time."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # the task has closed or replaced it, or nobody reads it any more
            continue
