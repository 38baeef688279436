"""What a function can reach of the user's own code and constants: it decides what the function gives.

From the function on, what its code names is followed: functions and classes of the user's own modules (see `modules`)
with what they name in turn, the values of globals, closures, defaults and of the object that a method is bound to, and
environment variables that are named by a constant. Of installed packages, the names are a part, not their code. Of
classes, those methods are followed whose names occur in what is reached. A module that a function imports itself is
taken whole, with those of the user's that it imports. Nothing is run or imported to find out.
"""

from __future__ import annotations

import ast
import builtins
import enum
import functools
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as FilePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from rose.identity import environment
from rose.identity.constants import Steps, constants, is_used
from rose.identity.files import file_digest
from rose.identity.modules import is_own, is_own_class, is_own_module, package_of
from rose.identity.moments import assignments, momentary
from rose.identity.names import SELF, Path, references, references_of_code
from rose.identity.parts import Part, parts_digest
from rose.identity.syntax import canonical, digest_of, enclosing, file_tree, find_class, find_function

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_MISSING = object()
_ROOT = "its function"  # the function itself, whatever it is called
_CONSTRUCTION = ("__init__", "__new__", "__post_init__", "__setstate__", "__set_name__", "__init_subclass__")
_INSIDE = 10_000  # objects in a value that are looked at for code


def reach(func: Any, shell: bool = False) -> dict[str, Part]:
    """Return what a function, or anything that can be called, can reach, by names that messages use.

    Args:
        func: a function, method, partial, class, or an object with `__call__`.
        shell: whether it returns a command line: variables that this names are a part, too.

    >>> def simulate(x, T=300):
    ...     return x * T
    >>> reach(simulate)["its argument (T=)"].text
    '300'
    """
    walk = _Walk()
    walk.begin(func)
    walk.finish()
    if shell:
        for name in environment.named_in(walk.texts):
            walk.variable(name)
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


class _Value:
    """A value that is reached, to be looked at when it is known what the code changes."""

    def __init__(self, name: str, value: Any, where: str, owner: int, path: Steps, home: str | None) -> None:
        self.name, self.value, self.where, self.owner, self.path, self.home = name, value, where, owner, path, home


