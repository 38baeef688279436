"""Say what every engine is: it runs a task, and knows nothing of learning, retries or disks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

# Is given the worker's name, "HOST:PID": that of the process that runs the function, or of the command itself.
OnStart = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TaskKey:
    """Name a task: unique in a run, and the same on every replay.

    >>> str(TaskKey("bald", 3, "training", "mlp"))
    'bald/3/training/mlp'
    """

    workflow: str
    iteration: int
    stage: str
    model: str | None = None
    index: int | None = None

    def __str__(self) -> str:
        parts = [self.workflow, str(self.iteration), self.stage]
        if self.model is not None:
            parts.append(self.model)
        if self.index is not None:
            parts.append(str(self.index))
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Resources:
    """Say what one task occupies while it runs: whole cpus, whole gpus, and memory in bytes (None: not counted).

    Memory is also the most that a function, or each process of a command, may take (`Capabilities.limits_memory`).
    """

    cpus: int = 1
    gpus: int = 0
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """Describe a command line to run. `line` is split like a shell would; a shell runs it only if it uses shell syntax.

    `cwd` is created when missing; `env` is added to the driver's environment. `stdout` and `stderr` are files that
    are to hold what it prints, also when it fails (parent directories are created; None: not kept).
    """

    line: str
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdout: Path | None = None
    stderr: Path | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Describe one piece of work: a callable with its arguments, or a `Command`.

    `call` may be a plain or an `async def` function; `args` and `kwargs` may hold `Ref`s, which arrive as the values
    they stand for. `timeout` is in seconds of running time (waiting for a slot does not count). `options` is for
    engines that choose among back ends: "backend", the name of one, and "task_description", what that is told.
    """

    key: TaskKey
    call: Callable[..., Any] | Command
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources = Resources()
    timeout: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """Hold what a `Command` that ended well left: the end of what it printed (bounded), and how long it ran."""

    stdout: str
    stderr: str
    seconds: float


@runtime_checkable
class Ref(Protocol):
    """Stand for a value that was shipped once with `Engine.share`; a legal task argument, cheap to pickle."""

    def load(self) -> Any:
        """Return the value itself (arrays: read-only and memory-mapped where the engine can)."""
        ...


@dataclass(frozen=True, slots=True)
class Capacity:
    """Say what the engine has in all: cpus (its slots), gpus, and memory in bytes (None: not counted)."""

    cpus: int
    gpus: int = 0
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Say what the engine can truly do; the contract suite skips, by name, what is False."""

    stops_work: bool  # cancelling a running task ends the work itself
    stops_children: bool  # ... and the processes that the work started
    enforces_timeout: bool  # a running function that overruns is stopped
    survives_crash: bool  # a worker that dies costs its one task
    limits_threads: bool  # BLAS, OpenMP and torch threads are held to the task's cpus
    isolates_memory: bool  # a task cannot change the driver's objects
    limits_memory: bool  # a task that takes more memory than it asked for is stopped, and the others live on
    assigns_gpus: bool  # each task sees its own gpus (CUDA_VISIBLE_DEVICES), and no two tasks the same
    tells_start: bool  # `on_start` is called when a task really begins


@runtime_checkable
class Engine(Protocol):
    """Run tasks. Implementations: `LocalEngine`, `ThreadEngine`, `DaskEngine`, `AsyncFlowEngine`, `ExecutorEngine`."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def run(self, task: Task, on_start: OnStart | None = None) -> Any:
        """Wait for a slot, run the task, and return its result (for a `Command`: its `CommandOutput`).

        Cancelling the awaiting asyncio task stops the work itself. `on_start` is called when the task has really begun
        (`Capabilities.tells_start`): in the event loop, once, not after the task's end; never if it does not begin.

        Raises:
            CapacityError: at once, if the request can never fit.
            TaskFailedError, CommandFailedError, TaskTimeoutError, WorkerLostError, OutOfMemoryError: the task itself
                failed; with its key; the root cause is the `__cause__`.
            PlaceError: what was to run it failed, see `rose.engine.blame`.
            EngineClosedError: after `close`.
        """
        ...

    async def share(self, value: Any) -> Ref:
        """Ship a large value (an array, a model) once; the Ref is a legal task argument."""
        ...

    async def release(self, ref: Ref) -> None:
        """Free what `share` stored; the Ref must not be used again."""
        ...

    def capacity(self) -> Capacity:
        """Return what there is in all; a request beyond it raises when it is submitted."""
        ...

    async def close(self) -> None:
        """End everything: no task, process or file of ours outlives this. May be called twice."""
        ...
