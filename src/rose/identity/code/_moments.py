"""Find names that hold what differs between starts by nature: the time, a process's number, a temporary directory.

Read from the source: `started = time.time()`, and what is made of it. Of `Config(T=300, start=time.time())` and of a
dict that is written out, only the entry is.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rose.identity.code._names import Path, Step

# What is called to learn it, as it is imported; one that ends with a dot stands for all of a module.
_MOMENTS = (
    "time.", "uuid.", "tempfile.", "secrets.", "getpass.", "platform.node", "platform.uname",
    "platform.platform", "platform.release", "platform.version", "socket.gethost", "socket.getfqdn",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "os.getpid", "os.getppid", "os.uname", "os.getlogin", "os.urandom", "os.cpu_count", "os.sched_getaffinity",
    "multiprocessing.current_process", "multiprocessing.cpu_count", "threading.get_ident", "threading.current_thread",
    "pandas.Timestamp.now", "sys.executable", "sys.prefix", "sys.base_prefix", "os.times",
    "os.getloadavg", "shutil.disk_usage", "psutil.", "os.path.getmtime", "os.path.getatime", "os.path.getctime",
    "resource.getrusage", "pandas.Timestamp.today", "pandas.Timestamp.utcnow", "numpy.datetime64.now",
    "multiprocessing.active_children", "threading.get_native_id", "threading.main_thread", "asyncio.get_event_loop",
)  # fmt: skip
_BUILTIN = ("id", "hash")  # of a text, the hash is another in each process
_CALLS = 5  # functions that call one another, deep


Steps = tuple[Step, ...]
Returned = Mapping[str, frozenset[Steps]]  # functions, as they are called, and which parts of what they return differ


@functools.lru_cache(maxsize=256)
def momentary(
    scope: ast.AST, tree: ast.Module, others: tuple[tuple[str, frozenset[Steps]], ...] = ()
) -> frozenset[Path]:
    """Return the paths, from the names that a scope of a file binds, of what differs from start to start.

    Args:
        scope: the file, or a function or class in it.
        tree: the file.
        others: the functions of other files that return such, as they are called here.

    >>> tree = ast.parse("import time\\nbegun = time.time()\\nlog = f'{begun}.log'\\nT = 300")
    >>> sorted(momentary(tree, tree))
    [('begun',), ('log',)]
    """
    return _found(scope, _Known(_aliases(tree), {**returned(tree), **dict(others)}, set()))


@functools.lru_cache(maxsize=64)
def returned(tree: ast.Module) -> Returned:
    """Return the functions of a file that return what differs from start to start; methods by their names alone.

    >>> dict(returned(ast.parse("import time\\ndef stamp(): return time.time()\\ndef f(): return 1")))
    {'stamp': frozenset({()})}
    """
    found: dict[str, frozenset[Steps]] = {}
    nodes = [one for one in ast.walk(tree) if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
    methods = {one for body in ast.walk(tree) if isinstance(body, ast.ClassDef) for one in body.body}
    for _ in range(_CALLS):
        before = dict(found)
        outside = _found(tree, _Known(_aliases(tree), found, set()))
        for node in nodes:
            known = _Known(_aliases(tree), found, set(outside))
            known = known._replace(paths=known.paths | _found(node, known))
            given = [one.value for one in _here(node) if isinstance(one, ast.Return) and one.value is not None]
            ways = frozenset(way for one in given for way in _moments(one, known))
            if ways:
                found[f".{node.name}" if node in methods else node.name] = ways
        if found == before:
            break
    return found


def momentary_arguments(node: ast.AST, tree: ast.Module) -> set[str]:
    """Return the arguments of a function whose defaults differ from start to start."""
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return set()
    given, known = node.args, _Known(_aliases(tree), returned(tree), set(momentary(tree, tree)))
    positional = [*given.posonlyargs, *given.args]
    pairs = [*zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True)]
    pairs += [(one, its) for one, its in zip(given.kwonlyargs, given.kw_defaults, strict=True) if its is not None]
    return {one.arg for one, its in pairs if any(_is_moment(inner, known) for inner in ast.walk(its))}


class _Known(NamedTuple):
    """Hold what is known where an expression stands: the names of what is imported, functions, and what differs."""

    aliases: dict[str, str]
    functions: Returned
    paths: set[Path]


def _found(scope: ast.AST, known: _Known) -> frozenset[Path]:
    found: set[Path] = set()
    assigned = list(assignments(scope))
    for _ in range(len(assigned) + 1):
        now = known._replace(paths=known.paths | found)
        more = {(*path, *steps) for path, value in assigned for steps in _moments(value, now)}
        if more <= found:
            break
        found |= more
    return frozenset(found)


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
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and isinstance(node.slice, ast.Constant)
        ):
            yield (node.value.id, ("[", node.slice.value)), value


def _here(scope: ast.AST) -> Iterator[ast.AST]:
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, inner):
            yield child
            yield from _here(child)


def _moments(value: ast.expr, known: _Known) -> Iterator[Steps]:
    """Yield the parts of a value that differ from start to start; () where that is all of it."""
    entries: list[tuple[Step, ast.expr]] = []
    if isinstance(value, ast.Name):
        yield from (path[1:] for path in known.paths if path[0] == value.id)
        return
    if isinstance(value, ast.Call) and (ways := known.functions.get(_called(value.func, known))) is not None:
        yield from ways
        return
    if isinstance(value, ast.Dict) and all(isinstance(key, ast.Constant | None) for key in value.keys):
        for key, one in zip(value.keys, value.values, strict=True):
            yield from _moments(one, known) if key is None else ()
        entries = [
            (("[", key.value), one)
            for key, one in zip(value.keys, value.values, strict=True)
            if isinstance(key, ast.Constant)
        ]
    elif isinstance(value, (ast.List, ast.Tuple)) and not any(isinstance(one, ast.Starred) for one in value.elts):
        entries = [(("[", place), one) for place, one in enumerate(value.elts)]
    elif isinstance(value, ast.Call) and value.keywords and not _is_known(value.func, known):
        of_dict = isinstance(value.func, ast.Name) and value.func.id == "dict"
        kind = "[" if of_dict else "."
        entries = [((kind, one.arg), one.value) for one in value.keywords if one.arg is not None]
        if any(_is_moment(inner, known) for one in value.args for inner in ast.walk(one)):
            yield ()
        if any(_is_moment(one, known) for one in value.keywords):
            yield ()
    if entries:
        for step, one in entries:
            yield from ((step, *rest) for rest in _moments(one, known))
    elif any(_is_moment(node, known) for node in ast.walk(value)):
        yield ()


def _is_moment(node: ast.AST, known: _Known) -> bool:
    if isinstance(node, ast.Name) and (node.id,) in known.paths:
        return True
    of_name = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    if of_name and (node.value.id, (".", node.attr)) in known.paths:  # type: ignore[attr-defined]
        return True
    if isinstance(node, ast.keyword) and node.arg in ("default_factory", "factory"):  # a dataclass calls it
        return any(_is_known(one, known) for one in ast.walk(node.value))
    if isinstance(node, ast.Call):
        return _is_known(node.func, known)
    return isinstance(node, ast.Attribute) and _named(node, known.aliases).startswith(("sys.executable", "sys.prefix"))


def _is_known(node: ast.AST, known: _Known) -> bool:
    """Return whether it is a function whose result differs from start to start, all of it."""
    called = _called(node, known)
    return called in _BUILTIN or called.startswith(_MOMENTS) or () in known.functions.get(called, ())


def _called(node: ast.AST, known: _Known) -> str:
    """Return what a function is called: in full, if it is imported; a method of anything: its name behind a dot."""
    if isinstance(node, ast.Name):
        name = known.aliases.get(node.id, "")
        return node.id if node.id in known.functions or not name else name
    if not isinstance(node, ast.Attribute):
        return ""
    written = ast.unparse(node)
    if written in known.functions:
        return written
    return _named(node, known.aliases) or f".{node.attr}"


def _named(node: ast.AST, aliases: dict[str, str]) -> str:
    """Return how something that is imported is called in full; "" for what is not."""
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
    for path, value in assignments(tree):  # `now = datetime.now`
        if len(path) == 1 and path[0] not in found and (name := _named(value, found)):
            found[path[0]] = name
    return found
