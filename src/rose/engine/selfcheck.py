"""Try an engine out with a few real tasks, to see if it does what it declares."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from rose.engine.protocol import Command, CommandOutput, Engine, Resources, Task, TaskKey
from rose.errors import CommandFailedError, TaskFailedError, TaskTimeoutError, WorkerLostError

Failure = TypeVar("Failure", bound=Exception)
LIMIT = 60.0  # seconds that one part may take
LONG = 600.0  # seconds that a task would take if nothing stopped it


@dataclass(frozen=True)
class Finding:
    """Hold what became of one part: `error` says what went wrong, `absent` what the engine declares not to do."""

    name: str
    seconds: float = 0.0
    absent: str = ""
    error: str = ""


class UnmetError(Exception):
    """Say that the engine did something else than what it declares."""


async def check(engine: Engine) -> AsyncIterator[Finding]:
    """Run all parts, one after the other; one that fails does not keep the others from running."""
    for name, needs, part in PARTS:
        if needs and not getattr(engine.capabilities, needs):
            yield Finding(name, absent=f"declared absent ({needs})")
            continue
        began = time.monotonic()
        error = ""
        try:
            async with asyncio.timeout(LIMIT):
                await part(engine)
        except TimeoutError as ended:
            error = str(ended) or f"not done in {LIMIT:g} s"
        except Exception as ended:
            error = f"{type(ended).__name__}: {ended}"
        yield Finding(name, time.monotonic() - began, error=error)


# --- the parts -------------------------------------------------------------------------------------------------------


async def _result(engine: Engine) -> None:
    results = await asyncio.gather(*[engine.run(_task(lambda x: x**2, x)) for x in range(10)])
    _same(results, [x**2 for x in range(10)])


async def _error(engine: Engine) -> None:
    error = await _failed(engine.run(_task(_raise)), TaskFailedError, "a function raised")
    _same(repr(error.__cause__), "ValueError('on purpose')")


async def _began(engine: Engine) -> None:
    told: list[str] = []
    _same(told, [await engine.run(_task(_whereabouts), told.append)])


async def _share(engine: Engine) -> None:
    import numpy as np

    array = np.arange(1e6)
    ref = await engine.share(array)
    _same([float(total) for total in await _twice(engine, np.sum, ref)], [float(array.sum())] * 2)
    await engine.release(ref)


async def _command(engine: Engine) -> None:
    output = await engine.run(_task(Command("echo $ROSE_CHECK; echo aside >&2", env={"ROSE_CHECK": "here"})))
    assert isinstance(output, CommandOutput)
    _same((output.stdout, output.stderr), ("here\n", "aside\n"))
    error = await _failed(engine.run(_task(Command("exit 3"))), CommandFailedError, "a command failed")
    _same(error.exit_code, 3)


async def _cancel(engine: Engine) -> None:
    await _stopped(engine, _task(_beat, _file()))


async def _cancel_command(engine: Engine) -> None:
    file = _file()
    await _stopped(engine, _task(Command(f"while true; do echo . >> {file}; sleep 0.05; done")), file)


async def _timeout(engine: Engine) -> None:
    file = _file()
    await _failed(engine.run(_task(_beat, file, timeout=1.0)), TaskTimeoutError, "a function overran")
    await _still(engine, file)


async def _timeout_command(engine: Engine) -> None:
    overrun = _task(Command(f"sleep {LONG:g}"), timeout=0.5)
    await _failed(engine.run(overrun), TaskTimeoutError, "a command overran")


async def _crash(engine: Engine) -> None:
    await _failed(engine.run(_task(_die)), WorkerLostError, "a worker died")
    await _result(engine)


async def _threads(engine: Engine) -> None:
    _same(await engine.run(_task(_told)), "1")


async def _memory(engine: Engine) -> None:
    greedy = _task(_take, 600_000_000, resources=Resources(memory=200_000_000))
    await _failed(engine.run(greedy), MemoryError, "a function took three times the memory it asked for")


Part = Callable[[Engine], Awaitable[None]]
PARTS: tuple[tuple[str, str, Part], ...] = (
    ("results", "", _result),
    ("an error", "", _error),
    ("when a task begins", "tells_start", _began),
    ("a shared array", "", _share),
    ("a command", "", _command),
    ("cancelling a function", "stops_work", _cancel),
    ("cancelling a command", "", _cancel_command),
    ("a function's timeout", "enforces_timeout", _timeout),
    ("a command's timeout", "", _timeout_command),
    ("a crash", "survives_crash", _crash),
    ("a function's threads", "limits_threads", _threads),
    ("a function's memory", "limits_memory", _memory),
)


# --- what they are made of -------------------------------------------------------------------------------------------


def _task(
    call: Callable[..., Any] | Command, *args: Any, resources: Resources | None = None, timeout: float | None = None
) -> Task:
    return Task(TaskKey("check", 0, "self-test"), call, args, {}, resources or Resources(), timeout)


async def _twice(engine: Engine, call: Callable[..., Any], *args: Any) -> list[Any]:
    return list(await asyncio.gather(*[engine.run(_task(call, *args)) for _ in range(2)]))


async def _failed(running: Awaitable[Any], kind: type[Failure], what: str) -> Failure:
    """Return the error that something must end with."""
    try:
        await running
    except kind as error:
        return error
    raise UnmetError(f"{what}, and no error came")


def _same(found: Any, wanted: Any) -> None:
    if found != wanted:
        raise UnmetError(f"expected {wanted!r}, got {found!r}")


def _file() -> str:
    """Return where a task leaves traces on its worker's machine."""
    return str(Path(tempfile.gettempdir(), f"rose-check-{uuid.uuid4().hex}"))


async def _stopped(engine: Engine, task: Task, file: str = "") -> None:
    """Cancel a task that has begun; it must not go on."""
    file = file or task.args[0]
    running = asyncio.ensure_future(engine.run(task))
    try:
        while not running.done() and not await engine.run(_task(_size, file)):  # noqa: ASYNC110 (a file, far away)
            await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait([running])
    if not running.cancelled():
        running.result()
        raise UnmetError("a task that does not end has ended")
    await _still(engine, file)


async def _still(engine: Engine, file: str) -> None:
    """Check that nobody adds to the file any more."""
    await asyncio.sleep(0.3)
    before = await engine.run(_task(_size, file))
    await asyncio.sleep(0.5)
    after = await engine.run(_task(_remove, file))
    if after != before:
        raise UnmetError("the work goes on")


def _told() -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def _whereabouts() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _raise() -> NoReturn:
    raise ValueError("on purpose")


def _beat(file: str) -> None:
    """Add to a file until it is removed, or for a long time."""
    Path(file).touch()
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            return
        os.write(descriptor, b".")
        os.close(descriptor)
        time.sleep(0.05)


def _size(file: str) -> int:
    return os.path.getsize(file) if os.path.exists(file) else 0


def _remove(file: str) -> int:
    size = _size(file)
    Path(file).unlink(missing_ok=True)
    return size


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _take(count: int) -> int:
    return len(bytearray(count))
