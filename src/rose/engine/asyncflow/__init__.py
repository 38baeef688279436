"""Use RADICAL AsyncFlow: a `WorkflowEngine` on any of its back ends, and RHAPSODY's, as ROSE's programs create it.

AsyncFlow resolves dependencies in a loop that wakes up when a task is registered, else once a second: a task that waits
for another one begins up to a second after it, and even one that waits for nothing may wait 10 ms for the loop's next
turn. Ours are ready when they are submitted, so they go to the back end itself, in the form in which AsyncFlow hands it
a task; what it reports of them comes to us, and all else to the WorkflowEngine, as before.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose.engine._remote import host_program
from rose.engine._remote.host_protocol import Reply
from rose.engine._remote.pool_engine import PoolEngine
from rose.engine.asyncflow.backend import Backend, TaskReports
from rose.engine.protocol import OnStart, Task
from rose.errors import ConfigurationError, EngineClosedError

if TYPE_CHECKING:
    from radical.asyncflow import WorkflowEngine

logger = logging.getLogger(__name__)


class AsyncFlowEngine(PoolEngine):
    """Run tasks on the default back end of a `WorkflowEngine`; closing it shuts the WorkflowEngine down, as in ROSE.

    Functions run in children of the back end's workers, where they can be stopped, timed out and limited, and a crash
    costs one task; commands run on the workers too. Where the back end is a pool of threads they run in its threads,
    and nothing can stop them, as `capabilities` says.

    Args:
        flow: created in the event loop that uses the engine.
        workers: how many tasks it runs at a time; None: as many as the back end says.
        killable: whether functions run in children of the workers; None: where that changes nothing for them.
        gpus: how many gpus (or which: CUDA's names) the tasks may occupy, on this machine; None: as the back end says.
        memory: how many bytes the tasks may occupy; None: not counted.
        address: the name by which workers on other machines find this one; None: this machine's host name for back
            ends that are not known to stay on it. Such workers connect to a port of this process.
        temp_dir: where to keep shared values; workers on other machines read them there if they see them.
        initializer: called once in each child that runs functions; if it raises, tasks end with WorkerLostError.
        backend: the name of the back end that is used; None: the default one. Tasks that name another one
            (`Task.options`) run there.

    Raises:
        ConfigurationError: if it is no WorkflowEngine, has been shut down, or does not say how many workers it has.

    Example:
        flow = await WorkflowEngine.create(await LocalExecutionBackend(ProcessPoolExecutor()))
        learner = ParallelUQLearner(flow)
        ...
        await learner.shutdown()
    """

    def __init__(
        self,
        flow: WorkflowEngine,
        workers: int | None = None,
        *,
        killable: bool | None = None,
        gpus: int | Sequence[str] | None = None,
        memory: int | None = None,
        address: str | None = None,
        temp_dir: str | Path | None = None,
        initializer: Callable[[], object] | None = None,
        backend: str | None = None,
    ) -> None:
        _check(flow)
        self._name = backend or flow._default_backend_name
        if self._name not in flow._backends:
            raise ConfigurationError(
                f"backend={backend!r} is none of the WorkflowEngine's: {', '.join(flow._backends)}"
            )
        backend_used = Backend(flow._backends[self._name])
        self._flow = flow
        self._backend = backend_used
        self._reports = TaskReports.of(flow, self._name)
        self._others: dict[str, AsyncFlowEngine] = {}
        self._owns_flow = True
        self._programs = itertools.count(1)
        self._watching: asyncio.Task[None] | None = None
        super().__init__(
            f"WorkflowEngine on {backend_used.name}",
            backend_used.where_functions_run(killable),
            workers=workers or backend_used.workers(),
            gpus=backend_used.gpus() if gpus is None else gpus,
            memory=memory,
            gpus_by_pool=backend_used.sizes_tasks,
            address=address or backend_used.address(),
            # What cannot be sent to it is read by it: from where the user works, which the nodes of a cluster see.
            temp_dir=temp_dir or (None if backend_used.takes_functions else os.getcwd()),
            initializer=initializer,
        )

    @property
    def backends(self) -> tuple[str, ...]:
        """Return the names of the back ends that tasks may ask for."""
        return tuple(self._flow._backends)

    async def run(self, task: Task, on_start: OnStart | None = None) -> Any:
        """Run a task, on the back end that it names; see `Engine.run`."""
        name = task.options.get("backend")
        if name is None or name == self._name:
            return await super().run(task, on_start)
        other = self._others.get(name)
        if other is None:
            other = self._others[name] = AsyncFlowEngine(self._flow, backend=name)
            other._owns_flow = False
        return await other.run(task, on_start)

    async def _submit(self, task: Task, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        if self._shut_down.is_set():
            raise EngineClosedError(f"task {task.key}: the {self._what} has been shut down")
        self._abandon_with_flow()
        options = self._backend.options(task.resources) | task.options.get("task_description", {})
        if not self._backend.takes_functions:
            return await self._submit_program(argument, options)
        if self._backend.wants_coroutines:
            function = partial(_eagerly, function)
        return await self._reports.submit(function, argument, options)

    async def _submit_program(self, message: bytes, options: dict[str, Any]) -> Future[Reply]:
        """Submit an order to a back end that runs command lines only: as a host of its own."""
        threads, reply = self._scratch.threads, Future[Reply]()
        reply.set_running_or_notify_cancel()
        order = Path(self._scratch.folder, f"order-{next(self._programs)}")
        await asyncio.get_running_loop().run_in_executor(threads, order.write_bytes, message)
        ended = await self._reports.submit_command(host_program.command(order), options)

        def read() -> None:
            try:
                ended.result()
                reply.set_result(host_program.read_reply(order))
            except Exception as error:
                reply.set_exception(error)

        ended.add_done_callback(lambda _: threads.submit(read))
        return reply

    def _check_given(self, task: Task) -> None:
        if not self._backend.sizes_tasks:
            super()._check_given(task)

    # --- the end of the WorkflowEngine -----------------------------------------------------------------------------

    @property
    def _shut_down(self) -> asyncio.Event:
        event: asyncio.Event = self._flow._shutdown_event
        return event

    def _abandon_with_flow(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        """End our tasks when the WorkflowEngine is shut down (by Ctrl-C too): it forgets them."""
        await self._shut_down.wait()
        self._hosts.hang_up()
        for job in list(self._jobs):
            job.fail(EngineClosedError(f"task {job.key}: the {self._what} was shut down before it ended"))
        self._reports.forget()

    async def _close_functions(self) -> None:
        for other in self._others.values():
            await other.close()
        await super()._close_functions()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._owns_flow and not self._shut_down.is_set():
            await self._flow.shutdown()

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._flow.loop:
            raise ConfigurationError(
                "the WorkflowEngine was created in another event loop, and works in that one only: "
                "create it and run the learner in one `async def`, with `await learner.teach(...)`"
            )
        super()._bind(loop)


def _check(flow: Any) -> None:
    from radical.asyncflow import WorkflowEngine

    if not isinstance(flow, WorkflowEngine):
        raise ConfigurationError(f"flow must be a radical.asyncflow.WorkflowEngine, got {flow!r}")
    if flow.dry_run:
        raise ConfigurationError("the WorkflowEngine is in dry-run mode: its tasks give made-up results")
    if flow._shutdown_event.is_set():
        raise ConfigurationError("the WorkflowEngine has been shut down: it runs nothing any more")


def _eagerly(function: Callable[[Any], Any], argument: Any) -> Coroutine[Any, Any, Any]:
    """Serve a back end that calls a function in the worker, and then runs what that returned as a coroutine.

    The work is done in the call, where no event loop runs yet: a task may want to run one.
    """
    return _value(function(argument))


async def _value(value: Any) -> Any:
    return value
