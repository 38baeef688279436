"""Give programs of one's own a learner: calling a decorated function submits it, and returns a future."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeVar

from rose.errors import NoLoopError
from rose.learners import base
from rose.learners._submissions import Opened, TaskFuture, future_of
from rose.learners._task_dicts import TaskDict, described
from rose.learners.tracking import manifest_of
from rose.loop.changes import AcceptChanges
from rose.loop.identity import identifier_of
from rose.loop.limits import Limits
from rose.loop.protocol import Plan, RunRequest
from rose.loop.state import StopReason
from rose.stages.kinds import CRITERION, UTILITY, Kind
from rose.stages.options import make_stage
from rose.store import DriverStarted, Run, WorkflowStopped, logged

R = TypeVar("R")


class SubmittingLearner(base.Learner[R]):
    """Have calls of decorated functions submit them: give a future at once, or of a stop criterion what it comes to.

    Args:
        engine: what executes tasks.
        register_and_submit: False: the decorated functions stay what they are, and calling them just calls them.
        **options: as `rose.learners.base.Learner` takes them.
    """

    def __init__(self, engine: Any = None, register_and_submit: bool = True, **options: Any) -> None:
        self.register_and_submit = register_and_submit
        super().__init__(engine, **options)

    def utility_task(self, func: Any = None, **options: Any) -> Any:
        """Register a task of another kind than the stages: calling it submits it, as theirs."""
        if not self.register_and_submit:
            return super().utility_task(func, **options)

        def decorator(function: Any) -> Any:
            make_stage(UTILITY.name, function, options)
            task = described(function, options)
            self._describe(UTILITY.name, task)
            return self._decorated(UTILITY, task)

        return decorator if func is None else decorator(func)

    def _decorated(self, kind: Kind, task: TaskDict) -> Any:
        """Return what submits the function; functions that a pool or a loop is to call stay what they are."""
        function = task["func"]
        if not self.register_and_submit:
            return function
        takes_key = "key" in inspect.signature(function).parameters

        @wraps(function)
        def submit(*args: Any, **kwargs: Any) -> Any:
            asked = {**task, "args": (*task["args"], *args), "kwargs": {**task["kwargs"], **kwargs}}
            if not takes_key and "key" in kwargs:
                asked["key"] = asked["kwargs"].pop("key")
            future = self._register_task(asked)
            return future if kind is not CRITERION else self._judged(future)

        return submit

    def _judged(self, future: Any) -> TaskFuture:
        """Return a future of whether to stop and the value, of one of a criterion's result."""

        async def judge() -> tuple[bool, float]:
            return self._verdict(await future, getattr(future, "replayed", False))

        return future_of(judge(), getattr(future, "id", "criterion"))

    def _verdict(self, result: Any, replayed: bool) -> tuple[bool, float]:
        """Return whether to stop and the value, of the result of a criterion that the program has called."""
        return self._check_stop_criterion(result)


