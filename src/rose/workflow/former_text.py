"""The texts by which the first version of ROSE knew values and functions: of objects, the names of their types.

They are compared with what runs of that version have recorded, so they do not change.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

import numpy as np


def digest_of_text(*parts: Any) -> str:
    """Return the digest of what these print."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def plain_text(value: Any) -> Any:
    """Return a value as far as its text is the same in every process: of other objects, their types."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.shape, str(value.dtype), hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
    if isinstance(value, Mapping):
        return sorted((str(key), repr(plain_text(entry))) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return [plain_text(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(plain_text(entry)) for entry in value)
    if hasattr(value, "__code__"):
        return former_function(value) if not getattr(value, "__closure__", None) else value.__qualname__
    return f"{type(value).__module__}.{type(value).__qualname__}"


def former_function(func: Any) -> str:
    """Return a digest of a function's own text, defaults and closure."""
    if isinstance(func, functools.partial):
        return digest_of_text(former_function(func.func), plain_text(func.args), plain_text(func.keywords))
    if not hasattr(func, "__code__"):
        inner = getattr(func, "__func__", None) or vars(type(func)).get("__call__")
        if hasattr(inner, "__code__"):
            return former_function(inner)
        return digest_of_text(getattr(func, "__module__", ""), getattr(func, "__qualname__", type(func).__qualname__))
    closed = inspect.getclosurevars(func).nonlocals if func.__closure__ else {}
    return digest_of_text(
        _source(func), plain_text(func.__defaults__), plain_text(func.__kwdefaults__), plain_text(closed)
    )


def _source(func: Callable[..., Any]) -> str:
    try:
        return _text(ast.parse(textwrap.dedent(inspect.getsource(func))), func.__name__)
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or a lambda inside a larger expression
        return repr(_code(func.__code__))


def _text(tree: ast.Module, name: str) -> str:
    """The text of a function alone: without its decorators, which say how it is run, and its docstring."""
    first = tree.body[0]
    if isinstance(first, (ast.FunctionDef, ast.AsyncFunctionDef)):
        first.decorator_list = []
        if ast.get_docstring(first) is not None:
            first.body[0] = ast.Pass()
        return ast.unparse(first)
    lambdas = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return ast.unparse(lambdas[0] if name == "<lambda>" and len(lambdas) == 1 else tree)


def _code(code: CodeType) -> tuple[Any, ...]:
    constants = [_code(const) if isinstance(const, CodeType) else plain_text(const) for const in code.co_consts]
    return code.co_code, constants, code.co_names
