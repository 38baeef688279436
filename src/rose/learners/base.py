"""The learners: what users construct, decorate and run."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from rose.dataflow.plan import DataflowPlan
from rose.engine import Engine, TaskKey, as_engine
from rose.errors import ConfigurationError, EngineClosedError
from rose.learners.registration import Registration
from rose.loop import checks
from rose.loop.changes import AcceptChanges, check_accept, check_identity
from rose.loop.protocol import Plan, Request, check_limits
from rose.loop.session import Session
from rose.loop.state import Results, States, WorkflowResult
from rose.loop.synchronous import run_synchronously
from rose.loop.workflow import Workflow
from rose.paths import expanded
from rose.pool.plan import PoolPlan
from rose.pool.pool import Pool
from rose.stages.config import LearnerConfig, UQLearnerConfig
from rose.stages.options import make_stage
from rose.stages.reporting import LearnerInTask, Listener, Reports, register, reports
from rose.stages.runner import Runner
from rose.store import DriverStarted, EventLog, Run, check_run_dir

_log = logging.getLogger("rose")

L = TypeVar("L", bound="UQLearner")
P = ParamSpec("P")
R = TypeVar("R")


class UQLearner(Registration):
    """What both learners have in common: stages, an engine, state, and the runs they started.

    Args:
        engine: what executes tasks: nothing (the embedded `LocalEngine`, started for each run and closed after it), a
            number of workers, or an engine of ours, which stays yours to close (`await learner.shutdown()`).
        pool: the candidates; without one, the learner runs ROSE's dataflow over files of yours.
        run_dir: the directory that holds everything about the run; None for a temporary one. Where there is a run in
            it, running is resuming: what is recorded as done is not run again.
        resume: False refuses a directory with a run in it; "new" starts another run beside it (`runs/digits-2`).
        accept_changes: whether to resume with other functions or settings than the run was begun with, and keep all
            labels; "resimulate" starts over where the simulation has changed, and keeps its earlier labels aside.
        keep_models: of how many rounds the models stay in `run_dir`, the last ones of each workflow; all labels do.
        acquisition: how a batch is chosen from a pool, a name from `rose.acquisition.acquisitions()`.

    Raises:
        ConfigurationError: if one of them cannot be.
    """

    def __init__(
        self,
        engine: Any = None,
        *,
        pool: Pool | None = None,
        run_dir: str | Path | None = None,
        acquisition: str = "diverse",
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
    ) -> None:
        super().__init__()
        if pool is not None and not isinstance(pool, Pool):
            raise ConfigurationError(
                f"pool must be a rose.Pool, got {type(pool).__name__}; wrap it: Pool(X, initial=20)"
            )
        if run_dir is not None:
            run_dir = expanded(run_dir, "run_dir")
        self.learner_name = "UQLearner"
        self.pool = pool
        self.acquisition = acquisition
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
        self._workflows: list[Workflow] = []
        self._sessions: list[Session] = []
        self._callbacks: list[Listener] = []
        self._state = Reports(self._callbacks)
        self._utility_calls = itertools.count()

    def __reduce__(self) -> tuple[type[LearnerInTask], tuple[()]]:
        """In a task's process a learner is only what state is registered with."""
        return LearnerInTask, ()

    # --- state ---------------------------------------------------------------------------------------------------

    def register_state(self, key: str, value: Any) -> None:
        """Report a value to whoever looks at the iterations: it becomes `state.key` of the workflow that is running.

        Outside of tasks it becomes part of every workflow's later states.
        """
        if reports.get() is None:
            self._state.register(key, value)
        else:
            register({key: value})

    def get_state(self, key: str, default: Any = None) -> Any:
        """A value that was registered outside of tasks, or by the stage that runs now."""
        return {**self._state, **(reports.get() or {})}.get(key, default)

    def on_state_update(self, callback: Listener) -> None:
        """Call `callback(key, value)` for each value that comes to be in a state.

        These are what `register_state` is given, in workers too (when the task's result arrives), the entries of
        results that are dicts, and what the round itself adds: `uq_value`, `criterion_values`, ... It is called in the
        thread of the run's event loop; what it raises ends the workflow that the value is of, as a failed task would.

        Raises:
            ConfigurationError: if it cannot be called, or is async: nobody would await it.
        """
        if not callable(callback) or inspect.iscoroutinefunction(callback):
            raise ConfigurationError(f"on_state_update takes a plain function of (key, value), got {callback!r}")
        self._callbacks.append(callback)

    def set_next_config(self, config: LearnerConfig, learner_name: str | None = None) -> None:
        """Use another configuration from the next iteration on, for one workflow or (None) for all.

        Raises:
            ConfigurationError: if there is no such workflow, or `config` is no configuration.
        """
        names = [workflow.name for workflow in self._workflows]
        if learner_name is not None:
            checks.check_configs({learner_name: config}, names, "set_next_config")
        for workflow in self._workflows:
            if learner_name in (None, workflow.name):
                workflow.config = checks.check_config(config, "set_next_config")

    def stop(self) -> None:
        """End all workflows now, and what runs for them; `start` ends, `teach` returns what was learned."""
        for session in self._sessions:
            session.stop()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` ended the last run."""
        return bool(self._sessions) and self._sessions[-1].stopped

    # --- utility tasks -------------------------------------------------------------------------------------------

    def utility_task(self, func: Any = None, **options: Any) -> Any:
        """Register a task outside the loop: the decorated function, awaited, runs on the engine.

        Example:
            @learner.utility_task(as_executable=False)
            def summarise(path): ...
            text = await summarise("results.json")
        """

        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            stage = make_stage("utility", function, options)

            @wraps(function)
            async def run(*args: Any, **kwargs: Any) -> Any:
                async with AsyncExitStack() as stack:
                    if reports.get() is None:  # outside of a workflow, what it registers is everyone's
                        stack.callback(reports.reset, reports.set(self._state))
                    runner = Runner(self._open_engine(stack, close_engine=False), self.events, None, self)
                    key = TaskKey(self.learner_name, 0, "utility", index=next(self._utility_calls))
                    if stage.as_executable:
                        return await runner.command(key, stage, args, kwargs)
                    return await runner.function(key, stage, function, *args, **kwargs)

            return run

        return decorator if func is None else decorator(func)

    async def shutdown(self) -> None:
        """End what still runs, and close the engine."""
        self.stop()
        for session in self._sessions:
            await session.ended()
        if self._engine is not None:
            await self._engine.close()

    # --- running -------------------------------------------------------------------------------------------------

    def _directory(self) -> Path | None:
        directory = check_run_dir(self._run_dir, self._resume)
        if directory is not None and directory != Path(self._run_dir or "").absolute():
            _log.warning("run_dir=%r is not empty: this run is in %s", str(self._run_dir), directory)
        return directory

    def _session(self, plan: Plan, *, close_engine: bool = False) -> Session:
        async def open_workflows(stack: AsyncExitStack) -> tuple[list[Workflow], Run]:
            run = await Run.open(self._directory(), self._keep_models, self.events)
            stack.push_async_callback(run.close)
            identity = await asyncio.to_thread(lambda: plan.identity)  # it reads files, and all of the pool's
            await check_identity(run, identity, plan.code, self._accept_changes)
            engine = self._open_engine(stack, close_engine)
            checks.check_capacity(plan.variants, engine.capacity())
            runner = Runner(engine, self.events, run, self, labels=self.pool is not None)
            self._workflows = await plan.open(runner, stack)
            names = [workflow.name for workflow in self._workflows]
            run.emit(DriverStarted(run.journal.epoch, names))
            self.run_dir = None if run.temporary else run.path
            return self._workflows, run

        session = Session(open_workflows, self.events, self._state)
        self._sessions = [old for old in self._sessions if not old.over] + [session]
        return session

    def _open_engine(self, stack: AsyncExitStack, close_engine: bool) -> Engine:
        """The engine for one use. The embedded one lives as long as the use; one that was given stays open."""
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

    def _plan(self, request: Request) -> Plan:
        if self.pool is None:
            return DataflowPlan(self.registered(), request)
        return PoolPlan(self.registered(), request, self.pool, self.acquisition)

    def _model_names(self, model_names: Sequence[str] | None) -> tuple[str, ...]:
        """The models to train: those named, else the registered estimators."""
        if model_names is None:
            if not self.estimators:
                raise ConfigurationError(
                    "model_names is missing: name the models to train, e.g. model_names=['a', 'b']"
                )
            model_names = list(self.estimators)
        names = checks.check_names(model_names, "model_names")
        if self.estimators:
            for name in names:
                if name not in self.estimators:
                    raise ConfigurationError(f"model_names holds {name!r}; models() has {', '.join(self.estimators)}")
        return names


def _asked(
    prepare: Callable[Concatenate[L, P], Plan],
) -> Callable[[Callable[[L, Plan], R]], Callable[Concatenate[L, P], R]]:
    """Give a method the arguments of `prepare`, which checks them at the call and makes the plan to run."""

    signature = inspect.signature(prepare)

    def decorator(method: Callable[[L, Plan], R]) -> Callable[Concatenate[L, P], R]:
        @wraps(method)
        def call(self: L, /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(self, *args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{method.__qualname__}() {error}") from None
            return method(self, prepare(self, *args, **kwargs))

        call.__signature__ = signature.replace(  # type: ignore[attr-defined]
            return_annotation=inspect.signature(method).return_annotation
        )
        call.__doc__ = f"{method.__doc__}\n\n{inspect.getdoc(prepare)}"
        return call

    return decorator


class SeqUQLearner(UQLearner):
    """One workflow: an ensemble trained round after round on what its own uncertainty asks for."""

    def _ask(
        self,
        model_names: Sequence[str] | None = None,
        num_predictions: int = 1,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        learning_config: LearnerConfig | None = None,
        *,
        budget: int | None = None,
        max_time: float | None = None,
    ) -> Plan:
        """All checks are made at the call, before anything runs.

        Args:
            model_names: the members of the ensemble.
            num_predictions: stochastic passes per member.
            max_iter: the most iterations; 0: until another end.
            skip_pre_loop: (ROSE's dataflow) begin with the uncertainty of what is there already.
            learning_config: configuration of the stages.
            budget: (pools) the most labels.
            max_time: seconds after which no new round begins.

        Raises:
            ConfigurationError and its kinds: at once.
            RunFailedError: when the workflow has failed.
        """
        name = self.learner_name
        request = Request(
            names=(name,),
            model_names=self._model_names(model_names),
            num_predictions=checks.check_count(num_predictions, "num_predictions", 1),
            configs={name: checks.check_config(learning_config, "learning_config")},
            limits=check_limits(max_iter, budget, max_time),
            skip_pre_loop=skip_pre_loop,
            learner_ids=False,
        )
        return self._plan(request)

    @_asked(_ask)
    def start(self, plan: Plan) -> States[WorkflowResult]:
        """Run the workflow, giving its state after each iteration; the next begins when it has been dealt with.

        Awaited instead of iterated, it is as `teach`.
        """
        session = self._session(plan)
        return States(session.states(), lambda: session.results()[self.learner_name])

    @_asked(_ask)
    async def teach(self, plan: Plan) -> WorkflowResult:
        """Run the workflow to its end, and give what it learned."""
        return (await self._session(plan).run())[self.learner_name]

    @_asked(_ask)
    def run(self, plan: Plan) -> WorkflowResult:
        """`teach` for synchronous callers, notebooks included. An engine that was given is closed at the end."""
        return run_synchronously(lambda: self._session(plan, close_engine=True).run())[self.learner_name]

    def get_metric_results(self) -> dict[int, float]:
        """The criterion's value by iteration, of the last run."""
        return dict(self._workflows[0].metrics) if self._workflows else {}

    def get_uncertainty_results(self) -> dict[int, float]:
        """The uncertainty by iteration, of the last run."""
        return dict(self._workflows[0].uncertainties) if self._workflows else {}


class ParallelUQLearner(UQLearner):
    """Several workflows side by side on the same workers, each with its own configuration."""

    def _ask(
        self,
        learner_names: Sequence[str] | None = None,
        model_names: Sequence[str] | None = None,
        num_predictions: int = 1,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        learner_configs: Mapping[str, LearnerConfig | None] | None = None,
        *,
        workflows: Mapping[str, str | UQLearnerConfig] | None = None,
        budget: int | None = None,
        max_time: float | None = None,
    ) -> Plan:
        """All checks are made at the call, before anything runs.

        Args:
            learner_names: the workflows.
            model_names: the members of each ensemble.
            num_predictions: stochastic passes per member.
            max_iter: the most iterations of each workflow; 0: until another end.
            skip_pre_loop: (ROSE's dataflow) begin with the uncertainty of what is there already.
            learner_configs: configurations by workflow; a missing one is empty.
            workflows: (pools) in short: `{name: metric name or configuration}` instead of names and configs.
            budget: (pools) the most labels a workflow may hold.
            max_time: seconds after which no new round begins.

        Raises:
            ConfigurationError and its kinds: at once.
            RunFailedError: when all have ended, if a workflow failed.
        """
        if workflows is not None:
            if learner_names is not None or learner_configs is not None:
                raise ConfigurationError("give either workflows=, or learner_names and learner_configs")
            learner_names, learner_configs = self._in_short(workflows)
        if learner_names is None:
            raise ConfigurationError("learner_names is missing: name the workflows, e.g. learner_names=['a', 'b']")
        names = checks.check_names(learner_names, "learner_names")
        request = Request(
            names=names,
            model_names=self._model_names(model_names),
            num_predictions=checks.check_count(num_predictions, "num_predictions", 1),
            configs=checks.check_configs(learner_configs, names),
            limits=check_limits(max_iter, budget, max_time),
            skip_pre_loop=skip_pre_loop,
        )
        return self._plan(request)

    @_asked(_ask)
    def start(self, plan: Plan) -> States[Results]:
        """Run the workflows, giving each state as it arrives, with `learner_id`.

        A workflow goes on when its state has been dealt with; leaving the iteration ends all of them. Awaited instead
        of iterated, it is as `teach`.
        """
        session = self._session(plan)
        return States(session.states(), session.results)

    @_asked(_ask)
    async def teach(self, plan: Plan) -> Results:
        """Run the workflows to their ends, and give what each learned."""
        return await self._session(plan).run()

    @_asked(_ask)
    def run(self, plan: Plan) -> Results:
        """`teach` for synchronous callers, notebooks included. An engine that was given is closed at the end."""
        return run_synchronously(lambda: self._session(plan, close_engine=True).run())

    def get_metric_results(self) -> dict[str, dict[int, float]]:
        """The criterion's value by iteration, under `learner-NAME`, of the last run."""
        return {f"learner-{workflow.name}": dict(workflow.metrics) for workflow in self._workflows}

    def get_uncertainty_results(self) -> dict[str, dict[int, float]]:
        """The uncertainty by iteration, under `learner-NAME`, of the last run."""
        return {f"learner-{workflow.name}": dict(workflow.uncertainties) for workflow in self._workflows}

    def _in_short(self, workflows: Mapping[str, Any]) -> tuple[list[str], dict[str, UQLearnerConfig]]:
        if self.pool is None:
            raise ConfigurationError("workflows= names each workflow's metric, which needs a pool: use learner_names")
        if not isinstance(workflows, Mapping):
            raise ConfigurationError("workflows must be a dict {name: metric name or UQLearnerConfig}")
        configs = {}
        for name, value in workflows.items():
            if not isinstance(value, (str, UQLearnerConfig)):
                raise ConfigurationError(
                    f"workflows[{name!r}] must be a metric name or a UQLearnerConfig, got {value!r}"
                )
            configs[name] = UQLearnerConfig(uq_metric_name=value) if isinstance(value, str) else value
        return list(workflows), configs
