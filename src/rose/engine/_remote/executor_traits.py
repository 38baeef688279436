"""Read what an executor tells of itself, and what follows for the tasks that run on it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

from rose.engine.local import LocalEngine
from rose.engine.protocol import Capabilities
from rose.engine.threads import ThreadEngine
from rose.errors import ConfigurationError

# Where functions run. "child": in a child process of the worker, which can be killed. "worker": in the worker's own
# process. "thread": in a thread of the driver's process.
Where = Literal["child", "worker", "thread"]

CAPABILITIES: Mapping[Where, Capabilities] = {
    "child": LocalEngine.capabilities,
    "worker": replace(ThreadEngine.capabilities, isolates_memory=True),
    "thread": ThreadEngine.capabilities,
}


def check_open(executor: object) -> None:
    """Refuse what is no executor, or one that has been shut down.

    Raises:
        ConfigurationError: saying which.
    """
    if not isinstance(executor, Executor):
        raise ConfigurationError(f"executor must be a concurrent.futures.Executor, got {executor!r}")
    closed = getattr(executor, "_shutdown", False) is True or getattr(executor, "_shutdown_thread", False) is True
    if closed or getattr(executor, "_is_active", True) is False:
        raise ConfigurationError(f"the {type(executor).__name__} has been shut down: it runs nothing any more")


def is_near(executor: Executor) -> bool:
    """Return whether its workers are known to be on this machine."""
    if isinstance(executor, (ProcessPoolExecutor, ThreadPoolExecutor)):
        return True
    kind = type(executor)
    return kind.__module__.startswith(("loky.", "joblib.externals.loky")) or kind.__name__ == "SingleNodeExecutor"


def where_functions_run(executor: Executor, killable: bool | None) -> Where:
    """Return where functions run: in children of the workers, if that may be.

    What an initializer did, and MPI, are there in the workers only.
    """
    if killable or (killable is None and not _has_state(executor)):
        return "child"
    return "thread" if isinstance(executor, ThreadPoolExecutor) else "worker"


def workers_of(executor: Executor) -> int:
    """Return how many tasks an executor runs at a time.

    Raises:
        ConfigurationError: if it does not say.
    """
    said = [getattr(executor, name, None) for name in ("_max_workers", "max_workers")]
    info = getattr(executor, "info", None)  # executorlib's
    said.append(info.get("max_cores") if isinstance(info, dict) else None)
    for number in said:
        if isinstance(number, int) and number > 0:
            return number
    kind = type(executor).__name__
    raise ConfigurationError(
        f"{kind} does not say how many workers it has: say it, ExecutorEngine(executor, workers=8)"
    )


def starts_python_for_each(executor: Executor) -> bool:
    """Return whether it is executorlib's without workers that stay.

    Each task then costs a Python's start, or a job step's.
    """
    info = getattr(executor, "info", None)
    of_steps = isinstance(info, dict) and "spawner" in info and "init_function" not in info
    return of_steps or type(getattr(executor, "_task_scheduler", None)).__name__ == "FileTaskScheduler"


def _has_state(executor: Executor) -> bool:
    if isinstance(executor, ThreadPoolExecutor) or type(executor).__module__.startswith("mpi4py"):
        return True
    return getattr(executor, "_initializer", None) is not None
