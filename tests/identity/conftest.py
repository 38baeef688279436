"""Programs of a user's, as modules that are loaded from text."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

Load = Any


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Runs a program's text, as a file, as a start of the program does; gives its `simulate`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    opened: list[Any] = []

    def start(text: str, name: str = "program", folder: Path = tmp_path) -> Any:
        file = folder / f"{name}.py"
        file.write_text(dedent(text))
        module = types.ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(file.read_text(), str(file), "exec"), vars(module))
        opened.append(module)
        return getattr(module, "simulate", None)

    yield start
    for module in opened:
        for name, end in (("out", "close"), ("executor", "shutdown")):
            if hasattr(module, name):
                getattr(getattr(module, name), end)()
