"""Say what a program that is a file may hold: of ROSE's learners, under ROSE's names for the parts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from rose.errors import near_miss
from rose.metrics import check_operator
from rose.spec.loading import Source, mistake, read, unknown_keys, validated
from rose.stages.options import OPTIONS

_log = logging.getLogger("rose")

RESERVED = ("iteration", "pythonpath", "learner_id", "learner_label")  # what tasks are told beside the parameters
SLOTS = ("simulation", "training", "prediction", "active_learn", "uncertainty", "environment", "update")
_OWN_OPTIONS = ("as_executable", "task_description")  # said otherwise in a file


class LearnerType(NamedTuple):
    """Say of a learner's type which class it is, and which tasks it is made of."""

    name: str
    module: str
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()  # beside what it needs
    parallel: bool = False
    aliases: tuple[str, ...] = ()


_ACTIVE, _REINFORCED = ("simulation", "training", "active_learn"), ("environment", "update")
_SEQUENTIAL_UQ = ("uq_active_learner", "uq_learner", "SequentialUQLearner", "sequential_uq_learner")
_UQ = ("simulation", "training", "prediction", "active_learn")
_TYPES = (
    LearnerType("SequentialActiveLearner", "rose.learners.active", _ACTIVE),
    LearnerType("ParallelActiveLearner", "rose.learners.active", _ACTIVE, parallel=True),
    LearnerType("SequentialReinforcementLearner", "rose.learners.reinforcement", _REINFORCED),
    LearnerType("ParallelReinforcementLearner", "rose.learners.reinforcement", _REINFORCED, parallel=True),
    LearnerType("SeqUQLearner", "rose.spec._uq", _UQ, ("uncertainty",), aliases=_SEQUENTIAL_UQ),
    LearnerType(
        *("ParallelUQLearner", "rose.spec._uq", _UQ, ("uncertainty",)),
        parallel=True,
        aliases=("parallel_uq_active_learner", "parallel_uq_learner"),
    ),
)


def _spellings(kind: LearnerType) -> tuple[str, ...]:
    """Return how a type may be written: as the class, as ROSE's files do, and otherwise."""
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.name).lstrip("_").replace("u_q_", "uq_")
    return (kind.name, *kind.aliases) if "UQ" in kind.name else (kind.name, snake)


TYPES: Mapping[str, LearnerType] = {name: kind for kind in _TYPES for name in _spellings(kind)}


