"""Test suites that we ship: whoever writes an engine runs ours over it.

    # test_my_engine.py
    from rose.testing import EngineContract
    from my_package import MyEngine

    class TestMyEngine(EngineContract):
        def make_engine(self, workers):
            return MyEngine(workers=workers)

pytest collects all of the contract's tests; what the engine declares as absent in its `capabilities` is skipped by its
name. `make_engine` is called outside an event loop; where an engine must be made inside one, write `async def`. An
engine that assigns gpus gives `make_gpu_engine`, too. Using the suite imports pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rose.testing.engine_contract import EngineContract

__all__ = ["EngineContract"]


def __getattr__(name: str) -> Any:
    # Not imported above: workers import rose.testing.tasks, and need no pytest for it.
    if name == "EngineContract":
        from rose.testing.engine_contract import EngineContract

        return EngineContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
