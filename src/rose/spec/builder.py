"""Build the learner that a file describes, and what it is started with."""

from __future__ import annotations

import functools
import importlib
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rose.errors import ConfigurationError
from rose.learners.base import Learner
from rose.metrics import LEARNING_METRICS
from rose.paths import expanded
from rose.spec._pool_schema import PoolConfig
from rose.spec._tracking import tracker_of
from rose.spec._uq import ParallelUQLearner, SeqUQLearner
from rose.spec.adapters import TOLD, TaskAdapterFactory, check_placeholders, imported, placeholders, taken
from rose.spec.loading import read
from rose.spec.pool_learner import build_pool_learner, functions_of, pool_arguments
from rose.spec.schema import RESERVED, LearnerDef, Program, RemoteConfig, Slots, TaskDef, UncertaintyDef, WorkflowConfig
from rose.stages.binding import signature_of
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
            self._tasks  # noqa: B018
        else:
            functions_of(self._pool_config)

    @property
    def _workflow_config(self) -> WorkflowConfig:
        assert isinstance(self.config, WorkflowConfig)
        return self.config

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
        """Return what each parallel learner's tasks are told by name; None for a sequential one.

        That is also `learner_id`, and `learner_label` where there is one.
        """
        config = self.config
        if not isinstance(config, WorkflowConfig) or not config.kind.parallel:
            return None
        labels = [one.label for one in config.learners or ()] or [""] * config.learner.parallel_learners
        return [
            self._configuration({"learner_id": number} | ({"learner_label": label} if label else {}))
            for number, label in enumerate(labels)
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
        config = self._workflow_config
        remote = config.remote.model_copy(update={"pythonpath": self._pythonpath(config)})
        self._check(remote)
        found: list[tuple[str, TaskDef, Callable[..., Any]]] = []
        for slot in (*config.kind.needs, *config.kind.takes):
            defs = [task for one in config.learners or (config,) if (task := one.tasks().get(slot)) is not None]
            if config.learners is None:
                found += [(slot, task, TaskAdapterFactory.make_closure(task, remote)) for task in defs]
            elif defs:
                found.append((slot, defs[0], TaskAdapterFactory.make_dispatch_closure(slot, defs, remote)))
        evaluator = config.stop_criterion.evaluator
        return [*found, ("criterion", evaluator, TaskAdapterFactory.make_closure(evaluator, remote))]

    def _check(self, remote: RemoteConfig) -> None:
        """Check that all functions can be imported, and that commands name only what there is.

        Raises:
            ConfigurationError: if not; the message has all that is wrong.
        """
        config, wrong = self._workflow_config, []
        places: list[tuple[tuple[str | int, ...], Slots]] = [((), config)]
        places += [(("learners", number), one) for number, one in enumerate(config.learners or ())]
        tasks = [((*place, slot), task, held) for place, held in places for slot, task in held.tasks().items()]
        tasks.append((("stop_criterion", "evaluator"), config.stop_criterion.evaluator, config))
        for place, task, held in tasks:
            known = [*config.parameters, "iteration", "pythonpath", *TOLD]
            known += ["learner_id"] if config.kind.parallel else []
            known += ["learner_label"] if isinstance(held, LearnerDef) and held.label else []
            try:
                if task.command is not None:
                    check_placeholders(task.command, known, config.at(*place, "command"))
                elif task.function is not None:
                    imported(task.function, remote.pythonpath, config.at(*place, "function"))
            except ConfigurationError as error:
                wrong.append(error)
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            raise ConfigurationError("; ".join(map(str, wrong))) from wrong[0]

    @staticmethod
    def _pythonpath(config: WorkflowConfig) -> list[str]:
        """Return the directories to look in: beside the file or, if there is none, where this process works."""
        said = [expanded(one, "pythonpath") for one in config.remote.pythonpath]
        beside = [(one, config.directory / one) for one in said]
        return [str(one if one.is_dir() and not found.is_dir() else found) for one, found in beside]

    @property
    def _tells(self) -> bool:
        """Return whether tasks are told anything."""
        config = self._workflow_config
        asked = {
            name
            for _, task, function in self._tasks
            for name in (placeholders(task.command) if task.command else signature_of(function, "a task").parameters)
        }
        return bool(config.parameters or config.remote.pythonpath or config.learners or asked & set(RESERVED))

    def _configuration(self, more: Mapping[str, Any]) -> LearnerConfig:
        config = self._workflow_config
        told = {**config.parameters, "pythonpath": list(config.remote.pythonpath), **more}
        make: type[LearnerConfig] = UQLearnerConfig if config.kind.module == SeqUQLearner.__module__ else LearnerConfig
        stages: dict[str, Any] = {}
        for slot, _, function in self._tasks:
            own = taken(function, {**told, "iteration": 0})
            tells = own.pop("iteration", None) is not None
            stages[slot] = AdaptiveSchedule(functools.partial(_in_iteration, own, tells))
        return make(**stages)

    def _tell_of_the_unused(self) -> None:
        config = self._workflow_config
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
