"""The worker process: one task after the other, until it is killed or the driver has gone."""

from __future__ import annotations

import os
import pickle
import socket
import sys
from time import perf_counter
from typing import Any

from rose.engine.coroutines import finished
from rose.engine.failures import culprit, describe, pack_failure
from rose.engine.threadlimits import ThreadLimits
from rose.engine.transfer import load, pack_result
from rose.engine.wire import BUFFER, FAILED, READY, REPLY, RESULT, TASK, UNLOADABLE, UNPICKLABLE


def main(descriptor: int, folder: str, path: list[str]) -> None:
    """Serve the driver at the other end of the socket; large results become files in `folder`."""
    sys.path[:] = path
    sys.argv[:] = ["rose-worker"]
    os.set_inheritable(descriptor, False)
    os.mkdir(folder)
    driver = socket.socket(fileno=descriptor)
    limits = ThreadLimits()
    buffer = bytearray(BUFFER)
    content = memoryview(buffer)
    driver.send(REPLY.pack(0, 0.0, READY))
    while size := driver.recv_into(buffer):
        number, cpus = TASK.unpack_from(buffer)
        started = perf_counter()
        try:
            limits.hold(cpus)
        except Exception as error:  # a library that will not be limited
            status, body = FAILED, pack_failure(error)
        else:
            status, body = execute(content[TASK.size : size], os.path.join(folder, ""))
        flush()
        driver.send(REPLY.pack(number, perf_counter() - started, status) + body)
    os._exit(0)  # the driver has gone: nothing that a user's module left behind may keep us


def execute(body: memoryview, prefix: str) -> tuple[int, bytes]:
    """Run one pickled task: the status and the body of the reply."""
    try:
        call, args, kwargs = load(body)
    except BaseException as error:
        return UNLOADABLE, pack_failure(error)
    try:
        result = finished(call(*args, **kwargs))
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they end a task, not the worker
        return FAILED, pack_failure(error)
    return reply(result, prefix)


def reply(result: Any, prefix: str) -> tuple[int, bytes]:
    """Pickle a result and write its files."""
    try:
        packed = pack_result(result, prefix)
    except Exception as error:
        return UNPICKLABLE, pickle.dumps((culprit("the result", result), describe(error)))
    try:
        packed.write()
    except OSError as error:
        packed.discard()
        return FAILED, pack_failure(error)
    return RESULT, packed.body


def flush() -> None:
    """What the task printed is seen now: the worker may be killed any time."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # the task has closed or replaced it, or nobody reads it any more
            continue
