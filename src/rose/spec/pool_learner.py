"""Build the learner of a program over a pool that is a file."""

from __future__ import annotations

import csv
import functools
import inspect
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import ConfigurationError, near_miss
from rose.learners.registration import QUERY_SIZE
from rose.learners.uq import ParallelUQLearner, SeqUQLearner
from rose.metrics import TOTAL_UNCERTAINTY
from rose.paths import expanded
from rose.pool.pool import Pool
from rose.spec._pool_schema import DataDef, ModelDef, PoolConfig, PoolWorkflow, as_reference
from rose.spec.adapters import check_placeholders, imported, placeholders, taken
from rose.spec.schema import TaskDef
from rose.stages.config import TaskConfig, UQLearnerConfig
from rose.stages.kinds import SIMULATION

_POOL = ("initial", "block", "allow_nan")  # what a pool takes as it is written


def build_pool_learner(config: PoolConfig, engine: Any, **options: Any) -> SeqUQLearner | ParallelUQLearner:
    """Return the learner of a program, with all that it registers.

    Raises:
        ConfigurationError: if something cannot be imported or read, or an option cannot be.
    """
    kind = SeqUQLearner if config.workflows is None else ParallelUQLearner
    learner = kind(engine, pool=_pool(config), acquisition=config.acquisition, **options)
    for stage, function in functions_of(config).items():
        if stage != "criterion":
            task = config.tasks[stage]
            said = {**task.options, "as_executable": task.command is not None}
            getattr(learner, f"{stage}_task")(task_description=task.task_description, **said)(function)
    if isinstance(config.models, dict):
        learner.models(**{name: _estimator(config, name, one) for name, one in config.models.items()})
    reduction: Any = config.reduction
    learner.uncertainty_quantification(
        config.metric or TOTAL_UNCERTAINTY,
        query_size=QUERY_SIZE if config.query_size is None else config.query_size,
        threshold=config.threshold,
        reduction=reduction,
    )
    if (stop := config.stop_criterion) is not None:
        said = stop.evaluator.options if stop.evaluator else {}
        decorate = learner.as_stop_criterion(stop.metric, stop.threshold, stop.operator, False, **said)
        if stop.evaluator is not None:
            decorate(functions_of(config)["criterion"])
    return learner


def pool_arguments(config: PoolConfig) -> dict[str, Any]:
    """Return what the learner of a program is started with."""
    arguments: dict[str, Any] = {
        "model_names": list(config.models),
        **config.model_dump(include={"num_predictions", "max_iter", "budget", "max_time", "control"}),
    }
    if config.workflows is None:
        return {**arguments, "learning_config": _configuration(config, PoolWorkflow())}
    return {**arguments, "workflows": {name: _configuration(config, one) for name, one in config.workflows.items()}}


def functions_of(config: PoolConfig) -> dict[str, Callable[..., Any]]:
    """Return what is registered for each stage.

    Raises:
        ConfigurationError: if a function cannot be imported, or a command names what there is not.
    """
    found: dict[str, Callable[..., Any]] = {}
    for stage, task in config.tasks.items():
        if task.command is not None:
            found[stage] = _command(config, task.command)
        else:
            found[stage] = _imported(config, task, stage)
    if config.stop_criterion is not None and config.stop_criterion.evaluator is not None:
        found["criterion"] = _imported(config, config.stop_criterion.evaluator, "stop_criterion", "evaluator")
    return found


def _imported(config: PoolConfig, task: TaskDef, *place: str) -> Callable[..., Any]:
    assert task.function is not None
    function: Callable[..., Any] = imported(task.function, (), config.at(*place, "function"))
    return function


def _configuration(config: PoolConfig, workflow: PoolWorkflow) -> UQLearnerConfig:
    stages: dict[str, Any] = {}
    for stage, function in functions_of(config).items():
        task = config.tasks.get(stage)
        told = (
            {name: config.parameters[name] for name in placeholders(task.command) if name in config.parameters}
            if (task is not None and task.command is not None)
            else taken(function, config.parameters)
        )
        if told:
            stages[stage] = TaskConfig(kwargs=told)
    return UQLearnerConfig(uq_metric_name=workflow.metric, **workflow.model_dump(exclude={"metric"}), **stages)


# --- commands --------------------------------------------------------------------------------------------------------


def _command(config: PoolConfig, template: str) -> Callable[..., Any]:
    """Return what gives the command line of a candidate's simulation; it asks for what the line names."""
    provided = (*SIMULATION.provides, "workdir", "directory")
    check_placeholders(template, (*config.parameters, *provided), config.at("simulation", "command"))
    made = functools.partial(_filled, template, tuple(config.parameters), _Directory(config.directory))
    by_name = inspect.Parameter.KEYWORD_ONLY
    asked = [inspect.Parameter(name, by_name) for name in placeholders(template) if name != "directory"]
    made.__signature__ = inspect.Signature(asked)  # type: ignore[attr-defined]
    return made