class _Walk:
    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.texts: set[str] = set()
        self._home: str | None = None  # the module whose names need no module before them
        self._values: list[_Value] = []
        self._changed: set[tuple[int, Steps]] = set()  # by the id of a namespace or closure, and the way from there
        self._of_classes: list[tuple[type, Steps]] = []
        self._seen: dict[int, Any] = {}  # by id, kept so that ids stay
        self._attributes: set[str] = set()
        self._methods: list[tuple[type, str, Any]] = []  # not reached so far

    def begin(self, func: Any) -> None:
        """Follow what is registered."""
        inner = func
        while isinstance(inner, functools.partial) or hasattr(inner, "__wrapped__"):
            inner = inner.func if isinstance(inner, functools.partial) else inner.__wrapped__
        inner = getattr(inner, "__func__", inner)
        if not isinstance(inner, (FunctionType, type)):
            inner = type(inner)
        self._home = getattr(inner, "__module__", None)
        if isinstance(func, FunctionType) and not is_own_function(func):
            self._package(_ROOT, func)
        elif isinstance(func, FunctionType):
            self._function(func, _ROOT, method=None)
        else:
            self._object(_ROOT, func, "", None)

    def finish(self) -> None:
        """Follow the methods that are reached, until no more are; then look at the values."""
        while True:
            reached = [one for one in self._methods if _is_reached(one[1], self._attributes)]
            if not reached:
                break
            self._methods = [one for one in self._methods if one not in reached]
            for cls, name, member in reached:
                self._member(cls, name, member)
        for one in self._values:
            changed = [
                steps[len(one.path) :] if steps[: len(one.path)] == one.path else ()
                for owner, steps in self._changed
                if owner == one.owner and steps[: len(one.path)] == one.path[: len(steps)]
            ]
            found = constants(one.name, one.value, changed, self._changed_of, self._function_digest, one.home)
            for name, part in found:
                self._add(name, part._replace(where=one.where))

    def variable(self, name: str) -> None:
        """Make an environment variable a part."""
        part = environment.variable(name)
        if part is not None:
            self.parts[f"environment variable {name}"] = part

    # --- code ------------------------------------------------------------------------------------------------------

    def _function(self, func: FunctionType, name: str, method: type | None, decorated: bool = False) -> None:
        if id(func) in self._seen:
            return
        self._seen[id(func)] = func
        code, names = func.__code__, func.__globals__
        found = find_function(code, names)
        where = _where(code)
        if found is None:
            refers = references_of_code(code)
            self._add(name, Part(_code_digest(code), "", where, _PYTHON))
            scopes: list[ast.AST] = []
            tree = None
        else:
            node, tree = found
            refers = references(node, method is not None)
            decorators = "" if not decorated else ", ".join(map(canonical, _decorators(node)))
            self._add(name, Part(digest_of(canonical(node, whole=False), decorators), "", where))
            scopes = [*enclosing(node, tree)]
            self._imports(node, names)
        self.texts |= refers.texts
        self._attributes |= refers.attributes
        called = func.__name__
        for argument, value in _defaults(func):
            if argument not in refers.arguments:
                whose = "its argument " if name == _ROOT else called
                self._object(f"{whose}({argument}=)", value, where, None, _directory(names))
        cells = _cells(func)
        moments = {path for scope in scopes for path in momentary(scope, tree)} if tree is not None else set()
        for root, cell in cells.items():
            self._note_changes(id(cell), [path for path in moments if path[0] == root])
        for path, how in sorted(refers.changed, key=repr):
            self._change(path, how, cells, names, None if called in _CONSTRUCTION else method)
        for path in sorted(refers.paths, key=repr):
            self._path(path, cells, names, method, called)

    def _path(
        self, path: Path, cells: Mapping[str, Any], names: dict[str, Any], method: type | None, called: str
    ) -> None:
        """Follow a name, as far as its attributes and keys are known."""
        root, *steps = path
        taken: Steps
        if root == SELF:  # its methods are reached by their names, and what it is from where it is bound
            return
        if root in cells:
            value, owner, taken = _content(cells[root]), id(cells[root]), ()
            label = root if self._is_home(names) else f"{called}: {root}"
            where, home = "", _directory(names)
        elif root in names:
            value, owner, taken = names[root], id(names), ((".", root),)
            label, where, home = self._label(root, names), _line_of(root, names), _directory(names)
            self._note_module(names)
        elif root in ("__class__", "super") or hasattr(builtins, root):
            return
        else:
            return
        if value is _MISSING:
            return
        while steps:
            kind, key = steps[0]
            if isinstance(value, ModuleType):
                if kind != "." or not is_own_module(value):
                    break
                names = vars(value)
                if key not in names:
                    break
                owner, taken = id(names), ((".", key),)
                label, where, home = self._label(key, names), _line_of(key, names), _directory(names)
                self._note_module(names)
                value = names[key]
            elif type(value) is dict and kind == "[" and key in value:
                value, taken, label = value[key], (*taken, steps[0]), f"{label}[{key!r}]"
            elif type(value) is dict and steps[0] == (".", "get") and len(steps) > 1 and steps[1][0] == "[":
                steps = steps[1:]
                if steps[0][1] not in value:
                    self._add(f"{label}[{steps[0][1]!r}]", Part("missing", "not there", where))
                    return
                continue
            elif kind == "." and key in getattr(value, "__dict__", {}) and not isinstance(value, type):
                if is_used(value) or not _is_data(value):
                    break
                value, taken, label = vars(value)[key], (*taken, steps[0]), f"{label}.{key}"
            else:
                break
            steps = steps[1:]
        if self._asks_environment(value, steps):
            return
        self._object(label, value, where, (owner, taken), home)

    def _asks_environment(self, value: Any, steps: list[Any]) -> bool:
        """Whether it is the environment; what is asked by a constant becomes a part."""
        ends = value is os.environ or value is os.getenv or value is os.environ.get
        if value is os and steps and steps[0][1] in ("environ", "getenv"):
            ends = True
        keys = [key for kind, key in steps if kind == "[" and isinstance(key, str)]
        if ends and keys:
            self.variable(keys[0])
        return ends

    def _object(
        self, label: str, value: Any, where: str, place: tuple[int, Steps] | None, home: str | None = None
    ) -> None:
        """Follow what a name stands for."""
        if isinstance(value, ModuleType):
            if is_own_module(value):
                self._whole_module(value.__name__, value.__file__)
            else:
                self._add(f"{label}", Part(digest_of("module", value.__name__)))
        elif isinstance(value, functools.partial):
            self._seen[id(value)] = value
            self._object(label, value.func, where, None, home)
            for position, one in enumerate(value.args):
                self._object(f"{label}, argument {position}", one, where, None, home)
            for name, one in value.keywords.items():
                self._object(f"{label}({name}=)", one, where, None, home)
        elif isinstance(value, FunctionType):
            if is_own_function(value):
                self._function(value, self._named("function", value), None)
            else:
                self._package(label, value)
                self._in_closure(label, value)
        elif isinstance(value, MethodType):
            self._bound(label, value, where, home)
        elif isinstance(value, type) and not is_own_class(value):
            self._package(label, value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, (BuiltinFunctionType, type(len), type(str.join))):
            owner = getattr(value, "__self__", None)
            if owner is None or isinstance(owner, (ModuleType, type)):
                self._extension(label, value)
            else:
                self._object(label, owner, where, None, home)
        elif isinstance(getattr(value, "__wrapped__", None), FunctionType):
            self._wrapped(label, value)
        elif package_of(type(value)) == "rose" or is_used(value):
            return
        else:
            self._value(label, value, where, place, home)

    def _value(self, label: str, value: Any, where: str, place: tuple[int, Steps] | None, home: str | None) -> None:
        owner, path = place or (0, ())
        self._values.append(_Value(label, value, where, owner, path, home))
        self.follow_inside(value)

    def follow_inside(self, value: Any) -> None:
        """Follow the user's own code in a value."""
        for one in _code_inside(value):
            if isinstance(one, type):
                self._class(one)
            elif isinstance(one, FunctionType):
                self._function(one, self._named("function", one), None)

    def _bound(self, label: str, value: MethodType, where: str, home: str | None) -> None:
        receiver, func = value.__self__, value.__func__
        cls = receiver if isinstance(receiver, type) else type(receiver)
        if isinstance(func, FunctionType) and is_own_function(func):
            name = label if label == _ROOT else self._named("function", func)
            self._function(func, name, cls)
        else:
            self._package(label, func)
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
            name = label if label == _ROOT else self._named("function", inner)
            self._function(inner, name, None, decorated=not cached)
        else:
            self._package(label, inner)

    def _in_closure(self, label: str, func: FunctionType) -> None:
        """Follow the user's functions that a package's function holds, as a decorator's do."""
        for name, cell in _cells(func).items():
            held = _content(cell)
            if isinstance(held, (FunctionType, MethodType, functools.partial)) and id(held) not in self._seen:
                self._object(f"{label}: {name}", held, "", None)
        inner = getattr(func, "__wrapped__", None)
        if isinstance(inner, FunctionType) and is_own_function(inner):
            self._function(inner, self._named("function", inner), None, decorated=True)

    def _class(self, cls: type) -> None:
        if id(cls) in self._seen:
            return
        self._seen[id(cls)] = cls
        if not is_own_class(cls):
            return
        module = sys.modules.get(cls.__module__)
        file = getattr(module, "__file__", None) or next(
            (one.__code__.co_filename for one in vars(cls).values() if isinstance(one, FunctionType)), None
        )
        names = vars(module) if module is not None else {}
        tree = None if file is None else file_tree(file, names)
        node = None if tree is None else find_class(cls, tree)
        name = self._named("class", cls)
        if node is not None and tree is not None:
            self._class_body(cls, name, node, names, f"{os.path.basename(str(file))}:{node.lineno}")
        for member_name, member in vars(cls).items():
            inner = _function_of(member)
            if inner is not None:
                self._methods.append((cls, member_name, inner))
                self._note_construction(cls, member_name, inner)
            elif not member_name.startswith("__") and _is_attribute(cls, member_name, member):
                place = (id(cls), ((".", member_name),))
                self._object(f"{cls.__qualname__}.{member_name}", member, "", place)
        for base in cls.__mro__[1:]:
            self._class(base)
        if type(cls) is not type:
            self._class(type(cls))

    def _class_body(self, cls: type, name: str, node: ast.ClassDef, names: dict[str, Any], where: str) -> None:
        """The statements of a class other than its methods, and what they name."""
        body = [one for one in node.body if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
        rest = ast.ClassDef(
            name=node.name, bases=node.bases, keywords=node.keywords, body=body, decorator_list=node.decorator_list
        )
        self._add(name, Part(digest_of(canonical(rest)), "", where))
        refers = references(rest)
        own = {path[0] for one in body for path, _ in assignments(ast.Module([one], []))}
        for path in sorted(refers.paths, key=repr):
            if path[0] not in own and path[0] in names:
                self._path(path, {}, names, None, cls.__name__)

    def _member(self, cls: type, name: str, func: FunctionType) -> None:
        if is_own_function(func) and not func.__code__.co_filename.startswith("<string>"):
            self._function(func, f"function {self._prefix(cls.__module__)}{cls.__qualname__}.{name}", cls)

    def _note_construction(self, cls: type, name: str, func: FunctionType) -> None:
        """Attributes that a constructor sets to the time, and the like, are no constants."""
        if name not in _CONSTRUCTION or not is_own_function(func):
            return
        found = find_function(func.__code__, func.__globals__)
        if found is not None:
            node, tree = found
            receiver = func.__code__.co_varnames[:1]
            paths = [path for path in momentary(node, tree) if path[:1] == receiver and len(path) > 1]
            self._of_classes += [(cls, path[1:]) for path in paths]

    # --- names -----------------------------------------------------------------------------------------------------

    def _is_home(self, names: Mapping[str, Any]) -> bool:
        return names.get("__name__") == self._home

    def _prefix(self, module: str | None) -> str:
        return "" if module in (self._home, None) else f"{module}."

    def _label(self, name: str, names: Mapping[str, Any]) -> str:
        return self._prefix(names.get("__name__")) + name

    def _named(self, kind: str, thing: Any) -> str:
        return f"{kind} {self._prefix(thing.__module__)}{thing.__qualname__.replace('<locals>.', '')}"

    def _add(self, name: str, part: Part) -> None:
        """Add a part; another one of its name has its number behind."""
        known, number = self.parts.get(name), 1
        while known is not None and known.digest != part.digest:
            number += 1
            known = self.parts.get(f"{name} ({number})")
        self.parts[name if number == 1 else f"{name} ({number})"] = part

    # --- changes that code makes itself ------------------------------------------------------------------------------

    def _note_module(self, names: Mapping[str, Any]) -> None:
        """A module's names of what differs from start to start are no constants."""
        key = -id(names)
        if key in self._seen:
            return
        self._seen[key] = names
        file = names.get("__file__")
        tree = None if not isinstance(file, str) else file_tree(file, names)
        if tree is not None:
            for path in momentary(tree, tree):
                self._changed.add((id(names), ((".", path[0]), *path[1:])))

    def _note_changes(self, owner: int, paths: Iterable[Path]) -> None:
        self._changed |= {(owner, tuple(path[1:])) for path in paths}

    def _change(
        self, path: Path, how: str, cells: Mapping[str, Any], names: dict[str, Any], method: type | None
    ) -> None:
        root, *steps = path
        if root == SELF:
            if method is not None and steps and not how.startswith("__"):
                self._of_classes.append((method, tuple(steps)))
            return
        if root in cells:
            value, owner, taken = _content(cells[root]), id(cells[root]), tuple(steps)
        else:
            value, owner = names.get(root, _MISSING), id(names)
            taken = ((".", root), *steps)
            while steps and isinstance(value, ModuleType) and is_own_module(value):
                names = vars(value)
                owner, taken = id(names), tuple(steps)
                value, steps = names.get(steps[0][1], _MISSING), steps[1:]
        for kind, key in steps:
            held = value if kind == "[" and type(value) is dict else getattr(value, "__dict__", {})
            value = held.get(key, _MISSING)
        if how and value is not _MISSING and is_own_class(type(value)):
            return  # a method of the user's: what that changes is seen in its own code
        if isinstance(value, type) and how == "":
            return
        self._changed.add((owner, taken))

    def _changed_of(self, cls: type) -> list[Steps]:
        return [steps for changed, steps in self._of_classes if issubclass(cls, changed)]

    # --- what is known otherwise than by its code --------------------------------------------------------------------

    def _package(self, label: str, thing: Any) -> None:
        """Something of an installed package is its name; where in the package it is may change with its version."""
        name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", type(thing).__qualname__)
        self._add(label, Part(digest_of("package", package_of(thing), str(name))))

    def _extension(self, label: str, thing: Any) -> None:
        """A compiled function: by its name, and if its module is the user's own, by that file's content."""
        module = sys.modules.get(getattr(thing, "__module__", None) or "")
        file = getattr(module, "__file__", None)
        if module is not None and file and is_own_module(module) and not file.endswith(".py"):
            self._add(f"module {module.__name__}", Part(file_digest(FilePath(file)), "", os.path.basename(file)))
        self._package(label, thing)

    def _function_digest(self, thing: Any) -> bytes | None:
        """A function or class inside a value; its code is a part of its own."""
        if isinstance(thing, FunctionType) and is_own_function(thing):
            found = find_function(thing.__code__, thing.__globals__)
            text = _code_digest(thing.__code__) if found is None else digest_of(canonical(found[0], whole=False))
            return bytes.fromhex(text)
        return None

    # --- modules that are taken whole --------------------------------------------------------------------------------

    def _imports(self, node: ast.AST, names: Mapping[str, Any]) -> None:
        """Take the user's own modules that code imports when it runs."""
        for module in _imported(node, names.get("__package__") or ""):
            self._module_file(module)

    def _module_file(self, name: str) -> None:
        if name.partition(".")[0] in sys.stdlib_module_names or f"module {name}" in self.parts:
            return
        try:
            spec = importlib.machinery.PathFinder.find_spec(name) if "." not in name else importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return
        origin = None if spec is None else spec.origin
        if origin is not None and is_own(name, origin) and name != "__main__":
            self._whole_module(name, origin)

    def _whole_module(self, name: str, file: str | None) -> None:
        if f"module {name}" in self.parts or file is None:
            return
        if not file.endswith(".py"):
            self._add(f"module {name}", Part(file_digest(FilePath(file)), "", os.path.basename(file)))
            return
        tree = file_tree(file)
        if tree is None:
            return
        self._add(f"module {name}", Part(digest_of(canonical(tree)), "", os.path.basename(file)))
        package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]
        for inner in _imported(tree, package):
            self._module_file(inner)