class Part(BaseModel):
    """Hold a part of a file; a key that it does not have is an error that offers near misses."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            fields = cls.model_fields
            hints = {str(key): near_miss(str(key), fields) for key in values if key not in fields}
            if hints:
                raise unknown_keys(hints)
        return values


class TaskDef(Part):
    """Say what a task is: a command line with `{names}` to be filled in, or a Python function as `module:callable`.

    `type` is "shell" or "python", and follows from which of the two is given. `options` are those of the decorators
    (`cpus`, `timeout`, `retries`, ...), `task_description` is for the engine's back end.
    """

    type: Literal["shell", "python"]
    command: str | None = None
    function: str | None = None
    task_description: dict[str, Any] | None = None
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _type(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "type" not in values:
            said = [name for name in ("command", "function") if values.get(name) is not None]
            if len(said) != 1:
                raise mistake(f"a task has either a command or a function; here is {' and '.join(said) or 'neither'}")
            return {**values, "type": "shell" if said == ["command"] else "python"}
        return values

    @field_validator("options")
    @classmethod
    def _options(cls, options: dict[str, Any]) -> dict[str, Any]:
        known = [name for name in OPTIONS if name not in _OWN_OPTIONS]
        for name in options:
            if name not in known:
                raise mistake(f"{name} is no option of a task; {near_miss(name, known)}", name)
        return options

    @model_validator(mode="after")
    def _complete(self) -> TaskDef:
        wanted, other = ("command", "function") if self.type == "shell" else ("function", "command")
        said = getattr(self, wanted)
        if said is None or not said.strip():
            raise mistake(f"a task of type {self.type} has a {wanted}")
        if getattr(self, other) is not None:
            raise mistake(f"a task of type {self.type} has no {other}", other)
        if self.function is not None:
            check_reference(self.function, "function")
        return self


class UncertaintyDef(TaskDef):
    """Say how sure the ensemble is: the task that tells it, and the value from which on it is sure enough."""

    metric: str = "uncertainty"
    threshold: float | None = None
    operator: str = ""

    @field_validator("operator")
    @classmethod
    def _operator(cls, operator: str) -> str:
        return check_operator(operator) if operator else operator


class StopCriterionDef(Part):
    """Say when to stop: when `metric operator threshold` holds for what the evaluator gives."""

    metric: str
    threshold: float
    operator: str = "<"
    evaluator: TaskDef

    @field_validator("operator")
    @classmethod
    def _operator(cls, operator: str) -> str:
        return check_operator(operator)


class LearnerSpec(Part):
    """Say which learner runs the program; `type` is a class's name, or as in `sequential_active_learner`.

    `model_names` and `num_predictions` are those of the uncertainty-driven learners.
    """

    type: str
    max_iter: int = Field(0, ge=0)
    parallel_learners: int = Field(2, ge=1)
    model_names: list[str] = ["model"]
    num_predictions: int = Field(1, ge=1)


class Slots(Part):
    """Hold tasks by their stage."""

    simulation: TaskDef | None = None
    training: TaskDef | None = None
    active_learn: TaskDef | None = None
    environment: TaskDef | None = None
    update: TaskDef | None = None
    prediction: TaskDef | None = None
    uncertainty: UncertaintyDef | None = None

    def tasks(self) -> dict[str, TaskDef]:
        """Return the tasks that are given, by stage."""
        return {slot: task for slot in SLOTS if (task := getattr(self, slot)) is not None}


class LearnerDef(Slots):
    """Say what one of several learners does; `label` is what its tasks are told as `learner_label`."""

    label: str = ""


class TargetConfig(Part):
    """Say where RADICAL's services would run the program; nothing here does."""

    kind: Literal["iri", "sfapi", "psij"]
    endpoint: str | None = None
    resource_id: str | None = None
    home_dir: str | None = None
    login_host: str | None = None
    edge_name: str | None = None
    executor: str | None = None
    account: str | None = None
    queue_name: str | None = None
    walltime_min: int = 30
    endpoint_timeout_min: int = 30
    n_nodes: int = 1
    constraint: str | None = None
    reservation: str | None = None
    workdir: str | None = None
    environment: dict[str, str] = {}
    setup: list[str] = []
    tunnel: Literal["none", "forward", "reverse"] = "none"


class RemoteConfig(Part):
    """Say how RADICAL's services would run the program; of this, only `pythonpath` counts here."""

    pythonpath: list[str] = []
    backends: list[str] = ["dragon"]
    broker_url: str | None = None
    target: TargetConfig | None = None
    embedded: bool = False


class TrackingConfig(Part):
    """Say which tracker follows the run, by its name: "mlflow", "clearml", any registered one, or "none"."""

    backend: str = "none"
    experiment: str = "ROSE-Spec"
    run_name: str | None = None


