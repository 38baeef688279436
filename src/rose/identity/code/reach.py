"""Walk over what a function can reach of the user's own code and constants: it decides what the function gives.

From the function on, what its code names is followed: functions and classes of the user's own modules (see `modules`)
with what they name in turn, the values of globals, closures, defaults and of the object that a method is bound to, and
environment variables that are named by a constant. Of installed packages, the names are a part, not their code. Of
classes, those methods are followed whose names occur in what is reached. A module that a function imports itself is
taken whole, with those that it imports.
"""

from __future__ import annotations

import ast
import functools
import logging
import sys
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from rose.identity.code._classes import (
    CONSTRUCTION,
    body_of,
    function_of,
    is_attribute,
    is_reached,
    momentary_attributes,
)
from rose.identity.code._findings import Findings, Place
from rose.identity.code._functions import (
    MISSING,
    bytecode_digest,
    cells_of,
    code_inside,
    content_of,
    decorators_of,
    defaults_of,
    directory_of,
    is_own_function,
    registered,
    where_of,
)
from rose.identity.code._imported import imported_modules, module_of_compiled, whole_module
from rose.identity.code._modules import is_own_class, is_own_module, package_of
from rose.identity.code._moments import momentary, momentary_arguments
from rose.identity.code._names import SELF, Path, references, references_of_code
from rose.identity.code._resolve import resolve
from rose.identity.code._syntax import canonical, enclosing, find_function
from rose.identity.code._used import is_used
from rose.identity.digest import digest_of
from rose.identity.parts import Part, parts_digest

_log = logging.getLogger("rose")
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_ROOT = "its function"  # the function itself, whatever it is called


def reach(func: Any, shell: bool = False) -> dict[str, Part]:
    """Return what a function, or anything that can be called, can reach, by names that messages use.

    Args:
        func: a function, method, partial, class, or an object with `__call__`.
        shell: whether it returns a command line: variables that this names are a part, too.

    >>> reach(functools.partial(max, default=300))["its function(default=)"].text
    '300'
    """
    walk = _Walk()
    walk.begin(func)
    walk.finish()
    if shell:
        walk.variables_of_texts()
    return walk.parts


def code_of_values(values: Iterable[Any]) -> dict[str, Part]:
    """Return the user's own code in values: the functions among them, and the classes that objects are of."""
    walk = _Walk()
    for value in values:
        walk.follow_inside(value)
    walk.finish()
    return walk.parts


def code_digest(thing: Any) -> bytes | None:
    """Return what identifies a function or class of the user's by its code, for `value_digest`; None of others."""
    own = is_own_class(thing) if isinstance(thing, type) else isinstance(thing, FunctionType) and is_own_function(thing)
    return bytes.fromhex(parts_digest(reach(thing))) if own else None


