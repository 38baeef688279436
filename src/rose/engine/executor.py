"""Use any `concurrent.futures.Executor`: process pools, executorlib for Slurm and Flux, Parsl's, MPI pools."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any

from rose.engine._remote.executor_traits import (
    check_open,
    is_near,
    starts_python_for_each,
    where_functions_run,
    workers_of,
)
from rose.engine._remote.pool_engine import PoolEngine
from rose.engine.protocol import Resources, Task
from rose.errors import CapacityError, EngineClosedError

logger = logging.getLogger(__name__)


class ExecutorEngine(PoolEngine):
    """Run tasks in an executor that stays yours: closing the engine ends its tasks, not the executor.

    Functions run in children of the executor's workers, where they can be stopped, timed out and limited, and a crash
    costs one task; commands run on the workers too. In a `ThreadPoolExecutor` functions run in its threads, and in a
    pool with an initializer, or of MPI, in the workers themselves: then nothing can stop them, as `capabilities` says.

    Args:
        executor: open, and used by this engine alone: who else uses it delays our tasks.
        workers: how many tasks it runs at a time; None: as many as it says.
        killable: whether functions run in children of the workers; None: where that changes nothing for them.
        gpus: how many gpus (or which: CUDA's names) the tasks may occupy, on this machine or for executorlib.
        memory: how many bytes the tasks may occupy; None: not counted.
        address: the name by which workers on other machines find this one; None: this machine's host name for
            executors that are not known to stay on it. Such workers connect to a port of this process.
        temp_dir: where to keep shared values; workers on other machines read them there if they see them.
        initializer: called once in each child that runs functions; if it raises, tasks end with WorkerLostError.

    Raises:
        ConfigurationError: if it is no executor, has been shut down, or does not say how many workers it has.

    Example:
        >>> import asyncio
        >>> from concurrent.futures import ProcessPoolExecutor
        >>> from rose.engine import ExecutorEngine, Task, TaskKey
        >>> async def main():
        ...     with ProcessPoolExecutor(2) as pool:
        ...         async with ExecutorEngine(pool) as engine:
        ...             return await engine.run(Task(TaskKey("demo", 0, "simulation"), lambda x: x**2, (7,)))
        >>> asyncio.run(main())
        49
    """

    def __init__(
        self,
        executor: Executor,
        workers: int | None = None,
        *,
        killable: bool | None = None,
        gpus: int | Sequence[str] = 0,
        memory: int | None = None,
        address: str | None = None,
        temp_dir: str | Path | None = None,
        initializer: Callable[[], object] | None = None,
    ) -> None:
        check_open(executor)
        if starts_python_for_each(executor):
            logger.warning(
                "%s starts a Python, on Slurm a job step or a job, for each task, which takes a second or more; if "
                "tasks are shorter than a minute, keep its workers: block_allocation=True, max_workers=...",
                type(executor).__name__,
            )
        if address is None and not is_near(executor):
            address = socket.gethostname()
        self._executor = executor
        self._sizes_tasks = "resource_dict" in inspect.signature(executor.submit).parameters  # executorlib
        super().__init__(
            type(executor).__name__,
            where_functions_run(executor, killable),
            workers=workers or workers_of(executor),
            gpus=gpus,
            gpus_by_pool=self._sizes_tasks and address is not None,
            memory=memory,
            address=address,
            temp_dir=temp_dir,
            initializer=initializer,
        )

    async def _submit(self, task: Task, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        options = self._options(task.resources)

        def submit() -> Future[Any]:
            return self._executor.submit(function, argument, **options)

        try:
            # In a thread: it may have to start workers first.
            return await asyncio.get_running_loop().run_in_executor(self._scratch.threads, submit)
        except BrokenExecutor:
            raise
        except RuntimeError as error:  # this is how executors say it
            raise EngineClosedError(f"task {task.key}: {self._what} takes no more tasks: {error}") from error
        except (TypeError, ValueError) as error:
            if not options:
                raise
            text = f"task {task.key}: {self._what} does not give a task {options['resource_dict']}: {error}"
            raise CapacityError(text) from error

    def _options(self, resources: Resources) -> dict[str, Any]:
        """Return how executorlib is asked for more than a cpu."""
        if not self._sizes_tasks or (resources.cpus == 1 and not resources.gpus):
            return {}
        given = {"threads_per_core": resources.cpus}
        if resources.gpus and not self._near:  # else we assign them
            given["gpus_per_core"] = resources.gpus
        return {"resource_dict": given}

    def _check_given(self, task: Task) -> None:
        if not self._sizes_tasks:
            super()._check_given(task)
