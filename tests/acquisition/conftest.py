"""Compiled kernels and the plain definitions, each in its turn."""

from __future__ import annotations

import numpy as np
import pytest

from rose.acquisition import tie_keys
from rose.acquisition.methods import joint, kcenter, lcmd


def drawn(n: int, seed: int = 0) -> list[int]:
    """The candidates of a pool in the order in which `acquire(seed=seed)` prefers equals."""
    return [int(i) for i in np.argsort(tie_keys(seed, np.arange(n)))]


def use_plain(patch: pytest.MonkeyPatch) -> None:
    """Make the methods behave as they do where numba is not installed."""
    for module in (joint, kcenter, lcmd):
        patch.setattr(module, "kernels", lambda: None)


@pytest.fixture(params=["compiled", "plain"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the kernels and without."""
    if request.param == "plain":
        use_plain(monkeypatch)
    else:
        pytest.importorskip("numba")
    return str(request.param)
