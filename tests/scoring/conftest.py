"""Both ways of computing statistics, and stacked predictions to compute them from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rose.scoring import compiled


@pytest.fixture(params=["numpy", "numba"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once over the NumPy definitions and once over the compiled kernels."""
    use_path(monkeypatch, request.param)
    return str(request.param)


def use_path(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "numba":
        pytest.importorskip("numba")
        assert compiled.kernels() is not None
    monkeypatch.setattr(compiled, "WORTHWHILE", 0 if name == "numba" else 1 << 62)


@pytest.fixture
def numpy_then_numba(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """Call a function over the definitions, then over the kernels."""
    pytest.importorskip("numba")

    def both(function: Callable[[], Any]) -> tuple[Any, Any]:
        monkeypatch.setattr(compiled, "WORTHWHILE", 1 << 62)
        first = function()
        monkeypatch.setattr(compiled, "WORTHWHILE", 0)
        return first, function()

    return both


def probabilities(members: int, n: int, classes: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    """`[S, N, C]`, some of them nearly sure."""
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), size=(members, n)).astype(dtype)


def values(members: int, n: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    """`[S, N]`, of different spread per candidate."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(members, n)) * rng.gamma(1.0, size=n) + rng.normal(size=n)).astype(dtype)
