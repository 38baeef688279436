"""Run tasks, wherever: an engine runs a task; it knows nothing of learning, retries or disks.

`LocalEngine` uses this machine's processes, `ThreadEngine` its threads; `DaskEngine`, `AsyncFlowEngine` and
`ExecutorEngine` use what others run. `Engine` is the contract of all engines, and `rose.testing` has the tests for it.
A `Task` has a `TaskKey`, `Resources`, and a function or a `Command`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rose.engine.protocol import (
    Capabilities,
    Capacity,
    Command,
    CommandOutput,
    Engine,
    Ref,
    Resources,
    Task,
    TaskKey,
)
from rose.engine.resolve import PLACES, as_engine, engine_class

if TYPE_CHECKING:
    from rose.engine.asyncflow import AsyncFlowEngine
    from rose.engine.dask import DaskEngine
    from rose.engine.executor import ExecutorEngine
    from rose.engine.failures import RemoteError
    from rose.engine.local import LocalEngine
    from rose.engine.threads import ThreadEngine

__all__ = [
    "AsyncFlowEngine",
    "Capabilities",
    "Capacity",
    "Command",
    "CommandOutput",
    "DaskEngine",
    "Engine",
    "ExecutorEngine",
    "LocalEngine",
    "Ref",
    "RemoteError",
    "Resources",
    "Task",
    "TaskKey",
    "ThreadEngine",
    "as_engine",
]


def __getattr__(name: str) -> Any:
    if name in PLACES:
        return engine_class(name)
    if name == "RemoteError":
        from rose.engine.failures import RemoteError

        return RemoteError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