def is_own_function(func: FunctionType) -> bool:
    """Return whether a function is of one of the user's own modules, by the globals that it sees."""
    names = func.__globals__
    file = names.get("__file__")
    return is_own(names.get("__name__"), file if isinstance(file, str) else None)


def _is_reached(name: str, attributes: set[str]) -> bool:
    return name in attributes or (name.startswith("__") and name.endswith("__"))


def _is_data(value: Any) -> bool:
    """Whether what is read of an object is that attribute alone: no code of its class is in between."""
    return all("__getattribute__" not in vars(base) for base in type(value).__mro__[:-1])


def _is_attribute(cls: type, name: str, member: Any) -> bool:
    """Whether something that a class holds is a value that its author gave it."""
    if name.startswith(("_abc_", "__")) or name in ("model_config", "model_fields", "model_computed_fields"):
        return False
    if issubclass(cls, enum.Enum):  # its members are in its body
        return False
    return not hasattr(type(member), "__get__") or isinstance(member, (functools.partial, type))


def _function_of(member: Any) -> FunctionType | None:
    """The function in a class's member: a method, static or of the class, or a property's."""
    for name in ("__func__", "fget", "func", "__wrapped__"):
        inner = getattr(member, name, None)
        if isinstance(inner, FunctionType):
            return inner
    return member if isinstance(member, FunctionType) else None