@dataclass(frozen=True)
class _Directory:
    """Hold where a program's file is; a program that is moved is the same."""

    path: Path

    def __rose_identity__(self) -> str:
        return "the file's"


def _filled(template: str, parameters: tuple[str, ...], directory: _Directory, **values: Any) -> str:
    """Return a command line: the parameters as the file says them, and what comes from data quoted for a shell."""
    data = {name: value if name in parameters else _word(value) for name, value in values.items()}
    return template.format_map({**data, "directory": shlex.quote(str(directory.path))})


def _word(value: Any) -> Any:
    """Return a candidate, or a part of it, as words of a command line; numbers stay what they are.

    >>> _word(np.array([0.5, 2])), _word("a; b")
    ('0.5 2.0', "'a; b'")
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return " ".join(str(_word(one)) for one in value)
    return value if isinstance(value, (int, float)) else shlex.quote(str(value))


# --- data ------------------------------------------------------------------------------------------------------------


def _pool(config: PoolConfig) -> Pool:
    said = config.pool
    given = said.model_dump(include=set(_POOL), exclude_none=True)
    labels = None if said.labels is None else _path(config, said.labels)
    features = None if said.features is None else _data(config, said.features, ("pool", "features"))
    return Pool(
        _data(config, said.candidates, ("pool", "candidates"), said.columns),
        seed=config.seed,
        holdout=_pair(config, "holdout"),
        extra=_pair(config, "extra"),
        labels=labels,
        features=features,
        **given,
    )


def _pair(config: PoolConfig, name: str) -> Any:
    said: DataDef | str | None = getattr(config.pool, name)
    if isinstance(said, DataDef):
        columns = config.pool.columns if said.X.lower().endswith(".csv") else None
        y = _data(config, said.y, ("pool", name, "y"))
        return _data(config, said.X, ("pool", name, "X"), columns), np.load(y) if isinstance(y, Path) else y
    return None if said is None else imported(said, (), config.at("pool", name))()


def _data(config: PoolConfig, said: str, place: tuple[str, ...], columns: list[str] | None = None) -> Any:
    """Return data of a file (of a .npy file its path, which a pool maps into memory) or of a function."""
    where = config.at(*place)
    if columns is not None and not said.lower().endswith(".csv"):
        raise ConfigurationError(f"{config.at(*place[:-1], 'columns')}: only .csv files have columns with names")
    if ":" in said and not said.lower().endswith((".npy", ".csv")):
        return imported(said, (), where)()
    path = _path(config, said)
    if not path.is_file():
        raise ConfigurationError(f"{where}: there is no file {str(path)!r}")
    return path if said.lower().endswith(".npy") else read_csv(path, columns)


def _path(config: PoolConfig, said: str) -> Path:
    return config.directory / expanded(said, "path")


def read_csv(path: Path, columns: list[str] | None = None) -> np.ndarray:
    """Return the numbers of a .csv file, `[n, columns]`; a first line that is no numbers has the columns' names.

    Raises:
        ConfigurationError: if a cell is no number, a row has another length, or there is no such column.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [(reader_line, row) for reader_line, row in enumerate(csv.reader(file), 1) if row]
    if not rows:
        raise ConfigurationError(f"{path.name} is empty")
    first = rows[0][1]
    names = None if all(_number(cell) is not None for cell in first) else [cell.strip() for cell in first]
    chosen = range(len(first))
    if columns is not None:
        for name in columns:
            if name not in (names or ()):
                raise ConfigurationError(f"{path.name} has no column {name!r}; {near_miss(name, names or ())}")
        chosen = [(names or []).index(name) for name in columns]  # type: ignore[assignment]
    found = []
    for line, row in rows[names is not None :]:
        if len(row) != len(first):
            raise ConfigurationError(f"{path.name}, line {line}: {len(row)} cells, where the first has {len(first)}")
        values = [_number(row[column]) for column in chosen]
        if None in values:
            cell = row[chosen[values.index(None)]]
            raise ConfigurationError(f"{path.name}, line {line}: {cell!r} is no number")
        found.append(values)
    return np.array(found, dtype=np.float64)


def _number(cell: str) -> float | None:
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        return None


def _estimator(config: PoolConfig, name: str, said: ModelDef) -> Any:
    where = config.at("models", name)
    make = imported(as_reference(said.estimator), (), where)
    try:
        return make(**said.parameters)
    except TypeError as error:
        raise ConfigurationError(f"{where}: {said.estimator}(...): {error}") from error
