"""Run a task in a worker of somebody else's: how it travels, and what the worker's child does."""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from rose.engine.failures import pack_failure, unpack_failure
from rose.engine.functions.printing import showing
from rose.engine.local.interpreter import take_over_once
from rose.engine.local.worker import compute, reply
from rose.engine.local.worker_protocol import BROKEN, RESULT
from rose.engine.processes.memory import was_refused
from rose.engine.protocol import Command, Resources, Task, TaskKey
from rose.engine.shipping.array_files import relocate


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Hold what tasks find on a worker as they would on the driver's machine, as far as it is there."""

    path: tuple[str, ...] = ()  # where to look for modules after the worker's own path
    cwd: str | None = None  # the working directory; None: the worker's
    places: dict[str, str] = field(default_factory=dict)  # directories of the driver's, and where their copies are
    interpreter: bytes | None = None  # what the driver's program has set, pickled; None: what the worker's has


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """Hold a task as it travels to a host."""

    key: TaskKey
    call: bytes | Command  # a function comes as a pickled `(call, args, kwargs)`
    resources: Resources
    timeout: float | None
    prefix: str | None = None  # how the files of its result are called; None: the result is all in the reply


def as_task(remote: RemoteTask, surroundings: Surroundings) -> Task:
    """Return what the worker's own engine is to run."""
    call, resources = remote.call, remote.resources
    if isinstance(call, Command):
        if call.cwd is None and surroundings.cwd is not None:
            call = replace(call, cwd=Path(surroundings.cwd))
        return Task(remote.key, call, resources=resources, timeout=remote.timeout)
    args = (call, remote.prefix, resources.memory is not None, surroundings)
    return Task(remote.key, run_in_child, args, resources=resources, timeout=remote.timeout)


def run_in_child(body: bytes, prefix: str | None, limited: bool, surroundings: Surroundings) -> tuple[int, bytes]:
    """Run a pickled task in a child process of a worker; return the status and body of its reply."""
    if surroundings.cwd is not None:
        os.chdir(surroundings.cwd)
    if surroundings.interpreter is not None:
        try:
            take_over_once(surroundings.interpreter)
        except BaseException as error:
            return BROKEN, pack_failure(error)
    return run_here(body, prefix, limited, surroundings)


def run_here(body: bytes, prefix: str | None, limited: bool, surroundings: Surroundings) -> tuple[int, bytes]:
    """Run a pickled task in a process whose working directory is not ours to change."""
    for folder, here in surroundings.places.items():
        relocate(folder, here)
    sys.path.extend(entry for entry in surroundings.path if entry not in sys.path)
    with showing():
        status, result = compute(memoryview(body))
    if status == RESULT:
        return reply(result, prefix)
    if limited and was_refused(result):
        raise result  # the worker's engine knows what to make of it
    return status, pack_failure(result)


def absolute(command: Command) -> Command:
    """Return a command whose paths mean the same in another process."""

    def place(path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    cwd, stdout, stderr = place(command.cwd), place(command.stdout), place(command.stderr)
    return replace(command, cwd=cwd, stdout=stdout, stderr=stderr, env=dict(command.env))


def pack_error(error: Exception) -> bytes:
    """Pickle an error of ours with its cause, which pickle alone would leave out."""
    cause = error.__cause__
    return pickle.dumps((error, None if cause is None else pack_failure(cause)))


def unpack_error(body: bytes) -> Exception:
    """Return the error, with its cause."""
    error: Exception
    error, failure = pickle.loads(body)
    if failure is not None:
        error.__cause__ = unpack_failure(failure, "").__cause__
    return error
