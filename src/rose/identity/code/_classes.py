"""Find what is the user's own in a class: its statements, the values that it holds, and which methods may be called."""

from __future__ import annotations

import ast
import enum
import functools
import os
import sys
from types import FunctionType
from typing import Any, NamedTuple

from rose.identity.code._constants import Steps
from rose.identity.code._functions import is_own_function
from rose.identity.code._moments import assignments, momentary
from rose.identity.code._names import Path, references
from rose.identity.code._syntax import file_tree, find_class, find_function

CONSTRUCTION = ("__init__", "__new__", "__post_init__", "__setstate__", "__set_name__", "__init_subclass__")


class Body(NamedTuple):
    """Hold the statements of a class other than its methods.

    Attributes:
        node: them.
        names: the namespace of its module.
        where: the file and line.
        paths: what of the module they name.
        momentary: what they bind that differs from start to start.
    """

    node: ast.ClassDef
    names: dict[str, Any]
    where: str
    paths: list[Path]
    momentary: frozenset[Path]


def body_of(cls: type) -> Body | None:
    """Return the statements of a class; None where there is no source."""
    module = sys.modules.get(cls.__module__)
    methods = (one for one in vars(cls).values() if isinstance(one, FunctionType) and is_own_function(one))
    file = getattr(module, "__file__", None) or next((one.__code__.co_filename for one in methods), None)
    names = {} if module is None else vars(module)
    tree = None if file is None else file_tree(file, names)
    node = None if tree is None else find_class(cls, tree)
    if node is None or tree is None:
        return None
    body = [one for one in node.body if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
    rest = ast.ClassDef(
        name=node.name, bases=node.bases, keywords=node.keywords, body=body, decorator_list=node.decorator_list
    )
    own = {path[0] for path, _ in assignments(rest)}
    paths = sorted((path for path in references(rest).paths if path[0] not in own), key=repr)
    return Body(rest, names, f"{os.path.basename(str(file))}:{node.lineno}", paths, momentary(rest, tree))


def momentary_attributes(func: FunctionType) -> list[Steps]:
    """Return the attributes that a constructor sets to the time, and the like."""
    found = find_function(func.__code__, func.__globals__) if is_own_function(func) else None
    if found is None:
        return []
    receiver = func.__code__.co_varnames[:1]
    return [path[1:] for path in momentary(*found) if path[:1] == receiver and len(path) > 1]


def is_reached(name: str, attributes: set[str]) -> bool:
    """Return whether a method may be called by code that uses these names of attributes."""
    return name in attributes or (name.startswith("__") and name.endswith("__"))


def is_attribute(cls: type, name: str, member: Any) -> bool:
    """Return whether something that a class holds is a value that its author gave it."""
    if name.startswith(("_abc_", "__")) or name in ("model_config", "model_fields", "model_computed_fields"):
        return False
    if issubclass(cls, enum.Enum):  # its members are in its body
        return False
    return not hasattr(type(member), "__get__") or isinstance(member, (functools.partial, type))


def function_of(member: Any) -> FunctionType | None:
    """Return the function in a class's member: a method, static or of the class, or a property's."""
    for name in ("__func__", "fget", "func", "__wrapped__"):
        inner = getattr(member, name, None)
        if isinstance(inner, FunctionType):
            return inner
    return member if isinstance(member, FunctionType) else None
