"""Which names hold what differs from start to start by its nature: the time, a process's number, a temporary directory.

Read from the source: `started = time.time()`, and what is made of it. Of `Config(T=300, start=time.time())` and of a
dict that is written out, only the entry is.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

from rose.identity.code.names import Path, Step

# What is called to learn it, as it is imported; one that ends with a dot stands for all of a module.
_MOMENTS = (
    "time.", "uuid.", "tempfile.", "secrets.", "getpass.", "platform.", "socket.gethost", "socket.getfqdn",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "os.getpid", "os.getppid", "os.uname", "os.getlogin", "os.urandom", "os.cpu_count", "os.sched_getaffinity",
    "multiprocessing.current_process", "multiprocessing.cpu_count", "threading.get_ident", "threading.current_thread",
    "pandas.Timestamp.now", "sys.executable", "sys.prefix", "sys.base_prefix",
)  # fmt: skip


@functools.lru_cache(maxsize=256)
def momentary(scope: ast.AST, tree: ast.Module) -> frozenset[Path]:
    """Return the paths, from the names that a scope of a file binds, of what differs from start to start.

    >>> tree = ast.parse("import time\\nbegun = time.time()\\nlog = f'{begun}.log'\\nT = 300")
    >>> sorted(momentary(tree, tree))
    [('begun',), ('log',)]
    """
    aliases = _aliases(tree)
    found: set[Path] = set()
    assigned = list(assignments(scope))
    for _ in range(len(assigned) + 1):
        more = {(*path, *steps) for path, value in assigned for steps in _moments(value, aliases, found)}
        if more <= found:
            break
        found |= more
    return frozenset(found)


def momentary_arguments(node: ast.AST, tree: ast.Module) -> set[str]:
    """Return the arguments of a function whose defaults differ from start to start."""
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return set()
    given, aliases = node.args, _aliases(tree)
    positional = [*given.posonlyargs, *given.args]
    pairs = [*zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True)]
    pairs += [(one, its) for one, its in zip(given.kwonlyargs, given.kw_defaults, strict=True) if its is not None]
    known = set(momentary(tree, tree))
    return {one.arg for one, its in pairs if any(_is_moment(inner, aliases, known) for inner in ast.walk(its))}


def assignments(scope: ast.AST) -> Iterator[tuple[Path, ast.expr]]:
    """Yield what a scope assigns, without the functions and classes inside it: names (and `self.x`) with their values.

    >>> [(path, value.lineno) for path, value in assignments(ast.parse("a = 1\\nwith open('f') as b: c, d = b"))]
    [(('a',), 1), (('b',), 2), (('c',), 2), (('d',), 2)]
    """
    for node in _here(scope):
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)) and node.value is not None:
            targets, value = [node.target], node.value
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            targets, value = [node.optional_vars], node.context_expr
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            targets, value = [node.target], node.iter
        else:
            continue
        for target in targets:
            yield from _assigned(target, value)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[Path, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, its in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, its)
        return
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield (node.id,), value
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield (node.value.id, (".", node.attr)), value


def _here(scope: ast.AST) -> Iterator[ast.AST]:
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, inner):
            yield child
            yield from _here(child)


def _moments(value: ast.expr, aliases: dict[str, str], known: set[Path]) -> Iterator[tuple[Step, ...]]:
    """The parts of a value that differ from start to start; () where that is all of it."""
    entries: list[tuple[Step, ast.expr]] = []
    if isinstance(value, ast.Dict) and all(isinstance(key, ast.Constant) for key in value.keys):
        entries = [
            (("[", key.value), one)
            for key, one in zip(value.keys, value.values, strict=True)
            if isinstance(key, ast.Constant)
        ]
    elif isinstance(value, ast.Call) and value.keywords and not _named(value.func, aliases).startswith(_MOMENTS):
        of_dict = isinstance(value.func, ast.Name) and value.func.id == "dict"
        kind = "[" if of_dict else "."
        entries = [((kind, one.arg), one.value) for one in value.keywords if one.arg is not None]
        if any(_is_moment(inner, aliases, known) for one in value.args for inner in ast.walk(one)):
            yield ()
        if any(_is_moment(one, aliases, known) for one in value.keywords):
            yield ()
    if entries:
        for step, one in entries:
            yield from ((step, *rest) for rest in _moments(one, aliases, known))
    elif any(_is_moment(node, aliases, known) for node in ast.walk(value)):
        yield ()


def _is_moment(node: ast.AST, aliases: dict[str, str], known: set[Path]) -> bool:
    if isinstance(node, ast.Name) and (node.id,) in known:
        return True
    of_name = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    if of_name and (node.value.id, (".", node.attr)) in known:  # type: ignore[attr-defined]
        return True
    if isinstance(node, ast.keyword) and node.arg in ("default_factory", "factory"):  # a dataclass calls it
        return _named(node.value, aliases).startswith(_MOMENTS)
    if isinstance(node, ast.Call):
        return _named(node.func, aliases).startswith(_MOMENTS)
    return isinstance(node, ast.Attribute) and _named(node, aliases).startswith(("sys.executable", "sys.prefix"))


def _named(node: ast.AST, aliases: dict[str, str]) -> str:
    """How something that is imported is called in full; "" for what is not."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in aliases:
        return ""
    return ".".join([aliases[node.id], *reversed(names)])


@functools.lru_cache(maxsize=64)
def _aliases(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            tops = [(one, one.name.partition(".")[0]) for one in node.names]
            found |= {one.asname or top: one.name if one.asname else top for one, top in tops}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return found
