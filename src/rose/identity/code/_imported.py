"""Read the user's own modules as a whole, where it is not known what of them is used; their source is not run."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rose.identity.code._modules import is_own, is_own_module
from rose.identity.code._syntax import canonical, file_tree
from rose.identity.digest import digest_of
from rose.identity.files import file_digest
from rose.identity.parts import Part


def imported_modules(node: ast.AST, package: str, seen: set[str]) -> Iterator[tuple[str, Part]]:
    """Yield the user's own modules that some code imports, with those that they import in turn.

    Args:
        node: the code.
        package: the package that it is in, "" for none.
        seen: the modules that have been given; those that are given now are added.
    """
    for name in _imported(node, package):
        file = _file_of(name)
        if file is not None:
            yield from whole_module(name, file, seen)


def whole_module(name: str, file: str, seen: set[str]) -> Iterator[tuple[str, Part]]:
    """Yield a module of the user's, and those that it imports; arguments as `imported_modules`."""
    if name in seen:
        return
    seen.add(name)
    where = os.path.basename(file)
    if not file.endswith(".py"):  # compiled
        yield f"module {name}", Part(file_digest(Path(file)), "", where)
        return
    tree = file_tree(file)
    if tree is not None:
        yield f"module {name}", Part(digest_of(canonical(tree)), "", where)
        yield from imported_modules(tree, name if where == "__init__.py" else name.rpartition(".")[0], seen)


def module_of_compiled(thing: Any, seen: set[str]) -> Iterator[tuple[str, Part]]:
    """Yield the module of a compiled function, if that is the user's own: by its file's content."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is not None and file and is_own_module(module):
        yield from whole_module(module.__name__, file, seen)


def _file_of(name: str) -> str | None:
    """Return the file of a module, if it is the user's own; the packages around it are imported to find it."""
    if name.partition(".")[0] in sys.stdlib_module_names or name == "__main__":
        return None
    try:
        finder = importlib.util if "." in name else importlib.machinery.PathFinder
        spec = finder.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # there is none: the code may not get there
        return None
    origin = None if spec is None else spec.origin
    return origin if origin is not None and is_own(name, origin) else None


def _imported(node: ast.AST, package: str) -> list[str]:
    """Return the modules that code imports."""
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
        elif isinstance(one, ast.Call) and one.args and isinstance(one.args[0], ast.Constant):
            called = one.func.attr if isinstance(one.func, ast.Attribute) else getattr(one.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(one.args[0].value, str):
                found.add(one.args[0].value)
    return sorted(found - {""})
