"""Rebuild the user's main module in a worker: what tasks reach of the driver's, found by name.

The script is not run again. Its names come in parts (see `rose.engine.shipping.program`), each loaded when a task first
needs it, and again only when the driver's has changed: until then what tasks do to it (caches, counters) stays.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from rose.engine.shipping.array_files import array_again, elsewhere, here

if TYPE_CHECKING:
    import numpy as np

_ENTERED = "ROSE_MAIN_ENTERED"  # tells processes that a task starts what it has entered
CACHED = 64  # manifests that a worker keeps: of as many kinds of tasks


class ProgramPart(NamedTuple):
    """Hold names that are loaded together, pickled; where `body` is too long to be sent often, it is a file's path."""

    names: tuple[str, ...]
    version: bytes
    body: bytes | str


@dataclass(frozen=True)
class Manifest:
    """Hold what a task finds in its main module.

    Attributes:
        program: tells the main modules of several drivers apart.
        facts: the module's own attributes (`__file__`, `__package__`, ...).
            parts: each after those that it needs to be loaded.
        arrays: the files of the large arrays, by digest.
    """

    program: str
    facts: Mapping[str, Any]
    parts: tuple[ProgramPart, ...]
    arrays: Mapping[str, str] = field(default_factory=dict)


class _Spec(ModuleSpec):
    """Have processes that a task spawns run `rose.engine.shipping._spawned` instead of the user's script."""

    def __init__(self, package: str | None) -> None:
        super().__init__("rose.engine.shipping._spawned", None)
        self._package = package

    @property
    def parent(self) -> str | None:
        """Return what relative imports start from: the script's package."""
        return self._package


class _Main:
    def __init__(self) -> None:
        self.module = ModuleType("__main__")
        self.loaded: dict[str, tuple[tuple[str, ...], bytes]] = {}  # by name: the part that it came with

    def bring(self, manifest: Manifest) -> None:
        """Load those parts that are not there yet."""
        global _arrays
        if not self.loaded:
            self.module.__dict__.update(manifest.facts)
            self.module.__spec__ = _Spec(manifest.facts.get("__package__"))
        for names, version, body in manifest.parts:
            if all(self.loaded.get(name) == (names, version) for name in names):
                continue
            _arrays = manifest.arrays
            if isinstance(body, str):
                with open(here(body), "rb") as file:
                    values = pickle.load(file)
            else:
                values = pickle.loads(body)
            self.module.__dict__.update(values)
            self.loaded.update(dict.fromkeys(names, (names, version)))


_mains: dict[str, _Main] = {}
_manifests: OrderedDict[str, Manifest] = OrderedDict()
_entered: tuple[str, _Main] | None = None
_arrays: Mapping[str, str] = {}


def enter(path: str) -> None:
    """Put what a manifest names into `__main__`, as the task that comes now needs it."""
    global _entered
    if _entered is not None and _entered[0] == path:
        sys.modules["__main__"] = _entered[1].module
        return
    manifest = _manifests.get(path)
    if manifest is None:
        with open(here(path), "rb") as file:
            manifest = _manifests[path] = pickle.load(file)
        while len(_manifests) > CACHED:
            _manifests.popitem(last=False)
    main = _mains.setdefault(manifest.program, _Main())
    sys.modules["__main__"] = main.module
    _entered = None
    main.bring(manifest)
    _entered = path, main
    os.environ[_ENTERED] = json.dumps([path, elsewhere])


def enter_again() -> None:
    """Enter what the parent process has entered."""
    path, elsewhere = json.loads(os.environ[_ENTERED])
    elsewhere.update(elsewhere)
    enter(path)


def knows(name: str) -> bool:
    """Return whether the driver's main module has that name, too."""
    main = None if _entered is None else _entered[1]
    return main is not None and name in main.loaded and sys.modules.get("__main__") is main.module


@contextmanager
def borrowed() -> Iterator[None]:
    """Give a process that is somebody else's its own main module back in the end."""
    own = sys.modules["__main__"]
    try:
        yield
    finally:
        sys.modules["__main__"] = own


def namespace() -> dict[str, Any]:
    """Return the globals of what the script defines."""
    return sys.modules["__main__"].__dict__


def shipped_array(digest: str) -> np.ndarray[Any, Any]:
    """Return a large array of the main module; changes stay in this process."""
    return array_again(_arrays[digest])
