"""Packages laid out as pip would, and the registries as they are in a program that has just begun."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def install(folder: Path, name: str, module: str, entry_points: str) -> None:
    """Lay out a distribution of one module in a folder that is on the path."""
    (folder / f"{name}.py").write_text(module)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)


@contextmanager
def fresh(*registries: Any) -> Iterator[None]:
    """Have registries look for installed packages anew, and forget what is registered meanwhile."""
    before = [dict(vars(registry)) for registry in registries]
    modules = set(sys.modules)
    for registry in registries:
        vars(registry).update(
            _entries=dict(registry._entries), _aliases=dict(registry._aliases), _points=None, _broken={}
        )
    try:
        yield
    finally:
        for registry, was in zip(registries, before, strict=True):
            vars(registry).update(was)
        for name in set(sys.modules) - modules:
            if not name.startswith("rose"):
                sys.modules.pop(name)
