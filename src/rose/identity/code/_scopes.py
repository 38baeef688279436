"""Find the names that a scope binds."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from rose.identity.code._syntax import Function


class _Scope(ast.NodeVisitor):
    """Collect the names that a scope binds, without those of scopes inside it."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.outer: set[str] = set()  # declared global or nonlocal

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.bound.add(node.name)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Skip a lambda: it is a scope of its own."""

    def _comprehension(self, node: ast.AST) -> None:
        self.bound |= {one.target.id for one in ast.walk(node) if isinstance(one, ast.NamedExpr)}

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.bound |= {(one.asname or one.name).partition(".")[0] for one in node.names}

    visit_Import = visit_ImportFrom = _import

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.bound |= {node.name} if node.name else set()
        self.generic_visit(node)

    def _pattern(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.bound |= {node.name} if node.name else set()
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = _pattern

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.bound |= {node.rest} if node.rest else set()
        self.generic_visit(node)

    def _outer(self, node: ast.Global | ast.Nonlocal) -> None:
        self.outer |= set(node.names)

    visit_Global = visit_Nonlocal = _outer


def bound_by(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that statements bind in their own scope.

    >>> sorted(bound_by(ast.parse("global c\\na = [b for b in x]\\nc = 1\\ndef d(): e = 2").body))
    ['a', 'd']
    """
    scope = _Scope()
    for node in nodes:
        scope.visit(node)
    return scope.bound - scope.outer


def bound_in(node: Function) -> set[str]:
    """Return the names that a function binds, its arguments among them."""
    return {*argument_names(node), *bound_by(node.body if isinstance(node.body, list) else [node.body])}


def argument_names(node: Function) -> list[str]:
    """Return the names of a function's arguments, in order."""
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one.arg for one in every if one is not None]
