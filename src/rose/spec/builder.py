"""Build the learner that a file describes, and what it is started with."""

from __future__ import annotations

import functools
import importlib
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rose.learners.base import Learner
from rose.metrics import LEARNING_METRICS
from rose.paths import expanded
from rose.spec._pool_schema import PoolConfig
from rose.spec._tracking import tracker_of
from rose.spec._uq import ParallelUQLearner, SeqUQLearner
from rose.spec.adapters import TOLD, TaskAdapterFactory, check_placeholders, imported, placeholders, taken
from rose.spec.loading import read
from rose.spec.pool_learner import build_pool_learner, functions_of, pool_arguments
from rose.spec.schema import RESERVED, Program, Slots, TaskDef, UncertaintyDef, WorkflowConfig
from rose.stages.config import AdaptiveSchedule, LearnerConfig, UQLearnerConfig

_log = logging.getLogger("rose")


class LearnerBuilder:
    """Build the learner of a program, and its configurations.

    Args:
        source: the file, or what was read from it.
        asyncflow: what executes its tasks, as for every learner; None: so many workers as the file says.
        **options: of the learner: `run_dir` (instead of what the file says), `resume`, `accept_changes`, `keep_models`.

    Raises:
        OSError: if there is no such file.
        ConfigurationError: if it is no program.
    """

    def __init__(self, source: str | Path | Program, asyncflow: Any = None, **options: Any) -> None:
        self.config = source if isinstance(source, Program) else read_program(source)
        self._engine = self.config.workers if asyncflow is None else asyncflow
        self._options = options
        if options.get("run_dir") is None and self.config.run_dir is not None:
            self._options["run_dir"] = self.config.directory / expanded(self.config.run_dir, "run_dir")
        folder = str(self.config.directory)
        if folder not in sys.path:  # modules beside the file are found, after all that Python finds without
            sys.path.append(folder)

    def build(self) -> Learner[Any]:
        """Return the learner, with all tasks registered and the tracker added.

        Raises:
            ConfigurationError: if a task cannot be imported, has an option that cannot be, or names what there is not.
        """
        learner = self._build()
        tracker = tracker_of(self.config)
        if tracker is not None:
            learner.add_tracker(tracker)
        return learner

    def _build(self) -> Learner[Any]:
        config = self.config
        if not isinstance(config, WorkflowConfig):
            return build_pool_learner(self._pool_config, self._engine, **self._options)
        kind = config.kind
        learner: Learner[Any] = getattr(importlib.import_module(kind.module), kind.name)(self._engine, **self._options)
        if isinstance(learner, (SeqUQLearner, ParallelUQLearner)):
            learner.of_file = config.learner.model_dump(include={"model_names", "num_predictions"})
        for slot, task, function in self._tasks:
            options = _options(task)
            if isinstance(task, UncertaintyDef):
                options |= {"operator": task.operator, "threshold": task.threshold}
                learner.uncertainty_quantification(task.metric, **options)(function)
            elif slot == "criterion":
                rule = config.stop_criterion
                known = rule.metric in LEARNING_METRICS and "operator" not in rule.model_fields_set
                learner.as_stop_criterion(rule.metric, rule.threshold, "" if known else rule.operator, **options)(
                    function
                )
            else:
                getattr(learner, f"{slot}_task")(**options)(function)
        self._tell_of_the_unused()
        return learner

    def check_imports(self) -> None:
        """Import what the tasks name.

        Raises:
            ConfigurationError: if something cannot be.
        """
        if isinstance(self.config, WorkflowConfig):
            _ = self._tasks
        else:
            functions_of(self._pool_config)

    @property
    def _pool_config(self) -> PoolConfig:
        assert isinstance(self.config, PoolConfig)
        return self.config

    def build_learner_config(self) -> LearnerConfig | None:
        """Return what a sequential learner's tasks are told by name; None where it is nothing.

        The parameters, `iteration` and `pythonpath`: to each task those that it takes.
        """
        if not isinstance(self.config, WorkflowConfig) or not self._tells:
            return None
        return self._configuration({})

    def build_learner_configs(self) -> list[LearnerConfig] | None:
        """Return what each parallel learner's tasks are told by name, `learner_id` and `learner_label` among it.

        None for a sequential learner, and where it is nothing.
        """
        config = self.config
        if not isinstance(config, WorkflowConfig) or not config.kind.parallel or not self._tells:
            return None
        labels = [one.label for one in config.learners or ()]
        return [
            self._configuration({"learner_id": number, "learner_label": labels[number] if labels else ""})
            for number in range(config.learner.parallel_learners)
        ]

    def arguments(self) -> dict[str, Any]:
        """Return what the learner's `start`, `teach` and `run` take, as the file says it."""
        config = self.config
        if not isinstance(config, WorkflowConfig):
            return pool_arguments(self._pool_config)
        told = {"max_iter": config.learner.max_iter}
        if config.kind.parallel:
            count = config.learner.parallel_learners
            return {**told, "parallel_learners": count, "learner_configs": self.build_learner_configs()}
        return {**told, "initial_config": self.build_learner_config()}

    @functools.cached_property
    def _tasks(self) -> list[tuple[str, TaskDef, Callable[..., Any]]]:
        """Return each stage with its task (of several learners, the first one's) and what is registered for it."""
        config = self.config
        assert isinstance(config, WorkflowConfig)
        remote = config.remote.model_copy(update={"pythonpath": self._pythonpath(config)})
        found: list[tuple[str, TaskDef, Callable[..., Any]]] = []
        for slot in (*config.kind.needs, *config.kind.takes):
            held: dict[tuple[str | int, ...], Slots] = {(slot,): config}
            if config.learners is not None:
                held = {("learners", number, slot): one for number, one in enumerate(config.learners)}
            defs = []
            for place, one in held.items():
                if (task := one.tasks().get(slot)) is not None:
                    self._check(task, place, remote.pythonpath)
                    defs.append(task)
            if config.learners is None:
                found += [(slot, task, TaskAdapterFactory.make_closure(task, remote)) for task in defs]
            elif defs:
                found.append((slot, defs[0], TaskAdapterFactory.make_dispatch_closure(slot, defs, remote)))
        evaluator = config.stop_criterion.evaluator
        self._check(evaluator, ("stop_criterion", "evaluator"), remote.pythonpath)
        return [*found, ("criterion", evaluator, TaskAdapterFactory.make_closure(evaluator, remote))]

    def _check(self, task: TaskDef, place: tuple[str | int, ...], pythonpath: list[str]) -> None:
        if task.command is not None:
            known = (*self.config.parameters, *RESERVED, *TOLD)
            check_placeholders(task.command, known, self.config.at(*place, "command"))
        elif task.function is not None:
            imported(task.function, pythonpath, self.config.at(*place, "function"))

    @staticmethod
    def _pythonpath(config: WorkflowConfig) -> list[str]:
        return [str(config.directory / expanded(one, "pythonpath")) for one in config.remote.pythonpath]

    @property
    def _tells(self) -> bool:
        """Return whether tasks are told anything."""
        config = self.config
        assert isinstance(config, WorkflowConfig)
        asked = {name for _, task, _ in self._tasks if task.command for name in placeholders(task.command)}
        return bool(config.parameters or config.remote.pythonpath or config.learners or asked & set(RESERVED))

    def _configuration(self, more: Mapping[str, Any]) -> LearnerConfig:
        config = self.config
        assert isinstance(config, WorkflowConfig)
        told = {**config.parameters, "pythonpath": list(config.remote.pythonpath), **more}
        make: type[LearnerConfig] = UQLearnerConfig if config.kind.module == SeqUQLearner.__module__ else LearnerConfig
        stages: dict[str, Any] = {}
        for slot, _, function in self._tasks:
            own = taken(function, {**told, "iteration": 0})
            tells = own.pop("iteration", None) is not None
            stages[slot] = AdaptiveSchedule(functools.partial(_in_iteration, own, tells))
        return make(**stages)

    def _tell_of_the_unused(self) -> None:
        config = self.config
        assert isinstance(config, WorkflowConfig)
        for name in config.parameters:
            asks = (
                name in (placeholders(task.command) if task.command else taken(function, {name: None}))
                for _, task, function in self._tasks
            )
            if not any(asks):
                _log.warning("%s: no task takes it", config.at("parameters", name))


def _in_iteration(told: Mapping[str, Any], tells: bool, iteration: int) -> dict[str, Any]:
    return {"kwargs": {**told, "iteration": iteration} if tells else dict(told)}


def _options(task: TaskDef) -> dict[str, Any]:
    described = {"task_description": task.task_description} if task.task_description else {}
    return {**task.options, **described, "as_executable": TaskAdapterFactory.as_executable(task)}


def read_program(path: str | Path) -> Program:
    """Read a program of a learner of ROSE's, or (with a key `pool`) over a pool.

    Raises:
        OSError: if there is no such file.
        ConfigurationError: if it is no program; the message has the lines.
    """
    source = read(path)
    kind = PoolConfig if "pool" in source.data else WorkflowConfig
    return kind.from_source(source)
