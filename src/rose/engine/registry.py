"""List the engines there are: how to give one, what it can do, and how to install what it needs."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from rose.engine._remote.executor_traits import CAPABILITIES
from rose.engine.local import LocalEngine
from rose.engine.protocol import Capabilities, Engine
from rose.engine.threads import ThreadEngine
from rose.errors import ConfigurationError
from rose.plugins import Registry

MakeT = TypeVar("MakeT", bound=Callable[..., Any])

WORKERS = 2  # of an engine that is opened only to be looked at or tried out

# What each capability means to users.
MEANINGS = {
    "stops_work": "cancelling a task ends its function",
    "stops_children": "... and the processes that it started",
    "enforces_timeout": "a function that overruns its timeout is stopped",
    "survives_crash": "a worker that dies costs one task",
    "limits_threads": "BLAS, OpenMP and torch keep to a task's cpus",
    "isolates_memory": "a task cannot change the driver's objects",
    "limits_memory": "a function that takes more memory than it asked for is stopped",
    "assigns_gpus": "each task sees gpus of its own",
    "tells_start": "a task tells when it has really begun, and where",
}


@dataclass(frozen=True)
class EngineKind:
    """Describe one kind of engine.

    Attributes:
        name, aliases: what it is called.
        summary: one line for people.
        given: what to hand to a learner.
        capabilities: what it can do.
        open: makes one on this machine, with two workers.
        module, needs: the module and its distribution without which it does not work; None: nothing.
    """

    name: str
    summary: str
    given: str
    capabilities: Capabilities
    open: Callable[[], AbstractAsyncContextManager[Engine]]
    module: str | None = None
    needs: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def is_installed(self) -> bool:
        """Tell whether what it needs is there."""
        return self.module is None or _is_there(self.module)

    @property
    def installed_version(self) -> str:
        """Return the version of what it needs; empty where it needs nothing, or it is not there."""
        try:
            return version(self.needs) if self.needs and self.is_installed else ""
        except PackageNotFoundError:
            return ""

    @property
    def install(self) -> str:
        """Say how to install what it needs."""
        return f"pip install 'rose-uq[{self.name}]'"


@asynccontextmanager
async def _dask() -> AsyncIterator[Engine]:
    from distributed import LocalCluster

    from rose.engine.dask import DaskEngine

    sizes = {"n_workers": 1, "threads_per_worker": WORKERS, "dashboard_address": None}
    cluster = await asyncio.to_thread(LocalCluster, **sizes)
    try:
        async with DaskEngine(cluster) as engine:
            yield engine
    finally:
        await asyncio.to_thread(cluster.close)


@asynccontextmanager
async def _asyncflow() -> AsyncIterator[Engine]:
    from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

    from rose.engine.asyncflow import AsyncFlowEngine

    backend = await LocalExecutionBackend(ProcessPoolExecutor(WORKERS))
    async with AsyncFlowEngine(await WorkflowEngine.create(backend)) as engine:
        yield engine


@asynccontextmanager
async def _executor() -> AsyncIterator[Engine]:
    from rose.engine.executor import ExecutorEngine

    with ProcessPoolExecutor(WORKERS) as executor:
        async with ExecutorEngine(executor) as engine:
            yield engine


def _declared(name: str, make: Any, summary: str = "", given: str = "", aliases: tuple[str, ...] = ()) -> EngineKind:
    """Return the kind of what makes engines: a class, or a function, of the number of workers."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Engine]:
        made = make(WORKERS)
        engine: Engine = await made if inspect.isawaitable(made) else made
        try:
            yield engine
        finally:
            await engine.close()

    if not isinstance(getattr(make, "capabilities", None), Capabilities):
        raise ConfigurationError(f"engine {name!r}: {make!r} has no `capabilities`, rose.engine.Capabilities(...)")
    summary = summary or (inspect.getdoc(make) or "").partition("\n")[0]
    given = given or f"ParallelUQLearner({make.__name__}(8))"
    return EngineKind(name, summary, given, make.capabilities, opened, aliases=aliases)


def _accept(name: str, loaded: Any) -> EngineKind | None:
    if isinstance(loaded, EngineKind):
        return replace(loaded, name=name)
    return _declared(name, loaded) if callable(loaded) else None


ENGINES = Registry("engine", "rose.engines", _accept)

for _kind in (
    EngineKind(
        *("local", "processes of this machine", "ParallelUQLearner(8)", LocalEngine.capabilities),
        open=lambda: LocalEngine(WORKERS),
    ),
    EngineKind(
        *("threads", "threads of this process", "ParallelUQLearner(ThreadEngine(8))", ThreadEngine.capabilities),
        open=lambda: ThreadEngine(WORKERS),
    ),
    EngineKind(
        name="dask",
        summary="a Dask cluster",
        given='ParallelUQLearner(Client("tcp://host:8786"))',
        capabilities=CAPABILITIES["child"],
        open=_dask,
        module="distributed",
        needs="distributed",
    ),
    EngineKind(
        name="asyncflow",
        summary="RADICAL AsyncFlow, on its back ends and RHAPSODY's",
        given="ParallelUQLearner(await WorkflowEngine.create(backend))",
        capabilities=CAPABILITIES["child"],
        open=_asyncflow,
        module="radical.asyncflow",
        needs="radical.asyncflow",
    ),
    EngineKind(
        name="executor",
        summary="any concurrent.futures.Executor: executorlib, Parsl, MPI pools",
        given="ParallelUQLearner(ProcessPoolExecutor(8))",
        capabilities=CAPABILITIES["child"],
        open=_executor,
    ),
):
    ENGINES.add(_kind.name, _kind)
ENGINES.seal()


def register_engine(
    name: str, *, summary: str = "", given: str = "", aliases: tuple[str, ...] = ()
) -> Callable[[MakeT], MakeT]:
    """Declare the decorated class as a kind of engine; `rose engines` lists it, and tries it out.

    Args:
        name: what it is called.
        summary: one line for people; the first of its docstring if not given.
        given: what to hand to a learner, as Python.
        aliases: other names.

    The class (or a function, which may be async) is called with a number of workers, and has `capabilities`.

    Raises:
        ConfigurationError: if the name or an alias is built in or another's, or nothing says what it can do.
    """
    return ENGINES.register(name, lambda make: _declared(name, make, summary, given, aliases), aliases)


def get_kind(name: str) -> EngineKind:
    """Return the kind with this name.

    Raises:
        UnknownNameError: there is none; the message offers near misses.
        ConfigurationError: what it needs is not installed; the message says how to. PluginError: nor can it be loaded.
    """
    kind = ENGINES.get(name)
    if not kind.is_installed:
        raise ConfigurationError(f"the engine {name!r} needs {kind.needs}, which is not installed: {kind.install}")
    return kind


def capability_names() -> list[str]:
    """Return all capabilities, in the order in which they are declared."""
    return [field.name for field in fields(Capabilities)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that is not there
        return False