class _EveryLearner(type):
    """Let `isinstance` and `issubclass` count every learner as a `Learner`, which in ROSE is the base of all."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return issubclass(type(instance), cls)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return type.__subclasscheck__(base.Learner if cls.__module__ == __name__ else cls, subclass)


class Learner(SubmittingLearner[Any], metaclass=_EveryLearner):
    """Run a policy of one's own: the program says what depends on what, by passing futures on.

    Calling a decorated function submits it at once and returns a future: awaitable, with `id`, `done`, `cancel` and
    `exception`. Futures among the arguments, in lists, tuples and dicts too, are waited for and arrive as results, for
    functions and for commands, whose function is called when they are there. The stop criterion, called and awaited,
    gives `(should_stop, value)`.

    With a `run_dir` what was done is recorded, and a program that is started again is given it. A task's key is its
    stage and its place among the calls to that stage, or what the program calls it: `train(data, key="fold 3")`. So
    calls to a stage have to come in the order in which they came, or have names.

    Args:
        asyncflow: what executes tasks: a WorkflowEngine, or what `rose.learners.base.Learner` takes as `engine`. It
            is open from the first task on, until `await learner.shutdown()`.
        register_and_submit: False: the decorated functions stay what they are, and calling them just calls them.
        run_dir, resume, accept_changes, keep_models: as `rose.learners.base.Learner` says; with `accept_changes`, what
            is asked otherwise than it was recorded runs anew.

    Raises:
        ConfigurationError: if one of them cannot be.

    Example:
        learner = Learner(WorkflowEngine, run_dir="policy")

        @learner.training_task(as_executable=False)
        def train(data, depth): ...

        async def main():
            models = await asyncio.gather(*[train(data, depth) for depth in (2, 4, 8)])
            await learner.shutdown()
    """

    metric_values_per_iteration: dict[Any, Any] = {}  # noqa: RUF012 - each has its own: the criterion's values
    iteration: int = 0  # how often the criterion has been asked

    def __init__(
        self,
        asyncflow: Any = None,
        register_and_submit: bool = True,
        *,
        run_dir: str | Path | None = None,
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
    ) -> None:
        super().__init__(
            asyncflow,
            register_and_submit,
            run_dir=run_dir,
            resume=resume,
            accept_changes=accept_changes,
            keep_models=keep_models,
        )
        self.metric_values_per_iteration = {}
        self._reason = StopReason.STOPPED
        self._is_stopped = False

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Refuse: the program is the loop.

        Raises:
            NoLoopError: always.
        """
        raise NoLoopError(
            f"{type(self).__name__} has no loop to start: call its tasks and await what they give, or use a learner "
            "that has a loop, such as SequentialActiveLearner"
        )

    def get_metric_results(self) -> dict[Any, Any]:
        """Return a copy of `metric_values_per_iteration`."""
        return dict(self.metric_values_per_iteration)

    def _recorded_values(self) -> dict[int, float]:
        return self.get_metric_results()

    def stop(self) -> None:
        """Say that the program is to end: `is_stopped` tells it so. What runs goes on until `shutdown`."""
        self._is_stopped = True
        super().stop()

    @property
    def is_stopped(self) -> bool:
        """Return whether `stop` was called."""
        return self._is_stopped

    # --- inside --------------------------------------------------------------------------------------------------

    def _verdict(self, result: Any, replayed: bool) -> tuple[bool, float]:
        stop, value = super()._verdict(result, replayed)
        self.metric_values_per_iteration[self.iteration] = value
        state = self.build_iteration_state(self.iteration, value, stop)
        state.replayed = replayed
        self.iteration += 1
        self._reason = StopReason.CRITERION_MET if stop else StopReason.STOPPED
        self._told(state)
        return stop, value

    async def _open_submissions(self, stack: AsyncExitStack) -> Opened:
        name, run = self.learner_name, None
        request = RunRequest((name,), {name: self.registered()}, (), 1, {}, Limits(), learner_ids=False)
        stack.push_async_callback(self._stopped)
        if self._run_dir is not None:
            run = await Run.open(self._directory(), self._keep_models, self.events)
            stack.push_async_callback(run.close)
            run.log = await stack.enter_async_context(logged(run.path))
            run.accepts_changes = bool(self._accept_changes)
            run.emit(DriverStarted(run.journal.epoch, [name]))
            await run.recall(name, 0)
            self.run_dir, run.outcome = run.path, "finished"
            stack.callback(lambda: run.emit(WorkflowStopped(name, str(self._reason), None)))
        identifier = None if run is None else await identifier_of(run)
        self._tracking.started(manifest_of(type(self).__name__, request, identifier))
        return self._open_engine(stack, close_engine=False), run

    async def _stopped(self) -> None:
        """Tell the trackers that the program has ended."""
        self._tracking.stopped(self._reason)
        await asyncio.to_thread(self._tracking.close)
