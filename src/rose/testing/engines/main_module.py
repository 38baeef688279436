"""Test that what the user's script defines is found by name, as it is when a task is submitted."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from rose.engine import Engine, Task, TaskKey
from rose.testing.engines.suite import EngineTests

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


class MainModuleContract(EngineTests):
    """Hold a part of `EngineContract`."""


def _runner(engine: Engine) -> Callable[..., Awaitable[Any]]:
    async def run(call: Callable[..., Any], *args: Any) -> Any:
        return await engine.run(Task(TaskKey("workflow", 0, "script"), call, args))

    return run
