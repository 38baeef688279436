"""Make a canonical digest of a value: of what it holds, never of how or where it is held.

It is the same in every process, for every hash seed and order of insertion, on every platform and supported Python,
and for every version of the libraries whose values these are, as far as their values stay what they are. The rules:

- numbers that are equal are the same, whatever their type (see `rose.identity._atoms`); arrays are their dtype, shape
  and elements, whatever their memory order and byte order;
- lists and tuples are sequences, the same if their elements are; so are dicts of any order, and sets;
- a copy of the environment is what differs in it from the environment itself: the rest is another for each job;
- an object is the name of its class and what it holds: the fields of dataclasses, attrs, pydantic and msgspec, the
  parameters of estimators (and what they have learned), the state of random generators, else what it pickles, or its
  attributes without cached properties;
- a function or class is its name and package, unless the caller knows better (`functions`);
- whatever defines `__rose_identity__()` is its class and the value that this returns.
"""

from __future__ import annotations

import collections
import os
import sys
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from rose.errors import NoIdentityError
from rose.identity._atoms import ATOMS, atom
from rose.identity._environment import set_by_program
from rose.identity._objects import NoValue, encode_object
from rose.identity.digest import class_name, node, plain_array
from rose.identity.walk import Functions, Walk

# Gives what is digested in the place of a text or an object: itself, mostly.
SeenAs = Callable[[Any], Any]


def value_digest(value: Any, where: str, functions: Functions | None = None, seen_as: SeenAs | None = None) -> bytes:
    """Return what identifies a value by its content, 16 bytes.

    Args:
        value: anything.
        where: what messages call it: "kwargs['params']".
        functions: called with each function and class in it.
        seen_as: called with each text and object in it.

    Raises:
        NoIdentityError: if it holds something that has no canonical form (an open file, a lock, a generator), with
            where that is, and what to define.

    >>> value_digest({"T": 310, "s": {"b", "a"}}, "x") == value_digest({"s": {"a", "b"}, "T": 310.0}, "x")
    True
    >>> value_digest({"log": iter([])}, "kwargs")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    rose.errors.NoIdentityError: kwargs['log'], a list_iterator, has no value that identifies it (an iterator gives ...
    """
    if type(value) is np.ndarray and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:  # candidates, mostly
        return plain_array(value)
    return ValueWalk(where, functions, seen_as).digest(value)


