"""Find which of the objects that code refers to are constants, and what they are, each entry by its name.

No constants, and so no part of an identity: what is used rather than read (loggers, locks, files, connections, pools of
workers, random generators, ROSE's own objects), what has no canonical form, and what the code changes itself.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any, NamedTuple

from rose.identity._environment import is_secret, set_by_program, tells_secret, without_secrets
from rose.identity._objects import declared_fields
from rose.identity.code._modules import is_own_class
from rose.identity.code._names import Step
from rose.identity.code._places import from_home
from rose.identity.code._used import is_derived, is_used, set_by_methods
from rose.identity.parts import Part, shown
from rose.identity.values import value_digest
from rose.identity.walk import Functions

_log = logging.getLogger("rose")

Steps = tuple[Step, ...]
Changed = Callable[[type], Iterable[Steps]]  # which attributes code changes of the objects of a class

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}")  # of an object, in what `repr` gives
_ENTRIES = 200  # of a dict or object are named each; larger ones are one part
_DEPTH = 3


def constants(
    name: str, value: Any, changed: Iterable[Steps], of_class: Changed, functions: Functions, home: str | None = None
) -> Iterator[tuple[str, Part]]:
    """Yield what a value is, by entries where it has names for them.

    Args:
        name: what it is called.
        value: what to look at.
        changed: the steps that lead, from the value, to what code changes: () is the value itself.
        of_class: the same, of every object of a class.
        functions: gives the digest of a function or class in it.
        home: the directory of the file that the name is of: paths inside it are taken from there.
    """
    yield from _Constants(of_class, functions, home).entries(name, value, frozenset(changed), _DEPTH)


class _Constants(NamedTuple):
    """Hold what is known of all values of one place; arguments of `constants`."""

    of_class: Changed
    functions: Functions
    home: str | None

    def entries(self, name: str, value: Any, changed: frozenset[Steps], depth: int) -> Iterator[tuple[str, Part]]:
        """Yield an entry, or what it consists of, as far as code does not change it."""
        hidden = is_secret(name.rpartition(": ")[2])
        if () in changed or is_used(value) or (hidden and isinstance(value, (str, bytes, bytearray))):
            return
        entries = _named_entries(value) if depth else None
        if type(value) in (list, tuple) and any(type(steps[0][1]) is int for steps in changed):
            entries = {("[", place): one for place, one in enumerate(value)}
        if entries is not None:
            changed |= frozenset(self.of_class(type(value)))
        if entries is None or (len(entries) > _ENTRIES and not changed):
            if not changed:
                yield from self.whole(name, value)
            return
        if not entries or not isinstance(value, dict):  # its class counts, too
            yield name, Part(type(value).__qualname__)
        for step, entry in entries.items():
            inner = f"{name}.{step[1]}" if step[0] == "." else f"{name}[{step[1]!r}]"
            below = frozenset(steps[1:] for steps in changed if steps[:1] == (step,))
            yield from self.entries(inner, entry, below, depth - 1)

    def whole(self, name: str, value: Any) -> Iterator[tuple[str, Part]]:
        """Yield a value as one part; none where it has no canonical form."""
        seen = self.seen_as(value)
        try:
            digest = value_digest(value, name, self.functions, self.seen_as).hex()
        except Exception as error:  # whatever the value's own code raises: it is nothing that can be compared
            _log.debug("%s is not compared when the run is resumed: %s", name, error)
            return
        text = shown(str(seen) if isinstance(seen, PurePath) else seen)
        yield name, Part(digest, "" if tells_secret(text) or is_secret(name.rpartition(": ")[2]) else text)

    def seen_as(self, value: Any) -> Any:
        """Return what stands for a text or object inside a value: no place, nothing used, nothing that code changes."""
        if isinstance(value, PurePath):
            return from_home(value, self.home)
        if isinstance(value, str):
            return _ADDRESS.sub(" at 0x", from_home(without_secrets(value), self.home))
        if value is sys.path:
            return "sys.path"
        if value is sys.argv:  # its first is the program, however that was called
            return value[1:]
        if is_used(value):
            return type(value).__qualname__
        cls = type(value)
        changed = {steps[0] for steps in self.of_class(cls) if len(steps) == 1} if is_own_class(cls) else set()
        entries = _named_entries(value) if changed or is_derived(cls) else None
        if entries is None:
            return value
        return SimpleNamespace(**{str(step[1]): one for step, one in entries.items() if step not in changed})


def _named_entries(value: Any) -> dict[Step, Any] | None:
    """Return the entries of a dict with texts as keys, or the attributes of an object that is only its attributes."""
    if type(value) is dict:
        given = set_by_program(value)
        return {("[", key): one for key, one in given.items()} if all(type(key) is str for key in given) else None
    cls = type(value)
    if isinstance(value, (type, tuple, list, Mapping)) or hasattr(cls, "__rose_identity__"):
        return None
    if is_derived(cls):  # used, not read (a logger, say): only what the user's own code has set is read
        own = set_by_methods(cls)
        return {(".", key): one for key, one in getattr(value, "__dict__", {}).items() if key in own}
    plain = isinstance(value, SimpleNamespace) or cls.__module__ == "argparse"
    plain = plain or (is_own_class(cls) and _keeps_nothing_else(cls))
    if not plain:
        declared = declared_fields(value) if is_own_class(cls) else None
        return None if declared is None else {(".", key): one for key, one in declared}
    held = {**getattr(value, "__dict__", {}), **{one: getattr(value, one) for one in slots(cls) if hasattr(value, one)}}
    return {(".", key): one for key, one in held.items() if not _is_cached(cls, key)}


def slots(cls: type) -> Iterator[str]:
    """Yield the attributes that a class keeps in slots.

    >>> class Point:
    ...     __slots__ = ("x", "y")
    >>> list(slots(Point))
    ['x', 'y']
    """
    for base in cls.__mro__:
        given = vars(base).get("__slots__", ())
        names = [given] if isinstance(given, str) else given
        yield from (one for one in names if one not in ("__dict__", "__weakref__"))


def _keeps_nothing_else(cls: type) -> bool:
    """Return whether the objects of a class are their attributes alone."""
    said = ("__getstate__", "__reduce__", "__reduce_ex__")
    return not any(vars(base).get(name) for base in cls.__mro__ if base is not object for name in said)


def _is_cached(cls: type, name: str) -> bool:
    return any(isinstance(vars(base).get(name), functools.cached_property) for base in cls.__mro__)
