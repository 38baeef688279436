"""Say what a program over a pool may hold, where it is a file."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from rose.metrics import check_operator
from rose.spec.loading import mistake
from rose.spec.schema import Part, Program, TaskDef, check_reference
from rose.stages.kinds import KINDS

TASKS = ("simulation", "training", "prediction", "active_learn")
ENDINGS = (".npy", ".csv")


def as_reference(estimator: str) -> str:
    """Return a dotted name as a reference: `sklearn.svm.SVR` as `sklearn.svm:SVR`."""
    module, dot, name = estimator.rpartition(".")
    return f"{module}:{name}" if dot and ":" not in estimator else estimator


def check_data(text: str) -> str:
    """Return where data come from: the path of a .npy or .csv file, or `module:callable`.

    Raises:
        PydanticCustomError: if it is neither.
    """
    return text if text.lower().endswith(ENDINGS) else check_reference(text)


class DataDef(Part):
    """Say where labelled samples are: `X` and `y`, each a file or `module:callable`."""

    X: str
    y: str

    _check = field_validator("X", "y")(check_data)


class PoolDef(Part):
    """Say what the candidates are, and which come first; all but `candidates` and `columns` as of `rose.Pool`.

    `candidates` is a .npy or .csv file or the `module:callable` that gives them; `columns` names those of a .csv file
    that are the candidates' coordinates (all, if it is not given). `holdout` and `extra` are `X` and `y`, or the
    `module:callable` that gives both.
    """

    candidates: str
    columns: list[str] | None = None
    initial: int | list[int] | None = None
    holdout: DataDef | str | None = None
    extra: DataDef | str | None = None
    features: str | None = None
    labels: str | None = None
    block: int | None = None
    allow_nan: bool = False

    @field_validator("candidates", "features")
    @classmethod
    def _data(cls, text: str | None) -> str | None:
        return None if text is None else check_data(text)

    @field_validator("holdout", "extra")
    @classmethod
    def _pairs(cls, pair: DataDef | str | None) -> DataDef | str | None:
        return check_reference(pair) if isinstance(pair, str) else pair


class ModelDef(Part):
    """Say what a member is: an estimator's class such as `sklearn.linear_model.BayesianRidge`, or `module:callable`.

    It is called with the `parameters`, and gives an estimator.
    """

    estimator: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"estimator": value} if isinstance(value, str) else value

    @field_validator("estimator")
    @classmethod
    def _reference(cls, text: str) -> str:
        check_reference(as_reference(text))
        return text


class PoolStopDef(Part):
    """Say when to stop: when `metric operator threshold` holds on the hold-out, or for what an evaluator gives."""

    metric: str
    threshold: float
    operator: str = ""
    evaluator: TaskDef | None = None

    @field_validator("operator")
    @classmethod
    def _operator(cls, operator: str) -> str:
        return check_operator(operator) if operator else operator


class PoolWorkflow(Part):
    """Say what one of several workflows does otherwise; a text is its metric."""

    metric: str | None = None
    query_size: int | None = None
    threshold: float | None = None
    acquisition: str | None = None
    seed: int | None = Field(default=None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"metric": value} if isinstance(value, str) else value


class PoolConfig(Program):
    """Hold a program over a pool: candidates, what labels one, what learns of them, and when it ends.

    What learns is `models`: estimators by name, or the names alone where there are a training and a prediction task.
    """

    pool: PoolDef
    simulation: TaskDef
    training: TaskDef | None = None
    prediction: TaskDef | None = None
    active_learn: TaskDef | None = None
    models: dict[str, ModelDef] | list[str]
    num_predictions: int = Field(1, ge=1)
    metric: str | None = None
    query_size: int | None = None
    threshold: float | None = None
    reduction: str | None = None
    acquisition: str = "auto"
    stop_criterion: PoolStopDef | None = None
    workflows: dict[str, PoolWorkflow] | None = None
    budget: int | None = None
    max_iter: int = Field(0, ge=0)
    max_time: float | None = None
    control: bool | Literal["random", "lhs"] = False
    seed: int = 0

    _own_names: ClassVar[tuple[str, ...]] = (
        *dict.fromkeys(name for kind in KINDS.values() for name in (*kind.provides, *kind.provides_tested)),
        *("workdir", "directory"),
    )

    @property
    def tasks(self) -> dict[str, TaskDef]:
        """Return the tasks that are given, by stage."""
        return {stage: task for stage in TASKS if (task := getattr(self, stage)) is not None}

    @model_validator(mode="after")
    def _whole(self) -> PoolConfig:
        for stage, task in self.tasks.items():
            if task.command is not None and stage != "simulation":
                raise mistake("only a simulation may be a command: arrays are in no command line", stage, "command")
        evaluator = self.stop_criterion and self.stop_criterion.evaluator
        if evaluator and evaluator.command is not None:
            raise mistake("only a simulation may be a command", "stop_criterion", "evaluator")
        if isinstance(self.models, list):
            for stage in ("training", "prediction"):
                if getattr(self, stage) is None:
                    raise mistake(
                        f"these are names alone: add a {stage} task, or say what each is, as in "
                        "`forest: sklearn.ensemble.RandomForestRegressor`",
                        "models",
                    )
        elif self.training is not None:
            raise mistake("estimators are trained by themselves: give the models' names alone", "training")
        return self