def _cells(func: FunctionType) -> dict[str, Any]:
    return dict(zip(func.__code__.co_freevars, func.__closure__ or (), strict=True))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it has not been given its value
        return _MISSING


def _defaults(func: FunctionType) -> Iterator[tuple[str, Any]]:
    code, given = func.__code__, func.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    yield from zip(names[len(names) - len(given) :], given, strict=True)
    yield from (func.__kwdefaults__ or {}).items()


def _where(code: CodeType) -> str:
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def _directory(names: Mapping[str, Any]) -> str | None:
    file = names.get("__file__")
    return os.path.dirname(os.path.abspath(file)) if isinstance(file, str) else None


@functools.lru_cache(maxsize=64)
def _lines(tree: ast.Module) -> dict[str, int]:
    return {path[0]: value.lineno for path, value in assignments(tree) if len(path) == 1}


def _line_of(name: str, names: Mapping[str, Any]) -> str:
    """Where a module assigns a name, as messages have it."""
    file = names.get("__file__")
    tree = file_tree(file, names) if isinstance(file, str) else None
    line = None if tree is None else _lines(tree).get(name)
    return "" if line is None else f"{os.path.basename(str(file))}:{line}"


def _decorators(node: ast.AST) -> list[ast.expr]:
    """The decorators of a function but for ROSE's, which say how its tasks run."""
    ours = ("_task", "uncertainty_quantification", "as_stop_criterion")
    found = [] if isinstance(node, ast.Lambda) else list(getattr(node, "decorator_list", []))
    named = [(one, one.func if isinstance(one, ast.Call) else one) for one in found]
    return [one for one, name in named if not (isinstance(name, ast.Attribute) and name.attr.endswith(ours))]


