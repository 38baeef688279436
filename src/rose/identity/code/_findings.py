"""Keep what has been found out about a function: its parts, the values that it reaches, what its code changes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from rose.identity import _environment as environment
from rose.identity.code._constants import Steps, constants
from rose.identity.code._functions import bytecode_digest, is_own_function, line_of, module_tree
from rose.identity.code._modules import is_own_class, is_own_module, package_of
from rose.identity.code._moments import momentary, returned
from rose.identity.code._names import SELF, Path, Step
from rose.identity.code._resolve import Resolved, resolve
from rose.identity.code._syntax import canonical, find_function
from rose.identity.digest import digest_of
from rose.identity.parts import Part

Place = tuple[int, Steps]  # the id of a namespace, closure or class, and the way from there


class _Value(NamedTuple):
    """Hold a value that is reached, to be looked at when it is known what the code changes."""

    name: str
    value: Any
    where: str
    place: Place
    home: str | None


class Findings:
    """Collect parts by their names; `home` is the module whose names need no module before them."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.home: str | None = None
        self.texts: set[str] = set()  # constant ones
        self._values: list[_Value] = []
        self._changed: set[Place] = set()
        self._changed_objects: set[int] = set()
        self._of_classes: list[tuple[type, Steps]] = []
        self._holders: dict[Place, tuple[tuple[type, int], ...]] = {}
        self._fitted: set[int] = set()  # estimators, by id, of which only parameters are constants
        self._noted: set[int] = set()

    # --- names -----------------------------------------------------------------------------------------------------

    def named(self, kind: str, thing: Any) -> str:
        """Return how a function or class is called."""
        return f"{kind} {self.prefix(thing.__module__)}{thing.__qualname__.replace('<locals>.', '')}"

    def prefix(self, module: str | None) -> str:
        """Return what is written before the names of a module."""
        return "" if module in (self.home, None) else f"{module}."

    def label(self, found: Resolved, called: str, names: Mapping[str, Any]) -> tuple[str, str]:
        """Return how something is called that a function names, and where that stands."""
        if found.names is not None:
            label = self.prefix(found.names.get("__name__")) + found.root + found.entry
            return label, line_of(found.root, found.names)
        own = names.get("__name__") == self.home
        return found.root + found.entry if own else f"{called}: {found.root}{found.entry}", ""

    # --- parts -----------------------------------------------------------------------------------------------------

    def add(self, name: str, part: Part) -> None:
        """Add a part; another one of its name has its number behind."""
        known, number = self.parts.get(name), 1
        while known is not None and known.digest != part.digest:
            number += 1
            known = self.parts.get(f"{name} ({number})")
        self.parts[name if number == 1 else f"{name} ({number})"] = part

    def add_all(self, parts: Iterable[tuple[str, Part]]) -> None:
        """Add parts with their names."""
        for name, part in parts:
            self.add(name, part)

    def package(self, label: str, thing: Any) -> None:
        """Add something of an installed package, by its name; where in it that is may change with its version."""
        name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", type(thing).__qualname__)
        self.add(label, Part(digest_of("package", package_of(thing), str(name))))

    def value(self, label: str, value: Any, where: str, place: Place | None, home: str | None) -> None:
        """Add a value, when all code has been looked at."""
        self._values.append(_Value(label, value, where, place or (0, ()), home))

    def add_values(self) -> None:
        """Add the values that are reached, without what the code changes itself."""
        for one in self._values:
            if id(one.value) in self._changed_objects:
                continue
            owner, steps = one.place
            changed = [
                way[len(steps) :] if way[: len(steps)] == steps else ()
                for whose, way in self._changed
                if whose == owner and way[: len(steps)] == steps[: len(way)]
            ]
            for cls, place in self._holders.get(one.place, ()):
                behind = steps[place:]
                ways = [way for way in self._changed_of(cls) if way[: len(behind)] == behind[: len(way)]]
                changed += [way[len(behind) :] for way in ways]
            value = one.value.get_params(deep=False) if id(one.value) in self._fitted else one.value
            found = constants(one.name, value, changed, self._changed_of, _function_digest, one.home)
            for name, part in found:
                self.add(name, part._replace(where=one.where))

    # --- the environment -------------------------------------------------------------------------------------------

    def variables_of_texts(self) -> None:
        """Make environment variables parts that texts name, as `$SOLVER`."""
        for name in environment.named_in(self.texts):
            self.variable(name)

    def variable(self, name: str, within: Mapping[str, str] = os.environ) -> None:
        """Make an environment variable a part."""
        part = environment.variable(name, within)
        if part is not None:
            self.add(f"environment variable {name}", part)

    def asks_environment(self, value: Any, steps: Iterable[Step]) -> bool:
        """Return whether it is the environment; what is asked by a constant becomes a part."""
        asked = environment.asked(value, list(steps))
        if asked:
            self.variable(asked, value if environment.is_copy(value) else os.environ)
        return asked is not None

    # --- changes that code makes itself ------------------------------------------------------------------------------

    def note_module(self, names: Mapping[str, Any]) -> None:
        """Note a module's names of what differs from start to start: they are no constants."""
        if id(names) in self._noted:
            return
        self._noted.add(id(names))
        tree = module_tree(names)
        if tree is not None:
            paths = momentary(tree, tree, tuple(returned_elsewhere(names)))
            self._changed |= {(id(names), ((".", path[0]), *path[1:])) for path in paths}

    def note_holders(self, found: Resolved) -> None:
        """Note through which objects a name leads: what code changes of these is no constant."""
        self._holders[found.owner, found.steps] = found.holders

    def note_ways(self, owner: int, ways: Iterable[Steps]) -> None:
        """Note what differs from start to start in a closure or class."""
        self._changed |= {(owner, way) for way in ways}

    def note_attributes(self, cls: type, ways: Iterable[Steps]) -> None:
        """Note attributes of a class's objects that are no constants."""
        self._of_classes += [(cls, way) for way in ways]

    def change(
        self, path: Path, how: str, cells: Mapping[str, Any], names: dict[str, Any], method: type | None, makes: bool
    ) -> None:
        """Note that code changes something.

        Args:
            path: what.
            how: the method that does, "" for an assignment.
            cells, names: where names stand for something.
            method: the class whose method the code is, None for others.
            makes: whether that is a constructor: what this sets is a constant of the object, if not of the class.
        """
        if path[0] == SELF:
            way = tuple(step for step in path[1:] if step != (".", "__class__"))
            if method is not None and way:
                self.note_attributes(method, [] if makes else [way])
                self._changed |= {(id(base), way) for base in method.__mro__}
            return
        found = resolve(path, cells, names)
        if found is None:
            self._changed.add((id(names), ((".", path[0]), *path[1:])))
        elif how in ("fit", "partial_fit") and not found.rest and hasattr(type(found.value), "get_params"):
            self._fitted.add(id(found.value))
        elif how and not found.rest and is_own_class(type(found.value)):
            return  # a method of the user's: what that changes is seen in its own code
        elif isinstance(found.value, type) and found.rest:
            self._changed.add((id(found.value), found.rest))
        else:
            self._changed.add((found.owner, (*found.steps, *found.rest)))
            if not found.rest and isinstance(found.value, (dict, list, set, bytearray)):
                self._changed_objects.add(id(found.value))

    def _changed_of(self, cls: type) -> list[Steps]:
        return [steps for changed, steps in self._of_classes if issubclass(cls, changed)]


def _function_digest(thing: Any) -> bytes | None:
    """Return the digest of a function inside a value; what it reaches is a part of its own."""
    if not isinstance(thing, FunctionType) or not is_own_function(thing):
        return None
    found = find_function(thing.__code__, thing.__globals__)
    text = bytecode_digest(thing.__code__) if found is None else digest_of(canonical(found[0], whole=False))
    return bytes.fromhex(text)


def returned_elsewhere(names: Mapping[str, Any]) -> Iterator[tuple[str, frozenset[Steps]]]:
    """Yield the functions of the user's other modules, as a module calls them, that return the time and the like."""
    for name, value in list(names.items()):
        if isinstance(value, FunctionType) and value.__globals__ is not names and is_own_function(value):
            ways = _returned_in(value.__globals__).get(value.__name__)
            if ways is not None:
                yield name, ways
        elif isinstance(value, ModuleType) and is_own_module(value):
            yield from ((f"{name}.{its}", ways) for its, ways in _returned_in(vars(value)).items() if its[0] != ".")


def _returned_in(names: Mapping[str, Any]) -> Mapping[str, frozenset[Steps]]:
    tree = module_tree(names)
    return {} if tree is None else returned(tree)
