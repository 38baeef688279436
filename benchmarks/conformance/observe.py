"""What programs use: an engine, and ways to say what they observe. The same under ROSE and under ours.

A program is a function decorated with `program`; it writes its observations with `note`. What its tasks see goes
through a file (`seen`), because tasks may run in other processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import inspect
import json
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

TRACE, SYSTEM, ENGINE = "CONFORMANCE_TRACE", "CONFORMANCE_SYSTEM", "CONFORMANCE_ENGINE"
WORKERS = 4

PROGRAMS: dict[str, Callable[[], Any]] = {}
_noted: set[str] = set()


def program(function: Callable[[], Any]) -> Callable[[], Any]:
    """Make a function, async or not, a program: `AREA.NAME`, after its module and itself."""
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    if name in PROGRAMS:
        raise ValueError(f"two programs are called {name}")
    PROGRAMS[name] = function
    return function


def note(name: str, value: Any, *, error: Sequence[str] | None = None) -> None:
    """Print one observation, a line of JSON; `error` are the built-in classes of what was raised, if that is noted."""
    if name in _noted:
        raise ValueError(f"{name!r} is noted twice")
    _noted.add(name)
    line = {"name": name, "value": plain(value), "error": error}
    print(json.dumps(line), file=sys.__stdout__, flush=True)


@contextlib.contextmanager
def raised(name: str) -> Iterator[None]:
    """Note which error the block raises, by the built-in class that an `except` would name; null for none.

    What is not there at all ends the program: that is not an error to compare.
    """
    kinds: list[str] = []
    try:
        yield
    except Exception as error:
        if missing(error) is not None:
            raise
        kinds = builtin_kinds(error)
    note(name, kinds[0] if kinds else None, error=kinds)


def builtin_kinds(error: BaseException) -> list[str]:
    """Return the names of an error's built-in classes, by any of which it is caught; the nearest first."""
    return [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]


def missing(error: BaseException) -> str | None:
    """Return what ours has not got, if that is what the error says."""
    if os.environ[SYSTEM] != "ours":
        return None
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] == "rose":
        return str(error)
    if isinstance(error, AttributeError):
        owner = error.obj if inspect.ismodule(error.obj) else type(error.obj)
        home = owner.__name__ if inspect.ismodule(owner) else owner.__module__
        told_by_itself = error.obj is None and "rose" in str(error)
        return str(error) if home.split(".")[0] == "rose" or told_by_itself else None
    return None


# --- what tasks see -------------------------------------------------------------------------------------------------


def seen(stage: str, args: Any = (), kwargs: Any = None) -> int:
    """Keep that a task was called, and with what; return how often it was called before, in any process."""
    line = json.dumps([stage, plain(args), plain(kwargs or {})]) + "\n"
    with open(os.environ[TRACE], "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        before = len(calls(stage))
        file.write(line)
    return before


def calls(*stages: str) -> list[Any]:
    """Return `[stage, args, kwargs]` of each call so far, in their order; of some stages or (none named) all."""
    path = Path(os.environ[TRACE])
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if not stages or line[0] in stages]


def arguments(stage: str) -> list[Any]:
    """Return the positional arguments of each call of a stage, in their order."""
    return [args for _, args, _ in calls(stage)]


def keywords(stage: str) -> list[Any]:
    """Return the keyword arguments of each call of a stage, in their order."""
    return [kwargs for _, _, kwargs in calls(stage)]


def unordered(values: Any) -> list[Any]:
    """Return values in an order that does not depend on who was first."""
    return sorted(values, key=lambda value: json.dumps(plain(value), sort_keys=True))


def counts() -> dict[str, int]:
    """Return how often each stage was called."""
    return dict(sorted(Counter(stage for stage, *_ in calls()).items()))


def plain(value: Any) -> Any:
    """Return JSON for a value: tuples and arrays are lists, floats have six digits, other objects are their class."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return unordered(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return round(value, 6)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return f"<{type(value).__name__}>"


# --- engines --------------------------------------------------------------------------------------------------------


async def engine() -> Any:
    """Return an engine: for ROSE and by default for ours a `WorkflowEngine` with threads."""
    kind = os.environ.get(ENGINE, "workflow")
    if os.environ[SYSTEM] == "ours" and kind != "workflow":
        from rose import LocalEngine, ThreadEngine

        return ThreadEngine(WORKERS) if kind == "threads" else LocalEngine(2)
    from radical.asyncflow import WorkflowEngine
    from rhapsody.backends import ConcurrentExecutionBackend

    return await WorkflowEngine.create(await ConcurrentExecutionBackend(ThreadPoolExecutor(WORKERS)))


def run(name: str) -> NoReturn:
    """Run one program, and end this process; how the program ended is its last line. What it prints goes to stderr.

    What happens after its end (an engine's threads, tasks that nobody awaits) is not waited for, and not compared.
    """
    kinds: list[str] = []
    message = ""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            asyncio.run(_run(PROGRAMS[name]))
        except Exception as error:
            traceback.print_exc()
            lacking = missing(error)
            kinds = ["missing"] if lacking else builtin_kinds(error)
            message = lacking or f"{type(error).__name__}: {error}"
    end(kinds, message)


async def _run(function: Callable[[], Any]) -> None:
    result = function()
    if inspect.iscoroutine(result):
        await result
    end([], "")


def end(kinds: Sequence[str], message: str) -> NoReturn:
    """Print how a program ended, by the built-in classes of its error if it had one, and end this process."""
    line = {"ended": kinds[0] if kinds else None, "kinds": kinds, "message": message}
    print(json.dumps(line), file=sys.__stdout__, flush=True)
    sys.stderr.flush()
    os._exit(0)
