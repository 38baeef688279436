"""Know AsyncFlow's and RHAPSODY's back ends, and exchange tasks with them."""

from __future__ import annotations

import asyncio
import itertools
import socket
import uuid
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ClassVar

from rose.engine._remote.executor_traits import Where, check_open, is_near, where_functions_run, workers_of
from rose.engine.protocol import Resources
from rose.errors import ConfigurationError, EngineClosedError

if TYPE_CHECKING:
    from radical.asyncflow import WorkflowEngine


class Backend:
    """Know of a back end how many workers it has and where, and what it can be asked for."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.name = type(backend).__name__
        executor = getattr(backend, "executor", None)
        self._executor: Executor | None = executor if isinstance(executor, Executor) else None
        if self._executor is not None:
            check_open(self._executor)
        # AsyncFlow's own awaits what a function returns; RHAPSODY's Dask would run a coroutine on its event loop.
        self.wants_coroutines = type(backend).__module__.startswith("radical.asyncflow")
        self._is_pilot = self.name == "RadicalExecutionBackend"
        self._is_dask = self.name == "DaskExecutionBackend"
        # A pilot runs Python functions in Raptor mode only; what it always runs is command lines.
        self.takes_functions = not self._is_pilot or bool(getattr(backend, "raptor_mode", False))

    @property
    def sizes_tasks(self) -> bool:
        """Return whether it is told how many cpus and gpus each task is to have."""
        return self._is_pilot

    def where_functions_run(self, killable: bool | None) -> Where:
        """Return where functions run: in children of its workers, unless they have to be in the workers themselves."""
        return "child" if self._executor is None else where_functions_run(self._executor, killable)

    def workers(self) -> int:
        """Return how many tasks it runs at a time.

        Raises:
            ConfigurationError: if it does not say.
        """
        backend = self._backend
        if self._executor is not None:
            return workers_of(self._executor)
        number: Any = None
        if self._is_pilot:
            number = backend.resources.get("cores")
        elif self._is_dask:
            number = _dask_threads(backend)
        elif self.name == "DragonExecutionBackend":
            number = backend.batch.num_workers
        if not number:
            raise ConfigurationError(
                f"{self.name} does not say how many tasks it runs at a time: AsyncFlowEngine(flow, workers=8) does"
            )
        return int(number)

    def gpus(self) -> int:
        """Return how many gpus it has of its own to give."""
        return int(self._backend.resources.get("gpus", 0)) if self._is_pilot else 0

    def address(self) -> str | None:
        """Return this machine's name, if workers may be on others."""
        if self._is_pilot:
            near = str(self._backend.resources.get("resource", "")).startswith("local.")
        else:
            near = self._executor is not None and is_near(self._executor)
        return None if near else socket.gethostname()

    def options(self, resources: Resources) -> dict[str, Any]:
        """Return how it is asked for what a task wants."""
        if not self._is_pilot:
            return {}
        options: dict[str, Any] = {"ranks": 1, "cores_per_rank": resources.cpus, "gpus_per_rank": resources.gpus}
        if resources.memory is not None:
            options["mem_per_rank"] = resources.memory / 2**20
        return options


class TaskReports:
    """Follow tasks of ours on a back end of a WorkflowEngine by what it reports; shared by engines of ours."""

    _all: ClassVar[weakref.WeakKeyDictionary[Any, dict[str, TaskReports]]] = weakref.WeakKeyDictionary()

    @classmethod
    def of(cls, flow: WorkflowEngine, name: str) -> TaskReports:
        """Return the reports of the back end of that name, shared by all engines of ours on it."""
        reports = cls._all.setdefault(flow, {})
        if name not in reports:
            reports[name] = cls(flow, name)
        return reports[name]

    def __init__(self, flow: WorkflowEngine, name: str) -> None:
        self._backend = flow._backends[name]
        self._states = self._backend.get_task_states_map()
        # A pilot adds a callback to those it has: it goes on telling the WorkflowEngine by itself.
        self._tells_both = hasattr(self._backend, "task_manager")
        self._flow = weakref.ref(flow)
        self._prefix = f"rose.{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count(1)
        self._sent: dict[str, Future[Any]] = {}
        self._backend.register_callback(self._report)

    async def submit(self, function: Callable[[Any], Any], argument: Any, options: dict[str, Any]) -> Future[Any]:
        """Give the back end a task that runs `function(argument)`."""
        return await self._submit({"function": function, "args": (argument,)}, options)

    async def submit_command(self, words: Sequence[str], options: dict[str, Any]) -> Future[Any]:
        """Give the back end a command line."""
        return await self._submit({"executable": words[0], "arguments": list(words[1:])}, options)

    async def _submit(self, what: dict[str, Any], options: dict[str, Any]) -> Future[Any]:
        name = f"{self._prefix}.{next(self._numbers)}"
        description = {
            "uid": name,
            "name": name,
            "function": None,
            "args": (),
            "kwargs": {},
            "executable": None,
            "arguments": [],
            "prompt": None,
            "is_service": False,
            "capture_stdio": False,
            "task_backend_specific_kwargs": options,
            **what,
        }
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # what a back end has been given it does not give back
        self._sent[name] = future
        try:
            started = await self._backend.submit_tasks([description])
        except BaseException:
            del self._sent[name]
            raise
        for work in started if isinstance(started, list) else ():
            if isinstance(work, asyncio.Task):
                work.add_done_callback(lambda work: self._left(name) if work.cancelled() else None)
        return future

    def forget(self) -> None:
        """End all that is left: the back end is being shut down, and reports no more."""
        for name in list(self._sent):
            self._left(name)

    def _left(self, name: str) -> None:
        future = self._sent.pop(name, None)
        if future is not None:
            future.set_exception(EngineClosedError("its back end has been shut down, or has cancelled it"))

    def _report(self, task: Any, state: str, *args: Any, **kwargs: Any) -> None:
        """Hear the back end, in the event loop or in a thread of its own."""
        name = task["uid"]
        future = self._sent.get(name)
        if future is None:
            flow = self._flow()
            if flow is not None and not name.startswith(self._prefix) and not self._tells_both:
                flow.task_callbacks(task, state, *args, **kwargs)
            return
        if state not in self._states.terminal_states:
            return
        if state == self._states.DONE:
            del self._sent[name]
            future.set_result(task.get("return_value"))
        elif state == self._states.FAILED:
            del self._sent[name]
            error = task.get("exception") or task.get("stderr") or "failed without a reason"
            future.set_exception(error if isinstance(error, BaseException) else RuntimeError(str(error)))
        else:
            self._left(name)
        self._strip(name, task)

    def _strip(self, name: str, task: dict[str, Any]) -> None:
        """Free what is large in a task: back ends keep what they were given until they are shut down."""
        kept = getattr(self._backend, "tasks", None)
        if isinstance(kept, dict):
            kept.pop(name, None)
        for field in ("args", "function", "return_value", "stdout", "stderr", "exception"):
            task[field] = None


def _dask_threads(backend: Any) -> int:
    """Return how many threads the workers of RHAPSODY's Dask back end have, as far as its client knows."""
    client = backend._client
    known = client.scheduler_info()["workers"] or getattr(client.cluster, "scheduler_info", {}).get("workers", {})
    return sum(worker["nthreads"] for worker in known.values())
