"""Find which names of the user's main module a pickle refers to."""

from __future__ import annotations

import sys
from collections.abc import Container
from types import CodeType, FunctionType
from typing import Any

from rose.engine.shipping.main_module import knows
from rose.portable import name_in_main

_ASKS = {"__main__", "globals", "vars", "eval", "exec", "modules"}  # code with these may use names that it only spells


class Names:
    """Note which names of the main module a pickle refers to.

    Attributes:
        loads: those that must be there when it is loaded.
        runs: those that functions in it use when they run.
        spelt: those that its code only spells.
        arrays: in a part of the main module, its large arrays by digest.
    """

    def __init__(self, inside: Container[str] = ()) -> None:
        self.inside = inside  # these are in the pickle by value
        self.loads: set[str] = set()
        self.runs: set[str] = set()
        self.spelt: set[str] = set()
        self.arrays: dict[str, Any] = {}

    def by_name(self, obj: Any) -> str | None:
        """Return the name by which the pickle is to refer to something; None: it is pickled by value."""
        name = name_in_main(obj)
        if name is None or (top := name.partition(".")[0]) in self.inside:
            return None
        self.loads.add(top)
        return name

    def left(self, function: FunctionType, used: dict[str, Any]) -> dict[str, Any]:
        """Return which of the globals that a function uses have to go with it."""
        self.runs |= used.keys()
        self.spelt |= spelt_names(function.__code__)
        return {}


class ResultNames(Names):
    """Have what came from the driver's main module go back by name, and the rest by value."""

    def by_name(self, obj: Any) -> str | None:
        name = name_in_main(obj)
        return name if name is not None and knows(name.partition(".")[0]) else None

    def left(self, function: FunctionType, used: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in used.items() if not knows(name)}


def spelt_names(code: CodeType) -> set[str]:
    """Return the names of the main module that code may use although it does not refer to them (`__main__.x`)."""
    names, texts = set(code.co_names), {one for one in code.co_consts if isinstance(one, str)}
    if not _ASKS.isdisjoint(names | texts):
        return {name for name in names | texts if name in sys.modules["__main__"].__dict__}
    return set().union(*[spelt_names(one) for one in code.co_consts if isinstance(one, CodeType)])