class ValueWalk:
    """Digest one value, and know where the walk is, what lies above it, and what it has met."""

    def __init__(self, where: str, functions: Functions | None = None, seen_as: SeenAs | None = None) -> None:
        self.functions = functions
        self._seen_as = seen_as
        self._path = [where]
        self._holders: list[type] = []  # the classes of the objects above
        self._depths: dict[int, int] = {}  # of the values above, by id
        self._highest = 0  # the smallest depth that is referred to from the value being digested
        self._met: dict[int, tuple[Any, bytes]] = {}  # digests by id; what is kept keeps its id

    def digest(self, value: Any) -> bytes:
        """Return the digest of a value at this place."""
        of_atom = ATOMS.get(type(value))
        if of_atom is not None:
            return of_atom(self._seen_as(value) if self._seen_as is not None and type(value) is str else value)
        found = self._met.get(id(value))
        if found is not None:
            return found[1]
        above = self._depths.get(id(value))
        if above is not None:  # a cycle: the value is so many levels up, and being digested there
            self._highest = min(self._highest, above)
            return node("above", b"%d" % (len(self._depths) - above))
        return self._digest_below(value)

    def child(self, value: Any, step: str) -> bytes:
        """Return the digest of a part of the value; `step` is how one gets there, as messages have it."""
        if self._seen_as is None and (of_atom := ATOMS.get(type(value))) is not None:
            return of_atom(value)
        self._path.append(step)
        digest = self.digest(value)
        self._path.pop()
        return digest

    def sequence(self, values: Iterable[Any], tag: str = "sequence") -> bytes:
        """Return the digest of values in their order."""
        return node(tag, b"".join([self.child(one, f"[{place}]") for place, one in enumerate(values)]))

    def unordered(self, values: Iterable[Any]) -> bytes:
        """Return the digest of values in any order."""
        return node("set", b"".join(sorted(self.child(one, " (one of the set)") for one in values)))

    def mapping(self, pairs: Iterable[tuple[Any, Any]], ordered: bool = False, attributes: bool = False) -> bytes:
        """Return the digest of pairs of a key (of an attribute: its name) and a value."""
        digests = [
            self.child(key, " (a key)") + self.child(value, f".{key}" if attributes else _subscript(key))
            for key, value in pairs
        ]
        return node("ordered", b"".join(digests)) if ordered else node("mapping", b"".join(sorted(digests)))

    def attributes(self, cls: type, held: Iterable[tuple[str, Any]]) -> bytes:
        """Return the digest of an object that is its class and these attributes."""
        return node("object", node("class", class_name(cls).encode()) + self.mapping(held, attributes=True))

    def refuse(self, value: Any, why: str) -> NoReturn:
        """Say that there is no digest of the value at this place.

        Raises:
            NoIdentityError: always.
        """
        definer = next((c for c in reversed(self._holders) if c.__module__.partition(".")[0] not in _PYTHONS), None)
        what = (
            "" if definer is None else f", or define __rose_identity__(self) in {class_name(definer)}, which returns "
        )
        what += "the plain values that decide results" if what else ""
        raise NoIdentityError(
            f"{''.join(self._path)}, a {class_name(type(value))}, has no value that identifies it ({why}): what was "
            f"computed with it could not be found again. Give plain values in its place{what}"
        )

    def _digest_below(self, value: Any) -> bytes:
        depth = self._depths[id(value)] = len(self._depths)
        outside, self._highest = self._highest, depth
        try:
            digest = self._encode(value)
        except RecursionError:
            self._path[3:-3] = ["..."]
            self.refuse(value, "it is nested too deeply")
        del self._depths[id(value)]
        if self._highest >= depth:  # else what it is depends on where it is
            self._met[id(value)] = value, digest
        self._highest = min(outside, self._highest)
        return digest

    def _encode(self, value: Any) -> bytes:
        if self._seen_as is not None:
            value = self._seen_as(value)
            if type(value) in ATOMS:
                return ATOMS[type(value)](value)
        container = _CONTAINERS.get(type(value))
        if container is not None:
            return container(self, value)
        if hasattr(type(value), "__rose_identity__") and not isinstance(value, type):
            said = self.child(value.__rose_identity__(), ".__rose_identity__()")
            return node("said", node("class", class_name(type(value)).encode()) + said)
        digest = atom(value)
        if digest is not None:
            return digest
        self._holders.append(type(value))
        try:
            digest = encode_object(self, value)
        except NoValue as found:
            self.refuse(value, str(found))
        self._holders.pop()
        return digest


_PYTHONS = frozenset({"builtins", *sys.stdlib_module_names})  # whose classes no one gives a method


def _subscript(key: Any) -> str:
    shown = repr(key) if isinstance(key, (str, int, float, bytes)) else f"<a {type(key).__name__}>"
    return f"[{shown if len(shown) <= 60 else shown[:57] + '...'}]"


def _deque(walk: Walk, value: collections.deque[Any]) -> bytes:
    return node("deque", walk.digest(value.maxlen) + walk.sequence(value))


def _defaultdict(walk: Walk, value: collections.defaultdict[Any, Any]) -> bytes:
    return node("defaultdict", walk.child(value.default_factory, ".default_factory") + walk.mapping(value.items()))


_CONTAINERS: dict[type, Callable[[ValueWalk, Any], bytes]] = {
    list: ValueWalk.sequence,
    tuple: ValueWalk.sequence,
    set: ValueWalk.unordered,
    frozenset: ValueWalk.unordered,
    dict: lambda walk, value: walk.mapping(set_by_program(value).items()),
    type(os.environ): lambda walk, value: walk.mapping(set_by_program(value).items()),
    MappingProxyType: lambda walk, value: walk.mapping(value.items()),
    collections.OrderedDict: lambda walk, value: walk.mapping(value.items(), ordered=True),
    collections.Counter: lambda walk, value: node("counter", walk.mapping(value.items())),
    collections.deque: _deque,
    collections.defaultdict: _defaultdict,
}
