"""Give all learners what they have in common: an engine, state, run directories, `start`, `teach` and `run`."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from rose.engine import Engine, as_engine
from rose.errors import ConfigurationError, EngineClosedError
from rose.learners._hooked import HookedRunner, submitted
from rose.learners._state import StateOfLearner
from rose.learners._submissions import Opened, Submissions
from rose.learners._task_dicts import stage_of, with_arguments
from rose.learners._utility import utility
from rose.learners.tracking import Tracking, manifest_of
from rose.loop import checks
from rose.loop.changes import AcceptChanges, check_accept, check_identity, note_provenance
from rose.loop.identity import identifier_of
from rose.loop.protocol import Plan
from rose.loop.session import Session, close
from rose.loop.state import Results, States, StopReason, overall
from rose.loop.synchronous import run_synchronously
from rose.loop.workflow import Workflow, workflows_of
from rose.paths import expanded
from rose.stages.config import LearnerConfig
from rose.stages.reporting import LearnerInTask
from rose.stages.runner import Runner
from rose.store import DriverStarted, EventLog, Run, check_run_dir, logged

NEEDS_POOL = (
    "control= compares with a workflow that selects at random, which takes a pool to select from: give an "
    "uncertainty-driven learner one, SeqUQLearner(pool=rose.Pool(X, ...)); ROSE's dataflow selects by your own tasks"
)

_log = logging.getLogger("rose")

R = TypeVar("R")


class Learner(StateOfLearner, Generic[R]):
    """Hold what is registered, an engine, state, and the runs that were started; each kind of learner adds `plan`.

    `start`, `teach` and `run` take the arguments of `plan`, which checks them at the call, before anything runs; with
    `progress=True` they show how it goes, as `rose.watch.progress` does.

    Args:
        engine: what executes tasks: nothing (the embedded `LocalEngine`, started for each run and closed after it), a
            number of workers, or an engine of ours, which stays yours to close (`await learner.shutdown()`).
        run_dir: the directory that holds everything about the run; None for a temporary one. Where there is a run in
            it, running is resuming: what is recorded as done is not run again.
        resume: False refuses a directory with a run in it; "new" starts another run beside it (`runs/digits-2`).
        accept_changes: whether to resume with other functions or settings than the run was begun with, and keep all
            labels; "resimulate" starts over where the simulation has changed, and keeps its earlier labels aside.
        keep_models: of how many rounds the models stay in `run_dir`, the last ones of each workflow; all labels do.

    Raises:
        ConfigurationError: if one of them cannot be.
    """

    def __init__(
        self,
        engine: Any = None,
        *,
        run_dir: str | Path | None = None,
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
    ) -> None:
        super().__init__()
        if run_dir is not None:
            run_dir = expanded(run_dir, "run_dir")
        self.learner_name = type(self).__name__
        self.events = EventLog()
        self._given = engine
        self._engine: Engine | None = None
        if engine is not None and not isinstance(engine, int):
            self._engine = as_engine(engine, directory=run_dir)
        self._engine_closed = False
        self.run_dir: Path | None = None  # of the last run, once it has begun; None for a temporary one
        self._run_dir = run_dir
        self._resume: bool | Literal["new"] = resume
        self._accept_changes: AcceptChanges = check_accept(accept_changes)
        self._keep_models = checks.check_count(keep_models, "keep_models", 1)
        check_run_dir(run_dir, resume)  # an unusable directory is an error now, not in the run
        self._utility_calls = itertools.count()
        self._tracking = Tracking()
        opener = self._open_submissions
        self._submissions = Submissions(self, self.learner_name, self.events, self._state, opener, self._accept_changes)

    def __reduce__(self) -> tuple[type[LearnerInTask], tuple[()]]:
        """Become, in a task's process, only what state is registered with."""
        return LearnerInTask, ()

    def add_tracker(self, tracker: Any) -> None:
        """Have a tracker follow the runs of this learner: one of `rose.tracking`, or by its name a registered one.

        Raises:
            ConfigurationError: if it is none.
            UnknownNameError: for a name that no tracker has.
        """
        self._tracking.add(tracker)

    def set_next_config(self, config: LearnerConfig, learner_name: str | int | None = None) -> None:
        """Use another configuration from the next iteration on, for one workflow or (None) for all.

        Raises:
            ConfigurationError: if there is no such workflow, or `config` is no configuration.
        """
        names = [workflow.name for workflow in self._workflows]
        name = None if learner_name is None else str(learner_name)
        checks.check_config(config, "set_next_config")
        if name is not None:
            checks.check_configs({name: config}, names, "set_next_config")
        for workflow in self._workflows:
            if name in (None, workflow.name):
                workflow.config = self._config_of(workflow.name, config, "set_next_config")

    def stop(self) -> None:
        """End all workflows now, and what runs for them; `start` ends, `teach` returns what was learned."""
        for session in self._sessions:
            session.stop()

    @property
    def is_stopped(self) -> bool:
        """Return whether `stop` ended the last run."""
        return bool(self._sessions) and self._sessions[-1].stopped

    # --- utility tasks -------------------------------------------------------------------------------------------

    def utility_task(self, func: Any = None, **options: Any) -> Any:
        """Register a task outside the loop: the decorated function, awaited, runs on the engine.

        Example:
            @learner.utility_task(as_executable=False)
            def summarise(path): ...
            text = await summarise("results.json")
        """
        return utility(self, func, options)

    async def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """End what still runs, and close the engine; arguments are for a WorkflowEngine's own `shutdown`."""
        self.stop()
        await self._submissions.close()
        for session in self._sessions:
            await session.ended()
        if (args or kwargs) and hasattr(self._given, "shutdown"):
            await self._given.shutdown(*args, **kwargs)
        if self._engine is not None:
            await self._engine.close()

    def _register_task(self, task_obj: Mapping[str, Any], deps: Any = None) -> asyncio.Future[Any]:
        """Submit a task that a dict describes, such as a copy of `simulation_function`, and return its future.

        Replaced on the instance, or overridden, it sees every task of a run that is to be executed: `args` and `deps`
        are what the function is called with by position, and what it returns is awaited.

        Args:
            task_obj: `func`, `args`, `kwargs`, `decor_kwargs`, `as_executable`; and `key`, what the task is called.
            deps: what follows `args`: futures or values, in a tuple, or one.
        """
        kind = self._kind_of(task_obj)
        args = (*(task_obj.get("args") or ()), *(deps if isinstance(deps, tuple) else () if deps is None else (deps,)))
        kwargs = dict(task_obj.get("kwargs") or {})
        go_on = submitted.get()
        if go_on is not None:
            return go_on(task_obj, args, kwargs)
        return self._submissions.submit(stage_of(kind, task_obj), args, kwargs, task_obj.get("key"))

    def _runner(self, engine: Engine, run: Run | None = None, labels: bool = False) -> Runner:
        if not self._overrides("_register_task"):
            return Runner(engine, self.events, run, self, labels)
        runner = HookedRunner(engine, self.events, run, self, labels)
        runner.hook = self._register_task
        return runner

    # --- running -------------------------------------------------------------------------------------------------

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Check all that is asked for, before anything runs, and return the loops to be opened.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        raise NotImplementedError

    def start(self, *args: Any, progress: bool = False, **kwargs: Any) -> States[R]:
        """Run the workflows, giving each state as it arrives; takes the arguments of `plan`.

        A workflow goes on when its state has been dealt with; leaving the iteration ends all of them. Awaited instead
        of iterated, it is as `teach`.
        """
        session = self._session(self._plan_for("start", args, kwargs), progress=progress)
        return States(session.states(), lambda: self._learned(session.results()), session.leave)

    def teach(self, *args: Any, progress: bool = False, **kwargs: Any) -> Coroutine[Any, Any, R]:
        """Run the workflows to their ends, and give what was learned; takes the arguments of `plan`.

        Raises:
            RunFailedError: when all have ended, if a workflow failed.
        """
        return self._teach(self._plan_for("teach", args, kwargs), progress=progress)

    def run(self, *args: Any, progress: bool = False, **kwargs: Any) -> R:
        """Call `teach` for synchronous callers, notebooks included. An engine that was given is closed at the end."""
        plan = self._plan_for("run", args, kwargs)
        return run_synchronously(lambda: self._teach(plan, close_engine=True, progress=progress))

    def run_planned(self, plan: Plan, run_dir: Path | None) -> Results:
        """Run a plan to its end as `run` does, in a directory that is not the learner's (None: a temporary one)."""
        own, self._run_dir = self._run_dir, run_dir
        try:
            return run_synchronously(lambda: self._session(plan, close_engine=True).run())
        finally:
            self._run_dir = own

    def _plan_for(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan:
        """Return `plan(...)`; an argument that it does not take is an error of the method that was called."""
        try:
            inspect.signature(self.plan).bind(*args, **kwargs)
        except TypeError as error:
            if "control" in kwargs and "control" not in inspect.signature(self.plan).parameters:
                raise ConfigurationError(f"{type(self).__name__}.{method}(): {NEEDS_POOL}") from None
            raise TypeError(f"{type(self).__name__}.{method}() {error}") from None
        return self.plan(*args, **kwargs)

    async def _teach(self, plan: Plan, **how: bool) -> R:
        return self._learned(await self._session(plan, **how).run())

    def _learned(self, results: Results) -> R:
        """Return what the caller gets of all workflows' results."""
        raise NotImplementedError

    @property
    def asyncflow(self) -> Any:
        """Return the WorkflowEngine that was given; else the learner, which can be shut down as one."""
        return self._given if hasattr(self._given, "shutdown") else self

    def _directory(self) -> Path | None:
        directory = check_run_dir(self._run_dir, self._resume)
        if directory is not None and directory != Path(self._run_dir or "").absolute():
            _log.warning("run_dir=%r is not empty: this run is in %s", str(self._run_dir), directory)
        return directory

    def _session(self, plan: Plan, *, close_engine: bool = False, progress: bool = False) -> Session:
        async def open_workflows(stack: AsyncExitStack) -> tuple[list[Workflow], Run]:
            if progress:
                from rose.watch import progress as shown  # whoever does not look needs no rich

                stack.enter_context(shown(self))
            await stack.enter_async_context(self._tracked())
            run = await Run.open(self._directory(), self._keep_models, self.events)
            stack.push_async_callback(close, run, self.reports)
            if not run.temporary:
                run.log = await stack.enter_async_context(logged(run.path))
            identity = await asyncio.to_thread(lambda: plan.identity)  # it reads files, and all of the pool's
            await check_identity(run, identity, plan.code, self._accept_changes)
            engine = self._open_engine(stack, close_engine)
            checks.check_capacity(plan.variants, engine.capacity())
            checks.check_backends(plan.variants, engine)
            runner = self._runner(engine, run, plan.labels)
            self._workflows = workflows_of(plan.request, await plan.open(runner, stack))
            await note_provenance(run, plan.request, type(self).__name__, engine)
            self._tracking.started(manifest_of(type(self).__name__, plan.request, await identifier_of(run)))
            run.emit(DriverStarted(run.journal.epoch, list(plan.request.names)))
            self.run_dir = None if run.temporary else run.path
            return self._workflows, run

        earlier = [old for old in self._sessions if not old.over]
        session = Session(open_workflows, self.events, self._state, self._told, self.one_is_enough, earlier)
        self._sessions = [*earlier, session]
        return session

    async def _open_submissions(self, stack: AsyncExitStack) -> Opened:
        """Open the engine for tasks that the program asks for by themselves: they are not recorded."""
        return self._open_engine(stack, close_engine=False), None

    def _told(self, state: Any) -> Awaitable[None] | None:
        """Take note of a workflow's state after an iteration; what it gives is waited for."""
        if not any(workflow.control and workflow.name == state.workflow for workflow in self._workflows):
            self._last = state
        self._tracking.iteration(state)
        return None

    def _config(self, config: LearnerConfig | None, argument: str) -> LearnerConfig:
        """Return a workflow's configuration, checked, with the arguments that the functions' dicts have."""
        return with_arguments(checks.check_config(config, argument), self.arguments())

    def _config_of(self, name: str, config: LearnerConfig | None, argument: str) -> LearnerConfig:
        """Return the configuration of one workflow; a learner whose workflows differ by themselves adds to it."""
        return self._config(config, argument)

    @asynccontextmanager
    async def _tracked(self) -> AsyncIterator[None]:
        """Tell the trackers of a run's end, if it has begun, when all else has been closed."""
        self._workflows = []
        reason = StopReason.ERROR
        try:
            yield
            went_well = [workflow for workflow in self._workflows if workflow.error is None]
            counted = went_well if went_well and self.one_is_enough else self._workflows
            reason = overall([workflow.stop_reason for workflow in counted if not workflow.control])
        except asyncio.CancelledError:
            reason = StopReason.STOPPED
            raise
        finally:
            ends = [(w.learner_id, w.state, str(w.stop_reason)) for w in self._workflows if w.learner_id is not None]
            self._tracking.stopped(reason, ends)
            await asyncio.to_thread(self._tracking.close)

    def _open_engine(self, stack: AsyncExitStack, close_engine: bool) -> Engine:
        """Return the engine for one use.

        The embedded one lives as long as the use; one that was given stays open.
        """
        engine = self._engine
        if engine is None:
            engine, close_engine = as_engine(self._given), True
        elif self._engine_closed and not isinstance(self._given, Engine):  # it was made of a client, or the like
            engine = self._engine = as_engine(self._given, directory=self._run_dir)
        elif self._engine_closed:
            raise EngineClosedError(
                "the engine was closed at the end of an earlier run(): give the learner a number of workers "
                "instead of an engine, or use `await learner.teach(...)`, which leaves it open"
            )
        self._engine_closed = close_engine and engine is self._engine
        if close_engine:
            stack.push_async_callback(engine.close)
        return engine