def _code_digest(code: CodeType) -> str:
    """What code without source is: its instructions, which differ between versions of Python."""
    constants = [_code_digest(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return digest_of(code.co_code.hex(), *constants, *code.co_names, *code.co_varnames)


def _constant(value: Any) -> str:
    if isinstance(value, (frozenset, tuple)):
        entries = map(_constant, value)
        return f"{type(value).__name__} {sorted(entries) if isinstance(value, frozenset) else list(entries)}"
    return f"{type(value).__name__} {value!a}"


def _imported(node: ast.AST, package: str) -> list[str]:
    """The modules that code imports."""
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Import):
            found |= {alias.name for alias in one.names}
        elif isinstance(one, ast.ImportFrom):
            base = one.module or ""
            if one.level:
                above = package.split(".")[: len(package.split(".")) - one.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in one.names)} if base else set()
    return sorted(found - {""})


def _code_inside(value: Any) -> Iterator[Any]:
    """Yield the user's own functions, and the classes of objects, in a value."""
    pending, seen = [value], set[int]()
    while pending and len(seen) < _INSIDE:
        one = pending.pop()
        if id(one) in seen or isinstance(one, (str, bytes, int, float, complex, type(None), ModuleType)):
            continue
        seen.add(id(one))
        if isinstance(one, type):
            if is_own_class(one):
                yield one
        elif isinstance(one, FunctionType):
            if is_own_function(one):
                yield one
        elif isinstance(one, MethodType):
            pending += [one.__func__, one.__self__]
        elif isinstance(one, functools.partial):
            pending += [one.func, *one.args, *one.keywords.values()]
        elif isinstance(one, Mapping):
            pending += [part for pair in list(one.items())[:_INSIDE] for part in pair]
        elif isinstance(one, (list, tuple, set, frozenset)):
            pending += list(one)[:_INSIDE]
        if not isinstance(one, type) and is_own_class(type(one)) and not is_used(one):
            yield type(one)
            pending += list(getattr(one, "__dict__", {}).values())
            pending += [getattr(one, slot, None) for slot in _slots(type(one))]


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        given = vars(base).get("__slots__", ())
        yield from [given] if isinstance(given, str) else given