class Program(Part):
    """Hold what every program may say beside what it is made of; paths are relative to the file."""

    parameters: dict[str, Any] = {}
    tracking: TrackingConfig = TrackingConfig()
    run_dir: str | None = None
    workers: int | None = Field(None, ge=1)

    _source: Source | None = PrivateAttr(None)
    _own_names: ClassVar[tuple[str, ...]] = RESERVED

    @classmethod
    def from_yaml(cls, path: str | Path) -> Program:
        """Read a program.

        Raises:
            OSError: if there is no such file.
            ConfigurationError: if it cannot be a program; the message has the lines.
        """
        return cls.from_source(read(path))

    @classmethod
    def from_source(cls, source: Source) -> Program:
        """Return the program that a file says; raises as `from_yaml`."""
        made = validated(cls, source)
        made._source = source
        return made

    def at(self, *place: str | int) -> str:
        """Return how messages call a place in the program, with the file and the line where it came from one."""
        source = self._source or Source("", Path(), None)
        return f"{source.name}: {source.at(place)}" if source.name else source.at(place)

    @property
    def directory(self) -> Path:
        """Return where relative paths begin: the file's directory, or where this process works."""
        return self._source.directory if self._source is not None else Path.cwd()

    @field_validator("parameters")
    @classmethod
    def _parameters(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        for name in parameters:
            if name in cls._own_names:
                raise mistake("is told to every task anyway; call the parameter otherwise", name)
            if not name.isidentifier():
                raise mistake("a parameter is called by a Python name", name)
        return parameters


class WorkflowConfig(Program, Slots):
    """Hold a program of one of ROSE's learners: its tasks (or, of parallel learners, those of each), and its end."""

    learner: LearnerSpec
    learners: list[LearnerDef] | None = None
    stop_criterion: StopCriterionDef
    remote: RemoteConfig = RemoteConfig()

    @property
    def kind(self) -> LearnerType:
        """Return what the learner's type is."""
        return TYPES[self.learner.type]

    @model_validator(mode="after")
    def _whole(self) -> WorkflowConfig:
        kind = TYPES.get(self.learner.type)
        if kind is None:
            raise mistake(
                f"{self.learner.type!r} is no learner; {near_miss(self.learner.type, TYPES)}", "learner", "type"
            )
        if self.learners is None:
            self._check_slots(self, ())
            return self
        if not kind.parallel:
            raise mistake(f"{self.learner.type} is one learner: write its tasks at the top level", "learners")
        if len(self.learners) < 2:
            raise mistake("these are two or more; for one, use a sequential learner", "learners")
        if self.tasks():
            raise mistake("tasks are those of each of the learners: put it there", next(iter(self.tasks())))
        for index, one in enumerate(self.learners):
            self._check_slots(one, ("learners", index))
        self._check_alike(self.learners)
        count = len(self.learners)
        if "parallel_learners" in self.learner.model_fields_set and self.learner.parallel_learners != count:
            _log.warning("there are %d learners; parallel_learners counts where there is no list of them", count)
        self.learner = self.learner.model_copy(update={"parallel_learners": count})
        return self

    def _check_slots(self, held: Slots, at: tuple[str | int, ...]) -> None:
        kind, tasks = self.kind, held.tasks()
        for slot in kind.needs:
            if slot not in tasks:
                what = f"learner {held.label or at[-1]!r}" if isinstance(held, LearnerDef) else self.learner.type
                raise mistake(f"{what} needs a {slot} task (it needs {', '.join(kind.needs)})", *at)
        for slot in tasks:
            if slot not in (*kind.needs, *kind.takes):
                raise mistake(f"{self.learner.type} has no such task; {near_miss(slot, kind.needs)}", *at, slot)

    def _check_alike(self, learners: list[LearnerDef]) -> None:
        for slot in (*self.kind.needs, *self.kind.takes):
            said = [one.tasks().get(slot) for one in learners]
            for index, one in enumerate(said):
                if (one and one.type) != (said[0] and said[0].type):
                    raise mistake(f"{slot} must be of one type, shell or python, in all learners", "learners", index)
                if isinstance(one, UncertaintyDef) and isinstance(said[0], UncertaintyDef):
                    for name in ("metric", "threshold", "operator"):
                        if getattr(one, name) != getattr(said[0], name):
                            raise mistake("must be the same in all learners", "learners", index, slot, name)


def check_reference(reference: str, *at: str | int) -> str:
    """Return a reference to something in a module, `package.module:name`.

    Raises:
        PydanticCustomError: if it cannot be one.
    """
    module, colon, name = reference.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise mistake(f"{reference!r} names nothing: write module:callable, as in 'mypackage.tasks:simulate'", *at)
    return reference
