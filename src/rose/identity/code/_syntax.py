"""Write source code as a text that comments, layout, docstrings and Python's version do not change.

`ast.dump` and `ast.unparse` differ between versions of Python, and bytecode does from one to the next: what is written
here are the nodes of the syntax tree, without what says where they stand and without what is empty.
"""

from __future__ import annotations

import ast
import functools
import linecache
import threading
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Definition = Function | ast.ClassDef

# Python 3.11 counts the depth of all threads' trees together, and takes two at a time for an error of its own.
_PARSING = threading.Lock()

_LEFT_OUT = {"ctx", "type_comment", "kind", "type_ignores"}


def canonical(node: ast.AST, whole: bool = True) -> str:
    """Return the text of a syntax tree that its layout does not change.

    Args:
        node: a function, a class, a module, or any part of one.
        whole: False leaves out a definition's own name and decorators, which do not say what it does.

    >>> one, other = ast.parse("f(a,b) # sum"), ast.parse("f(a, b)")
    >>> canonical(one) == canonical(other)
    True
    """
    left_out = _LEFT_OUT if whole else {*_LEFT_OUT, "name", "decorator_list"}
    fields = []
    for field in node._fields:
        value = getattr(node, field, None)
        if field in left_out or value is None or value == []:
            continue
        if field == "body" and isinstance(value, list):
            value = [one for one in value if not _says_nothing(one)]
        elif isinstance(node, ast.JoinedStr):
            value = _joined(value)
        fields.append(f"{field}={_text(value)}")
    return f"{type(node).__name__}({', '.join(fields)})"


def _text(value: Any) -> str:
    if isinstance(value, ast.AST):
        return canonical(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{type(value).__name__} {value!a}"
    return f"int {value:x}"  # of any size: the decimals of large ones are refused


def _says_nothing(statement: ast.AST) -> bool:
    """Return whether a statement is a docstring, another constant that stands alone, or `pass`."""
    alone = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return alone or isinstance(statement, ast.Pass)


def _joined(values: list[Any]) -> list[Any]:
    """Return the parts of an f-string; before Python 3.12, neighbouring texts were one part."""
    found: list[Any] = []
    for value in values:
        text = value.value if isinstance(value, ast.Constant) else None
        last = found[-1].value if found and isinstance(found[-1], ast.Constant) else None
        if isinstance(text, str) and isinstance(last, str):
            found[-1] = ast.Constant(last + text)
        elif text != "":
            found.append(value)
    return found


# --- where a definition stands -------------------------------------------------------------------------------------


def file_tree(file: str, namespace: Mapping[str, Any] | None = None) -> ast.Module | None:
    """Return the syntax tree of a file, or of a notebook's cell; None where there is no source."""
    linecache.checkcache(file)
    lines = linecache.getlines(file, None if namespace is None else dict(namespace))
    return _parsed("".join(lines)) if lines else None


@functools.lru_cache(maxsize=16)
def text_tree(texts: tuple[str, ...]) -> ast.Module:
    """Return the syntax tree of several texts, one after the other, without those that are none (`%magic`)."""
    trees = [tree for tree in map(_parsed, texts) if tree is not None]
    return ast.Module([statement for tree in trees for statement in tree.body], [])


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module | None:
    for attempt in range(10):
        try:
            with _PARSING:
                return ast.parse(text)
        except (SyntaxError, ValueError):
            return None
        except SystemError:  # Python 3.11: somebody else's thread parsed meanwhile
            if attempt == 9:
                raise
    raise AssertionError("the last attempt has raised")


def find_function(code: CodeType, namespace: Mapping[str, Any]) -> tuple[Function, ast.Module] | None:
    """Return a function's node, and the file's in which it stands; None where its source is not there."""
    tree = file_tree(code.co_filename, namespace)
    if tree is None:
        return None
    found = _functions(tree).get((code.co_name, code.co_firstlineno), [])
    if len(found) > 1:
        found = [node for node in found if _arguments(node) == code.co_varnames[: len(_arguments(node))]]
    if len(found) > 1:
        found = [node for node in found if _holds(node, code)][-1:] or _all_alike(found)
    return (found[0], tree) if len(found) == 1 else None


def find_class(cls: type, tree: ast.Module) -> ast.ClassDef | None:
    """Return the node of a class in its file: the last one that is called so."""
    found = [node for name, node in _qualified(tree, "") if name == cls.__qualname__]
    return found[-1] if found else None


def enclosing(node: ast.AST, tree: ast.Module) -> list[Function]:
    """Return the functions of a file inside which a node stands."""
    return _around(tree).get(node, [])


@functools.lru_cache(maxsize=64)
def _functions(tree: ast.Module) -> dict[tuple[str, int], list[Function]]:
    """Return all functions of a file, by their names and first lines."""
    found: dict[tuple[str, int], list[Function]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            found.setdefault((_name(node), _first(node)), []).append(node)
    return found


@functools.lru_cache(maxsize=64)
def _around(tree: ast.Module) -> dict[ast.AST, list[Function]]:
    """Return the functions around each function of a file."""
    found: dict[ast.AST, list[Function]] = {}
    pending: list[tuple[ast.AST, list[Function]]] = [(tree, [])]
    while pending:
        node, around = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            found[node] = around
            around = [*around, node]
        pending += [(child, around) for child in ast.iter_child_nodes(node)]
    return found


def _name(node: Function) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else node.name


def _first(node: Function) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(one.lineno for one in decorators)])


def _arguments(node: Function) -> tuple[str, ...]:
    given = node.args
    return tuple(one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs))


def _holds(node: Function, code: CodeType) -> bool:
    """Return whether all instructions of some code come from inside a node's body."""
    body = node.body if isinstance(node, ast.Lambda) else None
    if body is None or body.end_lineno is None or body.end_col_offset is None:
        return False
    first, last = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    for line, end_line, column, end_column in code.co_positions():
        if line is None or end_line is None or column is None or end_column is None:
            continue
        if (line, column) == (end_line, end_column) or (line == code.co_firstlineno and column == end_column == 0):
            continue  # what a function begins with
        if not first <= (line, column) or not (end_line, end_column) <= last:
            return False
    return True


def _all_alike(nodes: list[Function]) -> list[Function]:
    return nodes[:1] if len({canonical(node, whole=False) for node in nodes}) == 1 else nodes


def _qualified(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            yield from _qualified(child, f"{prefix}{child.name}.")
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _qualified(child, f"{prefix}{child.name}.<locals>.")
        else:
            yield from _qualified(child, prefix)
