"""The contract of engines for what the user's script defines: found by name, as it is when a task is submitted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rose.engine import Engine, Task, TaskKey
from rose.errors import UnpicklableError

# What a user might write in a script; it is not run in any worker.
SCRIPT = """
import functools, multiprocessing, pickle, threading
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
import numpy as np

class Phase(Enum):
    LIQUID = 1
    SOLID = 2

class Point(NamedTuple):
    x: int

@dataclass
class Found:
    phase: Phase = Phase.LIQUID

class Base:
    known = {}
    def __init_subclass__(cls):
        Base.known[cls.__name__] = cls

class Derived(Base):
    def scaled(self, x):
        return x * T

class Unmentioned:
    pass

class Mesh:
    @functools.cached_property
    def cells(self):
        return T

@functools.singledispatch
def size(x):
    return 0

@size.register
def _(x: int):
    return x

T = 300
lock = threading.Lock()
table = np.arange(20_000.0)
settings = {"x": 1}
seen = {}
best = Found()
stored = pickle.dumps

def square(x):
    return x * x

@functools.lru_cache
def remembered(x):
    seen[x] = seen.get(x, 0) + 1
    return x + T

def by_name(other):
    import __main__
    loaded = pickle.loads(pickle.dumps([Phase.LIQUID, Point(1), best, by_name]))
    pickle.loads(other)
    remembered(1)
    remembered(1)
    return [
        loaded[0] is Phase.LIQUID, type(loaded[1]) is Point, loaded[2].phase is Phase.LIQUID, loaded[3] is by_name,
        __main__.Phase is Phase, __main__.spelt(2) is Phase.SOLID, Base.known["Derived"] is Derived, seen == {1: 1},
        size("x") == 0 and size(4) == 4 and Mesh().cells == T,
    ]

def spelt(number):
    return Phase(number)

def forked():
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.map(square, [3])

def results():
    return Phase.SOLID, Point(2), Found(Phase.SOLID), Derived(), lambda x: x + T

def now(x=None):
    return T, float(table[7]), settings["x"]

def counted():
    seen["n"] = seen.get("n", 0) + 1
    return seen["n"]

def unable():
    return lock

def scaled(thing, x):
    return isinstance(thing, Derived), thing.scaled(x)
"""


@contextmanager
def script(text: str = SCRIPT) -> Iterator[Any]:
    """Make a script's names the main module's for the `with` block."""
    own, main = sys.modules["__main__"], ModuleType("__main__")
    sys.modules["__main__"] = main
    try:
        exec(text, main.__dict__)
        yield main
    finally:
        sys.modules["__main__"] = own


class MainModuleContract:
    """A part of `EngineContract`."""

    def drive(
        self, body: Callable[[Engine], Awaitable[None]], workers: int = 2, needs: str = "", gpus: int = 0
    ) -> None:
        """See `EngineContract.drive`."""
        raise NotImplementedError

    def test_what_the_script_defines_is_found_by_name(self) -> None:
        async def body(engine: Engine) -> None:
            run = _runner(engine)
            with script() as main:
                other = main.stored(main.Unmentioned)
                assert await run(main.by_name, other) == [True] * 9
                assert await run(main.by_name, other) == [True] * 9, "the cache of the worker lives on"
                assert await run(main.forked) == [9]
                phase, point, found, derived, function = await run(main.results)
                assert phase is found.phase is main.Phase.SOLID
                assert (type(point), type(found), type(derived)) == (main.Point, main.Found, main.Derived)
                assert function(1) == 301
                ref = await engine.share(derived)
                assert await run(main.scaled, ref, 2) == await run(main.scaled, derived, 2) == (True, 600)

        self.drive(body, workers=1, needs="isolates_memory")

    def test_the_script_is_seen_as_it_is_now(self) -> None:
        async def body(engine: Engine) -> None:
            run = _runner(engine)
            with script() as main:
                assert await run(main.now) == (300, 7.0, 1)
                assert await run(main.counted) == 1
                main.T, main.table[7], main.settings["x"] = 350, -1.0, 2
                assert await run(main.now) == (350, -1.0, 2)
                assert await run(main.counted) == 2
                exec("class Phase(Enum):\n    GAS = 3\ndef now():\n    return Phase.GAS", main.__dict__)
                assert await run(main.now) is main.Phase.GAS
                with pytest.raises(UnpicklableError, match=r"'unable', its variable 'lock' \(a lock\)"):
                    await run(main.unable)
                tasks = [run(main.scaled, main.Derived(), number) for number in range(20)]
                assert await asyncio.gather(*tasks) == [(True, 350 * number) for number in range(20)]
                main.late = np.float64(3)
                exec("def scaled(x):\n    return late * x", main.__dict__)
                assert await run(main.scaled, 2) == 6

        self.drive(body, workers=1, needs="isolates_memory")


def _runner(engine: Engine) -> Callable[..., Awaitable[Any]]:
    async def run(call: Callable[..., Any], *args: Any) -> Any:
        return await engine.run(Task(TaskKey("workflow", 0, "script"), call, args))

    return run
