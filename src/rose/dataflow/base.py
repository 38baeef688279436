"""Share among all loops of ROSE's dataflow how results travel by position from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rose.dataflow._calls import injected_names
from rose.engine import TaskKey
from rose.loop.limits import Limits
from rose.loop.protocol import Outcome
from rose.loop.state import WorkflowResult
from rose.stages.config import LearnerConfig, stage_for
from rose.stages.options import take_description
from rose.stages.reporting import register
from rose.stages.runner import Runner, result_keys
from rose.stages.stage import Stage


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
    ) -> Any:
        """Run a stage's task.

        Args:
            kind: which stage.
            iteration, config: of the workflow.
            upstream: results of earlier stages, which come after the configured arguments.
            injected: what the task is told by name, as far as its function can take it.
            model, index: the rest of the task's key.
            unflushed: whether the result may come before it is on disk (who uses it waits for `Runner.flushed`).
        """
        stage = stage_for(self.stages[kind], config, iteration, model)
        key = TaskKey(self.name, iteration, kind, model, index)
        configured = config.get_task_config(kind, iteration)
        args = (*(configured.args if configured else ()), *upstream)
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
