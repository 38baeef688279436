"""The examples in the docstrings run, and say what comes out."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import rose.acquisition

MODULES = [
    "rose.scoring.calibration.measures",
    "rose.scoring.calibration.conformal",
    "rose.scoring.calibration.temperature",
] + [f"rose.acquisition.{module.name}" for module in pkgutil.iter_modules(rose.acquisition.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if name.endswith(".kernels"):
        pytest.importorskip("numba")
    result = doctest.testmod(importlib.import_module(name), extraglobs={"np": __import__("numpy")})
    assert result.failed == 0
