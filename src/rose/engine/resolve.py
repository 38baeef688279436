"""Make an engine of what a user gives as one."""

from __future__ import annotations

import inspect
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from rose.engine.protocol import Engine
from rose.errors import ConfigurationError

logger = logging.getLogger("rose")

_MEANT = (
    "None (the embedded engine), a number of workers, an engine such as LocalEngine or ThreadEngine, a Dask client, "
    "cluster or address (tcp://...), a radical.asyncflow.WorkflowEngine, or a concurrent.futures.Executor"
)


# These bring asyncio, subprocess and cloudpickle, or what is not installed: imported when first asked for.
PLACES = {
    "AsyncFlowEngine": "rose.engine.asyncflow",
    "DaskEngine": "rose.engine.dask",
    "ExecutorEngine": "rose.engine.executor",
    "LocalEngine": "rose.engine.local",
    "ThreadEngine": "rose.engine.threads",
}


def engine_class(name: str) -> Any:
    """Return the class of one of our engines.

    Raises:
        ImportError: if what it needs is not installed, saying how to install it.
    """
    try:
        return getattr(import_module(PLACES[name]), name)
    except ModuleNotFoundError as error:
        if name != "DaskEngine" or error.name != "distributed":
            raise
        raise ImportError("DaskEngine needs distributed: pip install 'rose-uq[dask]'", name=error.name) from error


def as_engine(engine: Any = None, *, directory: str | Path | None = None) -> Engine:
    """Return the engine that is meant, which the log names.

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
    """Return the engine for a value, told by the type's module: what is not used is not imported."""
    made: Engine | None = None
    if engine is None or (isinstance(engine, int) and not isinstance(engine, bool)):
        made = engine_class("LocalEngine")(workers=engine)
    elif isinstance(engine, Engine):
        made = engine
    elif _is_dask(engine):
        made = engine_class("DaskEngine")(engine, temp_dir=directory)
    elif _is_a(engine, "radical", "WorkflowEngine"):
        made = engine_class("AsyncFlowEngine")(engine)
    elif _is_a(engine, "concurrent", "Executor"):
        made = engine_class("ExecutorEngine")(engine)
    return made


def _is_dask(value: Any) -> bool:
    """Return whether it is a Dask client, address or cluster."""
    if isinstance(value, str):
        return "://" in value
    return _is_a(value, "distributed", "Client") or isinstance(getattr(value, "scheduler_address", None), str)


def _is_a(value: Any, package: str, name: str) -> bool:
    """Return whether its type is, or is derived from, the class with this name in the package."""
    return any(base.__name__ == name and base.__module__.partition(".")[0] == package for base in type(value).__mro__)
