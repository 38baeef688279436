"""Find what a piece of code refers to by name, and what of that it changes itself."""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from rose.identity.code._scopes import argument_names, bound_by, bound_in
from rose.identity.code._syntax import Function

Step = tuple[str, Any]  # (".", attribute) or ("[", constant key)
Path = tuple[Any, ...]  # a name, then steps

SELF = "(self)"  # the root of paths that begin with a method's own object

# Methods that change the object they are called on, and functions that change their first argument.
_CHANGING = {
    "add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "fill", "fit", "insert", "partial_fit",
    "pop", "popitem", "popleft", "put", "put_nowait", "remove", "resize", "reverse", "send", "setdefault", "sort",
    "subtract", "update", "write", "writelines",
}  # fmt: skip
_CHANGING_FIRST = ("copyto", "delattr", "heapify", "heappop", "heappush", "insort", "next", "setattr", "shuffle")
_SHELLS = ("system", "popen", "expandvars", "getoutput", "getstatusoutput", "create_subprocess_shell")
_KEYED = ("get", "getenv", "pop", "setdefault")  # called with a constant, they look one thing up


@dataclass
class References:
    """Hold what code refers to.

    Attributes:
        paths: free names, each with the attributes and constant keys that follow: `("settings", ("[", "T"))`.
        changed: those that it assigns to, or changes by a method that does so (with the method's name, else "").
        attributes: the names of all attributes that it uses.
        arguments: of a function: those of its arguments that it changes.
        texts: all constant texts in it.
        shell: whether it has a shell, or a function like one, look up variables.
        keys: names that it looks up in what a path leads to: `environ[KEY]` is `("environ",), ("KEY",)`.
    """

    paths: set[Path] = field(default_factory=set)
    changed: set[tuple[Path, str]] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    arguments: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    keys: set[tuple[Path, Path]] = field(default_factory=set)
    shell: bool = False


def references(node: ast.AST, method: bool = False) -> References:
    """Return what a function, or the statements of a class, refer to.

    Args:
        node: its syntax tree. Of a function, defaults and decorators are not looked at: they have been evaluated.
        method: whether the first argument is the object that it is a method of, `SELF`.
    """
    found = References()
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        arguments = argument_names(node)
        receiver = arguments[0] if method and arguments else None
        inside: list[ast.AST] = [*(node.body if isinstance(node.body, list) else [node.body])]
        kept = set(arguments) - {receiver} - bound_by(inside)  # one that is bound anew may be a copy
        _Reader(found, bound_in(node), receiver, kept).all_of(inside)
    else:
        body = node.body if isinstance(node, ast.ClassDef) else [node]
        _Reader(found, set(), None, set()).all_of([*body, *(node.bases if isinstance(node, ast.ClassDef) else [])])
    return found


def references_of_code(code: CodeType) -> References:
    """Return what code refers to of which there is no source, as far as its instructions tell."""
    found = References()
    path: Path | None = None
    for instruction in dis.get_instructions(code):
        name, value = instruction.opname, instruction.argval
        if name.startswith("LOAD_ATTR") or name == "LOAD_METHOD":
            found.attributes.add(value)
            path = None if path is None else (*path, (".", value))
        else:
            _take(found, path)
            path = (value,) if name in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF") else None
        if name in ("STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL"):
            found.changed.add(((value,), ""))
    _take(found, path)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = references_of_code(constant)
            found.paths |= inner.paths
            found.changed |= inner.changed
            found.attributes |= inner.attributes
            found.texts |= inner.texts
        elif isinstance(constant, str):
            found.texts.add(constant)
    return found


def _take(found: References, path: Path | None) -> None:
    if path is not None:
        found.paths.add(path)
        if len(path) > 1 and path[-1][1] in _CHANGING:
            found.changed.add((path[:-1], path[-1][1]))


