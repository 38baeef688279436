"""A program whose digests are kept (reach.json): it holds the syntax that differs between versions of Python."""

import functools
import math
import os
from dataclasses import dataclass, field
from enum import Enum

T = 300
WEIGHTS = {"a": 0.1, "b": [1, 2, 3]}


class Phase(Enum):
    """How it is."""

    LIQUID = 1
    GAS = 2


@dataclass
class Settings:
    """What it is given."""

    T: float = 310.0
    tags: set[str] = field(default_factory=lambda: {"x", "y"})

    def scaled(self, by: float) -> float:
        """Scale."""
        return self.T * by


settings = Settings(T=320.0)


@functools.lru_cache
def cached(x):
    return math.sqrt(x)


def texts(x):
    name = "n"
    return f"ab{x!r:>{10}}c{name}" + f"{x=}" + rf"\d{x}" + "Ω\U0001f600"


async def waits(x):
    async with x as y:
        return [z async for z in y if (w := z) > 1 and w]


def kinds(x, /, y, *rest, z=1, **more):
    try:
        match x:
            case {"a": 1, **others}:
                return others
            case Settings(T=value) | [value, *_]:
                return value
            case _:
                return {**more, "y": y, "rest": [*rest], "z": z, "set": {1, 2}, "gen": (i for i in rest)}
    except* ValueError as group:
        raise RuntimeError(-1, 1j, 2.5e300, 10**50, b"\xff", ...) from group


def simulate(x, k=(1, 2)):
    assert T > 0
    total = sum(WEIGHTS["b"]) * settings.scaled(T) + cached(x) + Phase.GAS.value
    return f"$SOLVER {texts(x)} {kinds(x, total, k)} {waits(x)} " + os.environ.get("MESH", "none")
