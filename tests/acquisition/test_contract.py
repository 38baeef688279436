"""The contract of acquisition methods, over all that are built in, with the compiled kernels and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rose.acquisition import acquire
from rose.testing import AcquisitionContract
from tests.acquisition.conftest import use_plain

BUILT_IN = [
    "alc", "auto", "badge", "batchbald", "diverse", "exploring", "facility_location", "kcenter", "lcmd", "maxdet",
    "power", "random", "softmax", "softrank", "top_k",
]  # fmt: skip
COMPILED = ["batchbald", "kcenter", "lcmd"]


class Plain(AcquisitionContract):
    """The contract over the plain definitions."""

    @pytest.fixture(autouse=True)
    def plain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        use_plain(monkeypatch)


def contract(name: str, base: type) -> type:
    """The contract of one method, as a class that pytest collects."""
    return type(f"Test_{name}", (base,), {"method": name, "__module__": __name__})


globals().update({f"Test_{name}": contract(name, AcquisitionContract) for name in BUILT_IN})
globals().update({f"Test_plain_{name}": contract(name, Plain) for name in COMPILED})


@pytest.mark.parametrize("method", BUILT_IN)
def test_equal_costs_change_nothing(method: str) -> None:
    rng = np.random.default_rng(0)
    question: dict[str, Any] = {
        "scores": rng.random(40), "features": rng.normal(size=(40, 5)), "mc_preds": rng.dirichlet([1, 1, 1], (4, 40)),
        "labelled": [1, 2], "pending": [3],
    }  # fmt: skip
    assert (
        acquire(k=5, method=method, **question).tolist() == acquire(k=5, method=method, cost=1.0, **question).tolist()
    )


@pytest.mark.parametrize("method", ["diverse", "power", "random"])
def test_the_seed_matters(method: str) -> None:
    rng = np.random.default_rng(0)
    question: dict[str, Any] = {
        "scores": rng.random(200), "features": rng.normal(size=(200, 5)), "mc_preds": rng.dirichlet([1, 1], (3, 200)),
    }  # fmt: skip
    assert len({tuple(acquire(k=5, method=method, seed=seed, warn=False, **question)) for seed in range(5)}) > 1