class _Reader(ast.NodeVisitor):
    """Read one scope and those inside it.

    Args:
        found: where to.
        bound: the names that are the scope's own, or of scopes around it that are read too.
        receiver: the name of the object that a method is called on.
        arguments: the names of the outermost function's other arguments.
    """

    def __init__(self, found: References, bound: set[str], receiver: str | None, arguments: set[str]) -> None:
        self._found = found
        self._bound = bound
        self._receiver = receiver
        self._arguments = arguments

    def all_of(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _inside(self, names: set[str]) -> _Reader:
        receiver = None if self._receiver in names else self._receiver
        return _Reader(self._found, self._bound | names, receiver, self._arguments - names)

    # --- scopes ----------------------------------------------------------------------------------------------------

    def _function(self, node: Function) -> None:
        defaults = [one for one in (*node.args.defaults, *node.args.kw_defaults) if one is not None]
        self.all_of([*defaults, *getattr(node, "decorator_list", [])])
        self._inside(bound_in(node)).all_of(node.body if isinstance(node.body, list) else [node.body])

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.all_of([*node.bases, *(one.value for one in node.keywords), *node.decorator_list])
        own = bound_by(node.body)
        for statement in node.body:
            method = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
            (self if method else self._inside(own)).visit(statement)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        own = {name for one in node.generators for name in bound_by([one.target])}
        self.visit(node.generators[0].iter)
        inner = self._inside(own)
        for place, one in enumerate(node.generators):
            inner.all_of([*([one.iter] if place else []), *one.ifs])
        inner.all_of([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    # --- names -----------------------------------------------------------------------------------------------------

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._found.texts.add(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """Skip annotations: they are not evaluated when the function runs."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.all_of([node.target, *([node.value] if node.value is not None else [])])

    def visit_Call(self, node: ast.Call) -> None:
        steps, root = self._steps(node.func)
        last = steps[-1][1] if steps and steps[-1] is not None else root.id if isinstance(root, ast.Name) else None
        first = node.args[0] if node.args else None
        named = {one.arg: one.value for one in node.keywords}
        self._found.shell |= last in _SHELLS or (isinstance(named.get("shell"), ast.Constant))
        if last in _CHANGING and isinstance(node.func, ast.Attribute):
            for changed in _entries_changed(node, str(last)):
                self._change(changed, str(last))
        if "out" in named:
            self._change(named["out"], "")
        if last in _CHANGING_FIRST and first is not None:
            self._change(first, "next" if last == "next" else "")
        if last in _KEYED and isinstance(first, ast.Constant) and None not in steps:
            self._refer(root, [*steps, ("[", first.value)])
            self._found.attributes |= {value for kind, value in filter(None, steps) if kind == "."}
            if isinstance(root, ast.Name):
                self.all_of([*node.args, *(one.value for one in node.keywords)])
                return
        elif last in _KEYED and first is not None:
            self._look_up(node.func, first)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if isinstance(node.ops[0], (ast.In, ast.NotIn)) and isinstance(node.left, ast.Constant):
            steps, root = self._steps(node.comparators[0])
            if None not in steps:
                self._refer(root, [*steps, ("[", node.left.value)])
        self.generic_visit(node)

    def _look_up(self, node: ast.AST, key: ast.AST) -> None:
        (steps, root), (key_steps, key_root) = self._steps(node), self._steps(key)
        where, named = self._path(root, steps), self._path(key_root, key_steps)
        if where is not None and named is not None and None not in (*steps, *key_steps):
            self._found.keys.add((where, named))

    def _chain(self, node: ast.Name | ast.Attribute | ast.Subscript) -> None:
        steps, root = self._steps(node)
        inner: ast.AST = node
        while isinstance(inner, (ast.Attribute, ast.Subscript)):
            if isinstance(inner, ast.Subscript):
                self._look_up(inner.value, inner.slice)
                self.visit(inner.slice)
            inner = inner.value
        self._found.attributes |= {value for kind, value in filter(None, steps) if kind == "."}
        if not isinstance(root, ast.Name):
            self.visit(root)
            return
        if not isinstance(node.ctx, ast.Load):
            self._change(node, "")
            steps = steps[:-1]
            if isinstance(node, ast.Name):
                return
        self._refer(root, steps)

    visit_Name = visit_Attribute = visit_Subscript = _chain

    def _steps(self, node: ast.AST) -> tuple[list[Step | None], ast.AST]:
        """Return what follows a root, None for what is only known when it runs; and the root."""
        steps: list[Step | None] = []
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            if isinstance(node, ast.Attribute):
                steps.append((".", node.attr))
            else:
                key = node.slice
                steps.append(("[", key.value) if isinstance(key, ast.Constant) else None)
            node = node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type" and steps:
            node = node.args[0] if len(node.args) == 1 else node  # type(self).count is an attribute as others are
        return steps[::-1], node

    def _path(self, root: ast.AST, steps: list[Step | None]) -> Path | None:
        if not isinstance(root, ast.Name):
            return None
        if root.id == self._receiver:
            name = SELF
        elif root.id in self._bound:
            return None
        else:
            name = root.id
        known = steps[: steps.index(None)] if None in steps else steps
        return (name, *known)

    def _refer(self, root: ast.AST, steps: list[Step | None]) -> None:
        path = self._path(root, steps)
        if path is not None:
            self._found.paths.add(path)

    def _change(self, node: ast.AST, how: str) -> None:
        steps, root = self._steps(node)
        path = self._path(root, steps)
        if path is not None:
            self._found.changed.add((path, how))
        elif isinstance(root, ast.Name) and root.id in self._arguments:
            self._found.arguments.add(root.id)


def _entries_changed(node: ast.Call, how: str) -> list[ast.expr]:
    """Return what a method that changes its object changes: of a dict, the entries that the call names."""
    assert isinstance(node.func, ast.Attribute)
    target = node.func.value
    keys: list[ast.expr] = []
    if how == "update" and node.keywords and not node.args and all(one.arg is not None for one in node.keywords):
        keys = [ast.Constant(one.arg) for one in node.keywords]
    elif how in ("pop", "setdefault") and node.args and isinstance(node.args[0], ast.Constant):
        keys = [node.args[0]] if isinstance(node.args[0].value, str) else []
    return [ast.Subscript(target, key, ast.Load()) for key in keys] or [target]
