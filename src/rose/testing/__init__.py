"""Test suites that we ship: whoever writes a metric, an acquisition, an engine or a tracker runs ours over it.

    # test_mine.py
    from rose.testing import AcquisitionContract, EngineContract, MetricContract, TrackerContract

    class TestMyMetric(MetricContract):
        metric = "my_metric"

    class TestMyAcquisition(AcquisitionContract):
        method = "my_acquisition"

    class TestMyEngine(EngineContract):
        def make_engine(self, workers):
            return MyEngine(workers=workers)

    class TestMyTracker(TrackerContract):
        def make_tracker(self):
            return MyTracker()

pytest collects all of the contract's tests. What an engine declares as absent in its `capabilities` is skipped by its
name; `make_engine` is called outside an event loop (where an engine must be made inside one, write `async def`), and an
engine that assigns gpus gives `make_gpu_engine`, too. Using the suites imports pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rose.testing.acquisition_contract import AcquisitionContract
    from rose.testing.engine_contract import EngineContract
    from rose.testing.metric_contract import MetricContract
    from rose.testing.tracker_contract import TrackerContract

__all__ = ["AcquisitionContract", "EngineContract", "MetricContract", "TrackerContract"]


def __getattr__(name: str) -> Any:
    # Not imported above: workers import rose.testing.tasks, and need no pytest for it.
    if name in __all__:
        return getattr(import_module(f"rose.testing.{name.removesuffix('Contract').lower()}_contract"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
