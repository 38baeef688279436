"""The contract of metrics, over all that are built in."""

from __future__ import annotations

from rose.scoring import metrics
from rose.testing import MetricContract


def contract(name: str) -> type:
    """The contract of one metric, as a class that pytest collects."""
    return type(f"Test_{name}", (MetricContract,), {"metric": name, "__module__": __name__})


globals().update({f"Test_{m.name}": contract(m.name) for m in metrics() if m.built_in})