class _Walk(Findings):
    """Follow code, from one function on."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[int, Any] = {}  # by id, kept so that ids stay
        self._attributes: set[str] = set()
        self._methods: list[tuple[type, str, FunctionType]] = []  # not reached so far
        self._modules: set[str] = set()  # those that are taken whole
        self._shell = False  # whether a shell looks up the variables that texts name

    def begin(self, func: Any) -> None:
        """Follow the function that is registered."""
        inner = registered(func)
        self.home = getattr(inner, "__module__", None)
        if isinstance(func, FunctionType) and not is_own_function(func):
            self.package(_ROOT, func)
        elif isinstance(func, FunctionType):
            self._function(func, _ROOT, method=None)
        else:
            self._object(_ROOT, func, "", None)

    def finish(self) -> None:
        """Follow the methods that are reached, until no more are; then look at the values."""
        while True:
            reached = [one for one in self._methods if is_reached(one[1], self._attributes)]
            if not reached:
                break
            self._methods = [one for one in self._methods if one not in reached]
            for cls, name, member in reached:
                self._method(cls, name, member)
        self.add_values()
        if self._shell:
            self.variables_of_texts()

    # --- code ------------------------------------------------------------------------------------------------------

    def _function(self, func: FunctionType, name: str, method: type | None, decorated: bool = False) -> None:
        if id(func) in self._seen:
            return
        self._seen[id(func)] = func
        code, names = func.__code__, func.__globals__
        found = find_function(code, names)
        where = where_of(code)
        if found is None:
            refers, passing = references_of_code(code), set[str]()
            self.add(name, Part(bytecode_digest(code), "", where, _PYTHON))
            scopes: list[ast.AST] = []
            tree = None
        else:
            node, tree = found
            refers, passing = references(node, method is not None), momentary_arguments(node, tree)
            decorators = "" if not decorated else ", ".join(map(canonical, decorators_of(node)))
            self.add(name, Part(digest_of(canonical(node, whole=False), decorators), "", where))
            scopes = [*enclosing(node, tree)]
            self._shell |= refers.shell
            self.add_all(imported_modules(node, names.get("__package__") or "", self._modules))
        self.texts |= refers.texts
        self._attributes |= refers.attributes
        called = func.__name__
        for argument, value in defaults_of(func):
            if argument not in refers.arguments | passing:
                whose = "its argument " if name == _ROOT else called
                self._object(f"{whose}({argument}=)", value, where, None, directory_of(names))
        cells = cells_of(func)
        moments = {path for scope in scopes for path in momentary(scope, tree)} if tree is not None else set()
        for root, cell in cells.items():
            self.note_ways(id(cell), [path[1:] for path in moments if path[0] == root])
        for path, how in sorted(refers.changed, key=repr):
            self.change(path, how, cells, names, method, called in CONSTRUCTION)
        for path in sorted(refers.paths, key=repr):
            self._path(path, cells, names, called)
        for path, key in refers.keys:
            asked, said = resolve(path, cells, names), resolve(key, cells, names)
            if asked is not None and said is not None and isinstance(said.value, str):
                self.asks_environment(asked.value, (*asked.rest, ("[", said.value)))

    def _path(self, path: Path, cells: Mapping[str, Any], names: dict[str, Any], called: str) -> None:
        """Follow a name. What a method's own object is, is seen where that is bound."""
        found = None if path[0] == SELF else resolve(path, cells, names)
        if found is None:
            return
        for module in (names, found.names):
            if module is not None:
                self.note_module(module)
        if self.asks_environment(found.value, found.rest):
            return
        self.note_holders(found)
        label, where = self.label(found, called, names)
        if found.value is not MISSING:
            self._object(label, found.value, where, (found.owner, found.steps), directory_of(found.names or names))
        elif found.entry:
            self.add(label, Part("missing", "not there", where))

    def _object(self, label: str, value: Any, where: str, place: Place | None, home: str | None = None) -> None:
        """Follow what a name stands for; what cannot be looked at is known by its class."""
        try:
            self._follow(label, value, where, place, home)
        except Exception as error:  # of the object's own code, or a kind of object that nobody has thought of
            _log.warning("%s is known by its class alone, changes of it are not noticed: %r", label, error)
            self.add(label, Part(digest_of("class", type(value).__qualname__)))

    def _follow(self, label: str, value: Any, where: str, place: Place | None, home: str | None) -> None:
        if isinstance(value, ModuleType):
            if is_own_module(value):
                self.add_all(whole_module(value.__name__, value.__file__ or "", self._modules))
            else:
                self.add(label, Part(digest_of("module", value.__name__)))
        elif isinstance(value, functools.partial):
            self._seen[id(value)] = value
            self._object(label, value.func, where, None, home)
            for position, one in enumerate(value.args):
                self._object(f"{label}, argument {position}", one, where, None, home)
            for name, one in value.keywords.items():
                self._object(f"{label}({name}=)", one, where, None, home)
        elif isinstance(value, FunctionType):
            if is_own_function(value):
                self._function(value, self.named("function", value), None)
            else:
                self.package(label, value)
                self._in_closure(label, value)
        elif isinstance(value, MethodType):
            self._bound(label, value, where, home)
        elif isinstance(value, type) and not is_own_class(value):
            self.package(label, value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, (BuiltinFunctionType, type(len), type(str.join))):
            owner = getattr(value, "__self__", None)
            if owner is None or isinstance(owner, (ModuleType, type)):
                self.add_all(module_of_compiled(value, self._modules))
                self.package(label, value)
            else:
                self._object(label, owner, where, None, home)
        elif isinstance(getattr(value, "__wrapped__", None), FunctionType):
            self._wrapped(label, value)
        elif not is_used(value):
            self.value(label, value, where, place, home)
            self.follow_inside(value)

    def follow_inside(self, value: Any) -> None:
        """Follow the user's own code in a value."""
        for one in code_inside(value):
            if isinstance(one, type):
                self._class(one)
            elif isinstance(one, FunctionType):
                self._function(one, self.named("function", one), None)

    def _bound(self, label: str, value: MethodType, where: str, home: str | None) -> None:
        receiver, func = value.__self__, value.__func__
        cls = receiver if isinstance(receiver, type) else type(receiver)
        if isinstance(func, FunctionType) and is_own_function(func):
            name = label if label == _ROOT else self.named("function", func)
            self._function(func, name, cls)
        else:
            self.package(label, func)
        if isinstance(receiver, type):
            self._class(receiver)
        elif label == _ROOT:
            self._object(f"{type(receiver).__name__} object", receiver, where, None, home)
        else:
            self._object(f"{label}.__self__", receiver, where, None, home)

    def _wrapped(self, label: str, value: Any) -> None:
        """Follow what a decorator has made an object of (`lru_cache`, `numba.njit`)."""
        inner = value.__wrapped__
        if is_own_function(inner):
            cached = package_of(type(value)) == "functools"
            name = label if label == _ROOT else self.named("function", inner)
            self._function(inner, name, None, decorated=not cached)
        else:
            self.package(label, inner)

    def _in_closure(self, label: str, func: FunctionType) -> None:
        """Follow the user's functions that a package's function holds, as a decorator's do."""
        for name, cell in cells_of(func).items():
            held = content_of(cell)
            self.follow_inside(held)
            if isinstance(held, (FunctionType, MethodType, functools.partial)) and id(held) not in self._seen:
                self._object(f"{label}: {name}", held, "", None)
        inner = getattr(func, "__wrapped__", None)
        if isinstance(inner, FunctionType) and is_own_function(inner):
            self._function(inner, self.named("function", inner), None, decorated=True)

    def _class(self, cls: type) -> None:
        if id(cls) in self._seen or not is_own_class(cls):
            return
        self._seen[id(cls)] = cls
        body = body_of(cls)
        if body is not None:
            self.add(self.named("class", cls), Part(digest_of(canonical(body.node)), "", body.where))
            passing = [((".", path[0]), *path[1:]) for path in body.momentary]
            self.note_attributes(cls, passing)
            self.note_ways(id(cls), passing)
            for path in body.paths:
                self._path(path, {}, body.names, cls.__name__)
        for name, member in vars(cls).items():
            inner = function_of(member)
            if inner is not None:
                self._methods.append((cls, name, inner))
                self.note_attributes(cls, momentary_attributes(inner) if name in CONSTRUCTION else [])
            elif is_attribute(cls, name, member):
                self._object(f"{cls.__qualname__}.{name}", member, "", (id(cls), ((".", name),)))
        for other in (*cls.__mro__[1:], type(cls)):
            self._class(other)

    def _method(self, cls: type, name: str, func: FunctionType) -> None:
        if is_own_function(func) and not func.__code__.co_filename.startswith("<string>"):  # generated by dataclasses
            self._function(func, f"function {self.prefix(cls.__module__)}{cls.__qualname__}.{name}", cls)
