"""Pickle the user's main module as tasks reach it: its names by value, once, in parts that workers find by name.

A part is a name (several that need each other to be loaded are one). It is pickled when a task first reaches it, and
looked at again for each task that is submitted: what cannot have changed by its identity (functions, classes, numbers),
the rest by its content.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from enum import EnumMeta
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any

from rose.engine.shipping._names import Names
from rose.engine.shipping.array_files import may_change
from rose.engine.shipping.main_module import Manifest
from rose.engine.shipping.serialization import pack_names
from rose.portable import name_in_main

SMALL = 64 * 1024  # bytes of a part that goes with every manifest; a longer one is a file of its own
_ABSENT = object()
_FACTS = ("__file__", "__package__", "__doc__")
_CACHED = type(functools.lru_cache(int))
_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes),
    *(ModuleType, BuiltinFunctionType, MemberDescriptorType, GetSetDescriptorType),
)
_OWN = ("_abc_impl", "_member_map_", "_member_names_", "_value2member_map_", "_fields", "_field_defaults")

_submitted = 0


def submitted() -> None:
    """Count a task that is submitted: what it reaches is looked at again, as the program may have changed it."""
    global _submitted
    _submitted += 1


def submissions() -> int:
    """Return how many tasks have been submitted."""
    return _submitted


class Piece:
    """Hold a part as the driver has it.

    Attributes:
        loads: names that must be there before it is loaded.
        runs: names that its functions use when they run.
        spelt: names that its code only spells, and may use.
        arrays: its large arrays, by digest.
    """

    def __init__(self, names: tuple[str, ...], values: dict[str, Any], names_of: Names, body: bytes) -> None:
        self.names = names
        self.body = body
        self.digest = hashlib.sha256(body).digest()
        self.loads, self.runs, self.spelt = names_of.loads - set(names), names_of.runs - set(names), names_of.spelt
        self.arrays = names_of.arrays
        self.size = len(body) + sum(array.nbytes for array in self.arrays.values())
        self.seen = _submitted
        self.caches = any(type(one) is _CACHED for value in values.values() for one in (value, *_inside(value)))
        self.values = values
        self._inside = {name: _inside(value) for name, value in values.items()}
        self._fixed = all(_is_fixed(value, itself=True) for value in values.values())

    def is_fresh(self, main: ModuleType, pickled: Callable[[tuple[str, ...]], Piece]) -> bool:
        """Return whether it is what the main module holds now."""
        if self.seen == _submitted:
            return True
        for name, value in self.values.items():
            if main.__dict__.get(name, _ABSENT) is not value or not _is_same(_inside(value), self._inside[name]):
                return False
        if not self._fixed and pickled(self.names).digest != self.digest:
            return False
        self.seen = _submitted
        return True


class State:
    """Hold what tasks of one kind reach, as it is now: pieces in the order in which they can be loaded."""

    def __init__(self, program: str, main: ModuleType, pieces: list[Piece], asked: set[str]) -> None:
        self.pieces = pieces
        self._asked = [piece for piece in pieces if not asked.isdisjoint(piece.names)]
        self._also = [one for piece in pieces if asked.isdisjoint(piece.names) for one in piece.values.items()]
        self.size = len(main.__dict__)  # if it grows, names have come that the tasks may need
        self.versions: list[bytes] = []
        self.program = program
        self.facts = {name: main.__dict__[name] for name in _FACTS if name in main.__dict__}
        known: dict[str, bytes] = {}
        found = {name: piece for piece in pieces for name in piece.names}
        for piece in pieces:  # a piece is as new as what it was loaded with
            version = hashlib.sha256(piece.digest + b"".join(known.get(name, b"") for name in sorted(piece.loads)))
            if piece.caches:  # what a cache holds was computed with all that it uses
                for name in sorted(_reach(piece.names[0], found, runs=True)):
                    version.update(found[name].digest)
            self.versions.append(version.digest()[:16])
            known.update(dict.fromkeys(piece.names, self.versions[-1]))

    def is_fresh(self, main: ModuleType, pickled: Callable[[tuple[str, ...]], Piece]) -> bool:
        """Return whether it is what the main module holds now; what no task asks for is only compared by identity."""
        if self.size != len(main.__dict__) or not all(piece.is_fresh(main, pickled) for piece in self._asked):
            return False
        return all(main.__dict__.get(name) is value for name, value in self._also)

    def manifest(self, parts: Any, arrays: dict[str, str]) -> Manifest:
        """Return what workers read."""
        return Manifest(self.program, self.facts, tuple(parts), arrays)


class Program:
    """Follow one main module. `remap`: memory-mapped arrays of it stay in their own files."""

    def __init__(self, main: ModuleType, remap: bool) -> None:
        self._id = secrets.token_hex(8)
        self._main = weakref.ref(main)
        self._remap = remap
        self._pieces: dict[tuple[str, ...], Piece] = {}
        self._states: dict[frozenset[str], State] = {}
        self._lock = threading.RLock()

    def state(self, needs: frozenset[str]) -> State:
        """Return what a task reaches that needs these names.

        Raises whatever the pickling of one of them raises.
        """
        main = self._main()
        assert main is not None
        with self._lock:
            state = self._states.get(needs)
            if state is None or not state.is_fresh(main, self._pickled):
                state = self._states[needs] = State(self._id, main, *self._reached(main, needs))
            return state

    # --- inside --------------------------------------------------------------------------------------------------

    def _reached(self, main: ModuleType, needs: Iterable[str]) -> tuple[list[Piece], set[str]]:
        """Return the pieces, and which names are asked for, by the task or its code."""
        found: dict[str, Piece] = {}
        self._follow(main, needs, found)
        wished = {name for piece in found.values() for name in piece.spelt}
        for name in sorted(wished - found.keys()):
            self._try(main, name, found)
        asked = set(found)
        for name, value in list(main.__dict__.items()):  # pickles that a task reads may hold them
            if name not in found and name_in_main(value) == name:
                self._try(main, name, found, code_only=True)
        return _in_order(self._joined(main, found)), asked

    def _follow(self, main: ModuleType, needs: Iterable[str], found: dict[str, Piece]) -> None:
        waiting = [name for name in needs if name in main.__dict__]
        while waiting:
            name = waiting.pop()
            if name not in found:
                piece = found[name] = self._piece(main, (name,))
                waiting += [name for name in (*piece.loads, *piece.runs) if name in main.__dict__]

    def _try(self, main: ModuleType, name: str, found: dict[str, Piece], code_only: bool = False) -> None:
        """Add a name that nothing is known to need, with what it needs; not if that cannot be pickled."""
        more = dict(found)
        try:
            self._follow(main, [name], more)
        except Exception:  # nothing is known to need it
            return
        new = more.keys() - found.keys()
        if not code_only or all(
            name_in_main(main.__dict__[one]) and len(more[one].body) <= SMALL and not more[one].arrays for one in new
        ):
            found.update(more)

    def _joined(self, main: ModuleType, found: dict[str, Piece]) -> dict[str, Piece]:
        """Join those that can only be loaded together, or are one object, as one piece."""
        reach = {name: _reach(name, found) for name in found}
        same: dict[int, list[str]] = {}
        for name in found:
            same.setdefault(id(main.__dict__[name]), []).append(name)
        joined = dict(found)
        for name in found:
            group = {one for one in reach[name] if name in reach[one]} if name in reach[name] else set()
            group |= {one for one in same[id(main.__dict__[name])] if not _is_fixed(main.__dict__[one])}
            if len(group | {name}) > 1:
                joined[name] = self._piece(main, tuple(sorted(group | {name})))
        return joined

    def _piece(self, main: ModuleType, names: tuple[str, ...]) -> Piece:
        piece = self._pieces.get(names)
        if piece is None or not piece.is_fresh(main, self._pickled):
            piece = self._pieces[names] = self._pickled(names)
        return piece

    def _pickled(self, names: tuple[str, ...]) -> Piece:
        main = self._main()
        assert main is not None
        values = {name: main.__dict__[name] for name in names}
        names_of, body = pack_names(values, self._remap)
        return Piece(names, values, names_of, body)


_programs: weakref.WeakKeyDictionary[ModuleType, dict[bool, Program]] = weakref.WeakKeyDictionary()


def program(remap: bool) -> Program:
    """Return the program of this process's main module as it is now."""
    main = sys.modules["__main__"]
    both = _programs.setdefault(main, {})
    if remap not in both:
        both[remap] = Program(main, remap)
    return both[remap]


