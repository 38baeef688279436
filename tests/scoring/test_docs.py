"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import rose.scoring

MODULES = ["rose.scoring"] + [
    f"rose.scoring.{m.name}" for m in pkgutil.iter_modules(rose.scoring.__path__) if m.name != "_kernels"
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
