"""Share among all loops of ROSE's dataflow how results travel by position from stage to stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rose.dataflow._calls import injected_names
from rose.engine import TaskKey
from rose.errors import CorruptRunError
from rose.loop.limits import Limits
from rose.loop.protocol import Hooks, Outcome, RunRequest
from rose.loop.state import StateResult, StopReason, WorkflowResult
from rose.metrics import compare
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.kinds import CRITERION
from rose.stages.options import take_description
from rose.stages.parsing import number, plain
from rose.stages.reporting import register
from rose.stages.runner import Runner, result_keys
from rose.stages.stage import Registered, Stage, StopCriterion

_SELECTION_LIMIT = 1000  # entries: what is chosen may be a data set, which the history need not repeat


class DataflowLoop:
    """Call the stages of one workflow by position; between two iterations nothing is pending but the user's files.

    Args:
        name: the workflow's.
        stages: its stages by kind.
        runner: what runs their tasks.
    """

    settings = ("max_iter",)

    def __init__(self, name: str, stages: Mapping[str, Stage], runner: Runner) -> None:
        self.name = name
        self.stages = stages
        self.runner = runner
        # The names that each stage's function can take, of those that are injected.
        self._told = {kind: injected_names(stage) for kind, stage in stages.items()}
        self._kept: dict[int, list[str]] = {}  # of the last iteration, what is needed after it

    def carries(self) -> list[str]:
        """Return the keys of the tasks whose kind says that their results are kept."""
        return [key for keys in self._kept.values() for key in keys]

    def checkpoint(self) -> Mapping[str, Any]:
        """Return nothing beside the outcome: results travel within an iteration."""
        return {}

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, checkpoint: Mapping[str, Any]
    ) -> None:
        """Do nothing: the outcome says it all."""

    def goes_on(self) -> bool:
        """Return False: candidates are the user's files."""
        return False

    def pending(self) -> tuple[int, ...]:
        """Return nothing: nothing is simulated between two iterations."""
        return ()

    def limit(self, limits: Limits) -> None:
        """Do nothing: nothing but the end of an iteration depends on the limits."""

    async def withdraw(self, candidate: int) -> bool:
        """Return False: nothing is pending."""
        return False

    async def give(self, candidate: int, label: Any) -> bool:
        """Return False: labels are the user's files."""
        return False

    def end(self) -> None:
        """Do nothing: nothing is pending."""

    def result(self) -> WorkflowResult:
        """Return the history alone: the models and labels are the user's files."""
        return WorkflowResult(self.name)

    async def call(
        self,
        kind: str,
        iteration: int,
        config: LearnerConfig,
        upstream: tuple[Any, ...],
        injected: Mapping[str, Any] | None = None,
        model: str | None = None,
        index: int | None = None,
        unflushed: bool = False,
        before: tuple[Any, ...] = (),
    ) -> Any:
        """Run a stage's task.

        Args:
            kind: which stage.
            iteration, config: of the workflow.
            upstream: results of earlier stages, which come after the configured arguments.
            injected: what the task is told by name, as far as its function can take it.
            model, index: the rest of the task's key.
            before: what comes before the configured arguments.
            unflushed: whether the result may come before it is on disk (who uses it waits for `Runner.flushed`).
        """
        stage = stage_for(self.stages[kind], config, iteration, model)
        key = TaskKey(self.name, iteration, kind, model, index)
        configured = config.get_task_config(kind, iteration)
        args = (*before, *(configured.args if configured else ()), *upstream)
        told = {name: value for name, value in (injected or {}).items() if name in self._told[kind]}
        stage, own = take_description(stage, configured.kwargs if configured else {})
        kwargs = {**own, **told}
        if stage.as_executable:
            result = await self.runner.command(key, stage, args, kwargs, self.runner.own_workdir(key, stage))
        else:
            run = self.runner.unflushed if unflushed else self.runner.function
            result = await run(key, stage, stage.func, *args, **kwargs)
        if isinstance(result, dict):
            register(result)
        if stage.row.kept:
            self._kept = {iteration: [*self._kept.get(iteration, ()), *result_keys(key)]}
        return result

    async def earlier(self, kind: str, iteration: int) -> Any:
        """Return what a stage gave in an iteration that is recorded.

        Raises:
            CorruptRunError: if it is not there.
        """
        key, run = str(TaskKey(self.name, iteration, kind)), self.runner.run
        record = None if run is None else await run.task(key)
        if run is None or record is None:
            raise CorruptRunError(f"the result of task {key}, with which the run goes on, is not recorded")
        return await run.result(record).get()


class JudgedLoop(DataflowLoop):
    """Play iterations that end with the workflow's one criterion; the last one stays recorded, to be played again.

    Args:
        name: the workflow's.
        registered: its stages and criterion.
        request: what was asked for.
        runner: what runs its tasks.
    """

    also: tuple[str, ...] = ()  # what stands in keys of tasks that are not the user's

    def __init__(self, name: str, registered: Registered, request: RunRequest, runner: Runner) -> None:
        super().__init__(name, registered.all_stages(), runner)
        self._criterion = registered.criterion
        self._hooks = request.hooks
        self._skips = request.skip_pre_loop
        self._last = -1  # the iteration that has ended

    def carries(self) -> list[str]:
        """Return all of the last iteration: where the limits are others, it is played again, and none of it runs."""
        keys = [TaskKey(self.name, self._last, kind) for kind in (*self.stages, *self.also)]
        return [text for key in keys for text in result_keys(key)]

    async def judged(self, iteration: int, config: LearnerConfig, given: tuple[Any, ...], outcome: Outcome) -> Outcome:
        """Return an outcome with the criterion's value, if there is one, which is called with what is given."""
        if self._criterion is None:
            return outcome
        result = await self.call(CRITERION.name, iteration, config, given)
        key = TaskKey(self.name, iteration, CRITERION.name)
        met, value = verdict(self._criterion, self._hooks, result, key)
        return replace(outcome, metric_value=value, stop=StopReason.CRITERION_MET if met else None)

    def result(self) -> StateResult:
        """Return the history, which also has what the last state has."""
        return StateResult(self.name)


def verdict(rule: StopCriterion, hooks: Hooks, result: Any, key: TaskKey) -> tuple[bool, float]:
    """Return whether the result of a criterion's task meets it, and the criterion's value; the learner has a say."""
    if hooks.criterion is not None:
        return hooks.criterion(result)
    value = number(result, key, ("metric_value", rule.metric_name))
    return holds(hooks, rule.metric_name, value, rule.operator, rule.threshold), value


def holds(hooks: Hooks, metric: str, value: float, operator: str, threshold: float) -> bool:
    """Return whether a threshold is met; the learner has a say."""
    if hooks.compare is not None:
        return hooks.compare(metric, value, threshold, operator)
    return compare(value, operator, threshold)


def selection(chosen: Any) -> Any:
    """Return what active_learn gave, in plain JSON; only a description where it is large."""
    if isinstance(chosen, str):
        return chosen.strip()[-_SELECTION_LIMIT:]
    shape = getattr(chosen, "shape", None)
    count = math.prod(shape) if isinstance(shape, tuple) else len(chosen) if hasattr(chosen, "__len__") else 1
    if count > _SELECTION_LIMIT:
        return f"{type(chosen).__name__} of {count} entries"
    return plain(chosen)
