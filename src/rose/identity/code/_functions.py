"""Find facts about functions and classes: what they hold, where they stand, and what stands in for missing source."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from rose.identity.code._constants import slots
from rose.identity.code._modules import is_own, is_own_class
from rose.identity.code._moments import assignments
from rose.identity.code._syntax import file_tree, text_tree
from rose.identity.code._used import is_used
from rose.identity.digest import digest_of

MISSING = object()
_INSIDE = 10_000  # objects in a value that are looked at for code


def is_own_function(func: FunctionType) -> bool:
    """Return whether a function is of one of the user's own modules, by the globals that it sees."""
    names = func.__globals__
    file = names.get("__file__")
    return is_own(names.get("__name__"), file if isinstance(file, str) else None)


def registered(func: Any) -> Any:
    """Return the function, or the class, that is behind what is registered: behind partials and decorators."""
    while isinstance(func, functools.partial) or hasattr(func, "__wrapped__"):
        func = func.func if isinstance(func, functools.partial) else func.__wrapped__
    func = getattr(func, "__func__", func)
    return func if isinstance(func, (FunctionType, type)) else type(func)


def is_data(value: Any) -> bool:
    """Return whether what is read of an object is that attribute alone: no code of its class is in between."""
    return all("__getattribute__" not in vars(base) for base in type(value).__mro__[:-1])


def cells_of(func: FunctionType) -> dict[str, Any]:
    """Return the cells of a function's closure, by name."""
    return dict(zip(func.__code__.co_freevars, func.__closure__ or (), strict=True))


def content_of(cell: Any) -> Any:
    """Return what a cell holds, `MISSING` where that is nothing yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def defaults_of(func: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield a function's arguments that have defaults, with them."""
    code, given = func.__code__, func.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    yield from zip(names[len(names) - len(given) :], given, strict=True)
    yield from (func.__kwdefaults__ or {}).items()


def where_of(code: CodeType) -> str:
    """Return the file and line of some code, as messages have them."""
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def directory_of(names: Mapping[str, Any]) -> str | None:
    """Return the directory that a module's file is in."""
    file = names.get("__file__")
    return os.path.dirname(os.path.abspath(file)) if isinstance(file, str) else None


@functools.lru_cache(maxsize=64)
def _lines(tree: ast.Module) -> dict[str, int]:
    return {path[0]: value.lineno for path, value in assignments(tree) if len(path) == 1}


def line_of(name: str, names: Mapping[str, Any]) -> str:
    """Return where a module assigns a name, as messages have it."""
    file, tree = names.get("__file__"), module_tree(names)
    line = None if tree is None or not isinstance(file, str) else _lines(tree).get(name)
    return "" if line is None else f"{os.path.basename(str(file))}:{line}"


def module_tree(names: Mapping[str, Any]) -> ast.Module | None:
    """Return the syntax tree of a module, given its namespace; of a notebook, of all cells that have been run."""
    file, cells = names.get("__file__"), names.get("In")
    if isinstance(file, str):
        return file_tree(file, names)
    return text_tree(tuple(filter(None, cells))) if isinstance(cells, list) and all(map(_is_text, cells)) else None


def _is_text(cell: object) -> bool:
    return isinstance(cell, str)


def decorators_of(node: ast.AST) -> list[ast.expr]:
    """Return the decorators of a function but for ROSE's, which say how its tasks run."""
    ours = ("_task", "uncertainty_quantification", "as_stop_criterion")
    found = [] if isinstance(node, ast.Lambda) else list(getattr(node, "decorator_list", []))
    named = [(one, one.func if isinstance(one, ast.Call) else one) for one in found]
    return [one for one, name in named if not (isinstance(name, ast.Attribute) and name.attr.endswith(ours))]


def bytecode_digest(code: CodeType) -> str:
    """Return what code without source is: its instructions, which differ between versions of Python."""
    constants = [bytecode_digest(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return digest_of(code.co_code.hex(), *constants, *code.co_names, *code.co_varnames)


def _constant(value: Any) -> str:
    if isinstance(value, (frozenset, tuple)):
        entries = map(_constant, value)
        return f"{type(value).__name__} {sorted(entries) if isinstance(value, frozenset) else list(entries)}"
    return f"{type(value).__name__} {value!a}"


def code_inside(value: Any) -> Iterator[Any]:
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
        if not isinstance(one, (type, FunctionType)) and not is_used(one):
            if is_own_class(type(one)):
                yield type(one)
            pending += list(getattr(one, "__dict__", {}).values())
            pending += [getattr(one, slot, None) for slot in slots(type(one))]
