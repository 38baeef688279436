"""What a user may give as an engine."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

from rose.engine.protocol import Engine
from rose.errors import ConfigurationError

logger = logging.getLogger("rose")

_MEANT = (
    "None (the embedded engine), a number of workers, an engine such as LocalEngine or ThreadEngine, a Dask client, "
    "cluster or address (tcp://...), a radical.asyncflow.WorkflowEngine, or a concurrent.futures.Executor"
)


def as_engine(engine: Any = None, *, directory: str | Path | None = None) -> Engine:
    """The engine that is meant, which the log names.

    None is a `LocalEngine()`, a number one with so many workers, an engine itself. A `distributed.Client`, the address
    of a Dask scheduler or a Dask cluster object is a `DaskEngine`, a `radical.asyncflow.WorkflowEngine` an
    `AsyncFlowEngine`, a `concurrent.futures.Executor` an `ExecutorEngine`.

    `directory` is one that a Dask cluster's workers may see as well, the run's for example: shared values are then kept
    there, and if they do see it, not sent. It is made when something is stored.

    Raises:
        ConfigurationError: it is anything else, has been closed, or has not been awaited.
    """
    _check_value(engine)
    chosen = _chosen(engine, directory)
    if chosen is None:
        raise ConfigurationError(f"engine must be {_MEANT}; got {engine!r} ({type(engine).__name__})")
    logger.info("tasks run on %r", chosen)
    return chosen


def _check_value(engine: Any) -> None:
    """Refuse what is almost an engine, saying what is missing."""
    if isinstance(engine, type):
        raise ConfigurationError(f"engine: give an instance, {engine.__name__}(), not the class")
    if inspect.iscoroutine(engine):
        engine.close()  # else Python warns, at some later time, that nobody has awaited it
        raise ConfigurationError(f"engine is a coroutine that nobody has awaited: await {engine.__qualname__}(...)")
    if hasattr(engine, "submit_tasks") and hasattr(engine, "register_callback"):
        name = type(engine).__name__
        raise ConfigurationError(f"engine: {name} is a back end: give await WorkflowEngine.create(await {name}(...))")
    if _is_a(engine, "distributed", "ClientExecutor"):
        raise ConfigurationError("engine: give the Dask client itself, not its executor")


def _chosen(engine: Any, directory: str | Path | None) -> Engine | None:
    """The engine for a value, told by the type's module: what is not used is not imported."""
    from rose.engine.local import LocalEngine

    if engine is None:
        return LocalEngine()
    if isinstance(engine, int) and not isinstance(engine, bool):
        return LocalEngine(workers=engine)
    if isinstance(engine, Engine):
        return engine
    if _is_dask(engine):
        from rose.engine import DaskEngine  # which says how to install what is missing

        return DaskEngine(engine, temp_dir=directory)
    if _is_a(engine, "radical", "WorkflowEngine"):
        from rose.engine.asyncflow import AsyncFlowEngine

        return AsyncFlowEngine(engine)
    if _is_a(engine, "concurrent", "Executor"):
        from rose.engine.executor import ExecutorEngine

        return ExecutorEngine(engine)
    return None


def _is_dask(value: Any) -> bool:
    """Whether it is a Dask client, address or cluster."""
    if isinstance(value, str):
        return "://" in value
    return _is_a(value, "distributed", "Client") or isinstance(getattr(value, "scheduler_address", None), str)


def _is_a(value: Any, package: str, name: str) -> bool:
    """Whether its type is, or is derived from, the class with this name in the package."""
    return any(base.__name__ == name and base.__module__.partition(".")[0] == package for base in type(value).__mro__)