def _reach(name: str, found: dict[str, Piece], runs: bool = False) -> set[str]:
    """Return the names that are needed to load it; or also for its functions to run."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        piece = found[waiting.pop()]
        new = {one for one in (piece.loads | piece.runs if runs else piece.loads) if one in found} - reached
        reached |= new
        waiting += new
    return reached


def _in_order(found: dict[str, Piece]) -> list[Piece]:
    ordered: dict[int, Piece] = {}

    def visit(piece: Piece) -> None:
        if id(piece) not in ordered:
            for name in sorted(piece.loads):
                if name in found:
                    visit(found[name])
            ordered[id(piece)] = piece

    for name in sorted(found):
        visit(found[name])
    return list(ordered.values())


# --- what cannot change unnoticed -------------------------------------------------------------------------------------


def _inside(value: Any) -> tuple[Any, ...]:
    """Return what a function or class is made of, to be compared by identity."""
    if isinstance(value, FunctionType):
        cells = tuple(_content(cell) for cell in value.__closure__ or ())
        return value.__code__, value.__defaults__, value.__kwdefaults__, *value.__dict__.values(), *cells
    if isinstance(value, type):
        return (*value.__dict__.keys(), *value.__dict__.values())
    return ()


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _ABSENT


def _is_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _is_fixed(value: Any, itself: bool = False, depth: int = 8) -> bool:
    """Return whether it is the same as long as its identity is (and what `_inside` gives, if it is asked `itself`)."""
    kind = type(value)
    if kind in _PLAIN or value is _ABSENT or isinstance(value, EnumMeta):
        return True
    if not depth:
        return False
    if not itself and (name := name_in_main(value)) is not None and "." not in name:
        return True  # it is a piece of its own, which is compared by itself
    if isinstance(value, type) and value.__module__ != "__main__":
        return True  # pickled by its name
    parts: list[Any]
    if kind in (tuple, frozenset):
        parts = [*value]
    elif kind is FunctionType:
        cells = [_content(cell) for cell in value.__closure__ or ()]
        parts = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *value.__dict__.values(), *cells]
    elif isinstance(value, type) and itself:
        parts = [one for name, one in vars(value).items() if not name.startswith("__") and name not in _OWN]
    elif isinstance(value, (staticmethod, classmethod)):
        parts = [value.__func__]
    elif isinstance(value, property):
        parts = [value.fget, value.fset, value.fdel]
    elif kind is _CACHED:
        parts = [value.__wrapped__]
    else:
        if kind.__module__ != "numpy":
            return False
        frozen = kind.__name__ == "ndarray" and not value.dtype.hasobject and not may_change(value)
        return frozen or kind.__name__ in ("dtype", "ufunc")
    return all(_is_fixed(one, depth=depth - 1) for one in parts)
