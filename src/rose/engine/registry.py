"""List the engines there are: how to give one, what it can do, and how to install what it needs."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version

from rose.engine._remote.executor_traits import CAPABILITIES
from rose.engine.local import LocalEngine
from rose.engine.protocol import Capabilities, Engine
from rose.engine.threads import ThreadEngine
from rose.errors import ConfigurationError, UnknownNameError, near_miss

WORKERS = 2  # of an engine that is opened to be looked at

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
class Kind:
    """Describe one kind of engine.

    `given` is what to hand to a learner, `needs` the distribution without which it does not work (None: nothing), and
    `open` makes one on this machine, with two workers.
    """

    name: str
    summary: str
    given: str
    capabilities: Capabilities
    open: Callable[[], AbstractAsyncContextManager[Engine]]
    module: str | None = None
    needs: str | None = None

    @property
    def is_installed(self) -> bool:
        """Return whether what it needs is there."""
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


KINDS = (
    Kind(
        *("local", "processes of this machine", "ParallelUQLearner(8)", LocalEngine.capabilities),
        lambda: LocalEngine(WORKERS),
    ),
    Kind(
        *("threads", "threads of this process", "ParallelUQLearner(ThreadEngine(8))", ThreadEngine.capabilities),
        lambda: ThreadEngine(WORKERS),
    ),
    Kind(
        name="dask",
        summary="a Dask cluster",
        given='ParallelUQLearner(Client("tcp://host:8786"))',
        capabilities=CAPABILITIES["child"],
        open=_dask,
        module="distributed",
        needs="distributed",
    ),
    Kind(
        name="asyncflow",
        summary="RADICAL AsyncFlow, on its back ends and RHAPSODY's",
        given="ParallelUQLearner(await WorkflowEngine.create(backend))",
        capabilities=CAPABILITIES["child"],
        open=_asyncflow,
        module="radical.asyncflow",
        needs="radical.asyncflow",
    ),
    Kind(
        name="executor",
        summary="any concurrent.futures.Executor: executorlib, Parsl, MPI pools",
        given="ParallelUQLearner(ProcessPoolExecutor(8))",
        capabilities=CAPABILITIES["child"],
        open=_executor,
    ),
)


def get_kind(name: str) -> Kind:
    """Return the kind with this name.

    Raises:
        UnknownNameError: there is none; the message offers near misses.
        ConfigurationError: what it needs is not installed; the message says how to.
    """
    kind = next((kind for kind in KINDS if kind.name == name), None)
    if kind is None:
        raise UnknownNameError(f"no engine is called {name!r}; {near_miss(name, [kind.name for kind in KINDS])}")
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
