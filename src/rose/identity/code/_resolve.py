"""Find what a name in some code stands for, as far as its attributes and constant keys are known."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

from rose.identity._environment import is_copy
from rose.identity.code._constants import Steps
from rose.identity.code._functions import MISSING, content_of, is_data
from rose.identity.code._modules import is_own_module
from rose.identity.code._names import Path, Step
from rose.identity.code._used import is_used


class Resolved(NamedTuple):
    """Hold something that a name stands for.

    Attributes:
        value: it; `MISSING` where a dict has no such key.
        names: the namespace of the module that it was found in; None: a closure.
        root: the name there.
        entry: what follows the name, as messages have it: "['T'].value".
        owner: the id of the namespace, or of the closure's cell.
        steps: how it is reached from there.
        rest: the steps that were not taken.
        holders: the classes of the objects on the way, each with how many steps lead there.
    """

    value: Any
    names: dict[str, Any] | None
    root: str
    entry: str
    owner: int
    steps: Steps
    rest: tuple[Step, ...]
    holders: tuple[tuple[type, int], ...] = ()


def resolve(path: Path, cells: Mapping[str, Any], names: dict[str, Any]) -> Resolved | None:
    """Follow a name through the user's modules, dicts, and objects that are their attributes; None: it is no one's.

    Args:
        path: the name, and the steps behind it.
        cells: the closure's, by name.
        names: the module's namespace.
    """
    root, *rest = path
    found: Resolved
    if root in cells:
        found = Resolved(content_of(cells[root]), None, root, "", id(cells[root]), (), ())
    elif root in names:
        found = _of_module(root, names)
    else:
        return None
    while rest:
        value, (kind, key) = found.value, rest[0]
        if isinstance(value, ModuleType):
            if kind != "." or not is_own_module(value) or key not in vars(value):
                break
            found = _of_module(key, vars(value))
        elif is_copy(value):  # of the environment: its entries are variables
            break
        elif type(value) is dict and rest[0] == (".", "get") and len(rest) > 1 and rest[1][0] == "[":
            pass
        elif type(value) is dict and kind == "[":
            found = _below(found, value.get(key, MISSING), rest[0], f"[{key!r}]")
        elif _is_attribute_of(value, kind, key):
            holders = (*found.holders, (type(value), len(found.steps)))
            found = _below(found, vars(value)[key], rest[0], f".{key}")._replace(holders=holders)
        else:
            break
        rest = rest[1:]
    return found._replace(rest=tuple(rest))


def _of_module(name: str, names: dict[str, Any]) -> Resolved:
    return Resolved(names[name], names, name, "", id(names), ((".", name),), ())


def _below(found: Resolved, value: Any, step: Step, entry: str) -> Resolved:
    return found._replace(value=value, steps=(*found.steps, step), entry=found.entry + entry)


def _is_attribute_of(value: Any, kind: str, key: Any) -> bool:
    """Return whether reading it is reading an object's own attribute, and nothing else of the object."""
    if kind != "." or isinstance(value, type) or key not in getattr(value, "__dict__", {}):
        return False
    return not is_used(value) and is_data(value)
