"""Which of the objects that code refers to are constants, and what they are, each entry by its name.

No constants, and so no part of an identity: what is used rather than read (loggers, locks, files, connections, pools of
workers, random generators, ROSE's own objects), what has no canonical form, and what the code changes itself.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any

from rose.identity.code.environment import is_secret
from rose.identity.code.modules import is_own_class
from rose.identity.code.names import Step
from rose.identity.parts import Part, shown
from rose.identity.values import Functions, value_digest

_log = logging.getLogger("rose")

Steps = tuple[Step, ...]
Changed = Callable[[type], Iterable[Steps]]  # which attributes code changes of the objects of a class

_USED = {
    "_io", "_queue", "_random", "_thread", "_weakref", "aiohttp", "asyncio", "boto3", "botocore", "concurrent",
    "contextvars", "dask", "distributed", "executorlib", "http", "httpx", "io", "itertools", "joblib", "logging",
    "loguru", "loky", "matplotlib", "mlflow", "mmap", "multiprocessing", "paramiko", "parsl", "pymongo", "queue",
    "radical", "random", "ray", "redis", "requests", "rich", "rose", "select", "selectors", "socket", "sqlalchemy",
    "sqlite3", "ssl", "structlog", "subprocess", "tempfile", "threading", "tqdm", "urllib", "urllib3", "wandb",
    "weakref", "zmq",
}  # fmt: skip
_ENTRIES = 200  # of a dict or object are named each; larger ones are one part
_DEPTH = 3


def is_used(value: Any) -> bool:
    """Return whether an object is there to be used, not read.

    >>> import random, threading
    >>> is_used(threading.Lock()), is_used(random.Random(1)), is_used({"T": 300})
    (True, True, False)
    """
    for cls in type(value).__mro__:
        top, _, rest = cls.__module__.partition(".")
        if (
            top in _USED
            or (top == "numpy" and rest.startswith("random"))
            or (top == "torch" and "Generator" in cls.__name__)
        ):
            return True
    return isinstance(value, Iterator) or hasattr(value, "cr_code")


def constants(
    name: str, value: Any, changed: Iterable[Steps], of_class: Changed, functions: Functions, home: str | None = None
) -> Iterator[tuple[str, Part]]:
    """Yield what a value is, by entries where it has names for them.

    Args:
        name: what it is called.
        value: what to look at.
        changed: the steps that lead, from the value, to what code changes: () is the value itself.
        of_class: the same, of every object of a class.
        functions: gives the digest of a function or class in it.
        home: the directory of the file that the name is of: paths inside it are taken from there.
    """
    yield from _entries(name, value, frozenset(changed), of_class, functions, home, _DEPTH)


def _entries(
    name: str,
    value: Any,
    changed: frozenset[Steps],
    of_class: Changed,
    functions: Functions,
    home: str | None,
    depth: int,
) -> Iterator[tuple[str, Part]]:
    if () in changed or is_secret(name.rpartition(".")[2]) or is_used(value):
        return
    entries = _named_entries(value) if depth else None
    if entries is not None:
        changed |= frozenset(of_class(type(value)))
    if entries is None or (len(entries) > _ENTRIES and not changed):
        if not changed:
            yield from _whole(name, value, functions, home)
        return
    if not entries or not isinstance(value, dict):  # what kind of thing it is
        yield name, Part(type(value).__qualname__)
    for step, entry in entries.items():
        inner = f"{name}.{step[1]}" if step[0] == "." else f"{name}[{step[1]!r}]"
        below = frozenset(steps[1:] for steps in changed if steps[:1] == (step,))
        yield from _entries(inner, entry, below, of_class, functions, home, depth - 1)


def _named_entries(value: Any) -> dict[Step, Any] | None:
    """The entries of a dict with texts as keys, or the attributes of an object that is only its attributes."""
    if type(value) is dict:
        return {("[", key): one for key, one in value.items()} if all(type(key) is str for key in value) else None
    cls = type(value)
    if isinstance(value, (type, tuple, list, Mapping)) or hasattr(cls, "__rose_identity__"):
        return None
    plain = isinstance(value, SimpleNamespace) or cls.__module__ == "argparse"
    plain = plain or (is_own_class(cls) and _keeps_nothing_else(cls))
    if not plain:
        return None
    held = {**getattr(value, "__dict__", {}), **{one: getattr(value, one) for one in slots(cls) if hasattr(value, one)}}
    return {(".", key): one for key, one in held.items() if not _is_cached(cls, key)}


def slots(cls: type) -> Iterator[str]:
    """Yield the attributes that a class keeps in slots.

    >>> class Point:
    ...     __slots__ = ("x", "y")
    >>> list(slots(Point))
    ['x', 'y']
    """
    for base in cls.__mro__:
        given = vars(base).get("__slots__", ())
        names = [given] if isinstance(given, str) else given
        yield from (one for one in names if one not in ("__dict__", "__weakref__"))


def _keeps_nothing_else(cls: type) -> bool:
    """Whether the objects of a class are their attributes alone."""
    said = ("__getstate__", "__reduce__", "__reduce_ex__")
    return not any(vars(base).get(name) for base in cls.__mro__ if base is not object for name in said)


def _is_cached(cls: type, name: str) -> bool:
    return any(isinstance(vars(base).get(name), functools.cached_property) for base in cls.__mro__)


def _whole(name: str, value: Any, functions: Functions, home: str | None) -> Iterator[tuple[str, Part]]:
    value = _from_home(value, home)
    try:
        digest = value_digest(value, name, functions).hex()
    except Exception as error:  # whatever the value's own code raises: it is nothing that can be compared
        _log.debug("%s is not compared when the run is resumed: %s", name, error)
        return
    yield name, Part(digest, shown(str(value) if isinstance(value, PurePath) else value))


def _from_home(value: Any, home: str | None) -> Any:
    """A path inside a program's own directory, as seen from there: the whole may be moved."""
    if home is None or not isinstance(value, (str, PurePath)) or len(str(value)) > 4096:
        return value
    text = str(value)
    if text != home and not text.startswith(home + os.sep):
        return value
    inside = os.path.relpath(text, home)
    return inside if isinstance(value, str) else type(value)(inside)
