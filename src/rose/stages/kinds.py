"""Say what each kind of stage is, in a row: everything that differs between a training and a simulation.

Who needs to know asks the row (`Stage.row`), so that another kind (an `environment`, an `update`, a user's own) is one
more row and a loop that plays it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rose.errors import ConfigurationError

COMMON = ("iteration", "workflow", "seed")
NAMES = {  # all that functions may ask for where there is a pool, as `help()` of a decorator tells it
    "x": "the candidate",
    "index": "its place in the pool; with batch, the places of several",
    "X": "samples: those of the batch, of the training, to be predicted, to be scored, or the hold-out's",
    "y": "the labels of X; of active_learn_task those of `labelled`",
    "model_name": "which model",
    "previous_model": "what this training returned in the round before; None in the first",
    "model": "what the training returned",
    "pass_index": "which of num_predictions passes, from 0",
    "mc_preds": "all predictions, [S, N, C] or [S, N]",
    "classes": "the labels of the C columns",
    "candidates": "the places in the pool of the N candidates",
    "query_size": "how many to choose",
    "scores": "the N uncertainties",
    "labelled": "the places in the pool of those that are labelled",
    "models": "all models of the round, a list",
    "X_train": "what was trained on, and",
    "y_train": "its labels",
    "X_test": "the samples of the hold-out, and",
    "y_test": "their labels",
    "iteration": "the round, from 0",
    "workflow": "the name of the workflow",
    "seed": "a seed of this task's own, the same when the run is repeated",
    "workdir": "the directory in which its command will run, a Path (not as_executable=False)",
}
# What stands in keys where a kind does: the record of an iteration, and tasks that are not the user's.
BANKS, MERGE = "banks", "merge"
_OTHERS = ("round", "shortlist", "holdout", "watched", "foreseen", "quality", "acquisition", "window", BANKS, MERGE)


@dataclass(frozen=True)
class Kind:
    """Describe the tasks of one kind of stage.

    Attributes:
        name: what decorators (`NAME_task`), configurations and keys call it.
        provides: what its functions may ask for by parameter name, where there is a pool.
        provides_batch: the same where a task takes several candidates; empty: it takes one at a time.
        provides_tested: what is added to it where the pool has a hold-out.
        injects: what its functions are told by name in ROSE's dataflow, if they take any name.
        upstream: how many results of earlier stages come by position in ROSE's dataflow.
        pre_loop: whether `skip_pre_loop` leaves it out of the first iteration.
        has_model: whether there is a task for each model.
        has_index: whether there are several tasks (for each model), told apart by an index.
        one_for_all: whether one task may stand for all models.
        in_loop: whether it is part of a loop: configured by workflows, and of what a resumed run is compared by.
        droppable: whether a run can do without one of its results (`on_failure="drop"`).
        waits: whether its functions may wait in the driver's event loop where there is a pool.
        owns_arguments: whether its arguments are made for each task, which may change them: no copies are needed.
        result: what a pool takes as the result of a command without `collect`: what it "printed", or its "directory".
        label: whether its result labels a candidate: known by its content, and recorded together with it.
        kept: whether its result is needed after its iteration.
        timed: whether its tasks start in the order of how long they last took, the longest first.
        observed: whether what its functions register and how long they ran is always looked at.
        options: which of the options that only some kinds take are its own.
        instead: what else than decorating a function provides it, as messages say it.
        returns: what its functions return where there is a pool.
        example: how one is written.
    """

    name: str
    provides: tuple[str, ...] = COMMON
    provides_batch: tuple[str, ...] = ()
    provides_tested: tuple[str, ...] = ()
    injects: tuple[str, ...] = ()
    upstream: int = 1
    pre_loop: bool = False
    has_model: bool = False
    has_index: bool = False
    one_for_all: bool = False
    in_loop: bool = True
    droppable: bool = False
    waits: bool = True
    owns_arguments: bool = False
    result: Literal["printed", "directory"] = "printed"
    label: bool = False
    kept: bool = False
    timed: bool = False
    observed: bool = False
    options: tuple[str, ...] = ()
    instead: str = ""
    returns: str = ""
    example: str = ""

    @property
    def task(self) -> str:
        """Return what a run's identity calls its function."""
        return f"{self.name} task"


SIMULATION = Kind(
    "simulation",
    provides=("x", "index", *COMMON),
    provides_batch=("X", "index", *COMMON),
    upstream=0,
    pre_loop=True,
    has_index=True,
    droppable=True,
    owns_arguments=True,
    label=True,
    options=("batch", "max_failed_simulations"),
    returns="a label: a number, a text, an array",
    example="""\
@learner.simulation_task(as_executable=False, retries=2, timeout=3600)
def simulate(x):
    return float(x[0] ** 2)""",
)
TRAINING = Kind(
    "training",
    provides=("X", "y", "model_name", "previous_model", *COMMON),
    injects=("--model_name",),
    pre_loop=True,
    has_model=True,
    droppable=True,
    result="directory",
    kept=True,
    timed=True,
    observed=True,
    options=("min_members", "per_model"),
    instead="give scikit-learn estimators with learner.models(...)",
    returns="a model: anything that pickles",
    example="""\
@learner.training_task(as_executable=False, cpus=2)
def train(X, y, seed):
    return RandomForestRegressor(random_state=seed).fit(X, y)""",
)
PREDICTION = Kind(
    "prediction",
    provides=("model", "X", "model_name", "pass_index", *COMMON),
    injects=("--model_name", "--iteration"),
    pre_loop=True,
    has_model=True,
    has_index=True,
    waits=False,
    options=("per_model", "classes", "normalise"),
    returns="[n, C] probabilities, [n] values, [n, D] values, or a pair: values and their variances",
    example="""\
@learner.prediction_task(as_executable=False)
def predict(model, X):
    return model.predict(X)""",
)
UNCERTAINTY = Kind(
    "uncertainty",
    provides=("mc_preds", "classes", "X", "candidates", "query_size", *COMMON),
    returns="[N] scores",
    example="""\
@learner.uncertainty_quantification("spread", query_size=10, operator="<", as_executable=False)
def spread(mc_preds):
    return mc_preds.max(axis=0) - mc_preds.min(axis=0)""",
)
ACTIVE_LEARN = Kind(
    "active_learn",
    provides=("scores", "mc_preds", "classes", "X", "candidates", "labelled", "y", "query_size", *COMMON),
    returns="the places in `scores` of those to simulate next",
    example="""\
@learner.active_learn_task(as_executable=False)
def choose(scores, query_size):
    return scores.argsort()[-query_size:]""",
)
CRITERION = Kind(
    "criterion",
    provides=("model", "models", "model_name", "X", "y", "X_train", "y_train", *COMMON),
    provides_tested=("X_test", "y_test"),
    injects=("--model_name",),
    has_model=True,
    one_for_all=True,
    returns="a number",
    example="""\
@learner.as_stop_criterion("worst_error", threshold=0.1, operator="<", as_executable=False)
def worst_error(models, X, y):
    return max(abs(model.predict(X) - y).max() for model in models)""",
)
ENVIRONMENT = Kind(
    "environment",
    pre_loop=True,
    example="""\
@learner.environment_task(as_executable=False)
def act(reward=0.0):
    return [reward] * 5""",
)
UPDATE = Kind(
    "update",
    pre_loop=True,
    example="""\
@learner.update_task(as_executable=False)
def update(experience):
    return sum(experience) + 1""",
)
UTILITY = Kind("utility", in_loop=False)

_OWN = (SIMULATION, TRAINING, PREDICTION, UNCERTAINTY, ACTIVE_LEARN, ENVIRONMENT, UPDATE, CRITERION, UTILITY)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _OWN}  # in the order in which an iteration plays them


def register_kind(kind: Kind) -> Kind:
    """Make a kind known; one of a user's own that has its name is replaced.

    Raises:
        ConfigurationError: if the name is no Python name, or means something else already.
    """
    own = {kind.name: kind for kind in _OWN}
    if not isinstance(kind.name, str) or not kind.name.isidentifier() or kind.name.startswith("_"):
        raise ConfigurationError(f"a kind of stage is called by a Python name such as 'environment', not {kind.name!r}")
    if kind.name in _OTHERS or own.get(kind.name, kind) != kind:
        raise ConfigurationError(f"{kind.name!r} means something else in ROSE; call the kind of stage otherwise")
    KINDS[kind.name] = kind
    return kind


def loop_kinds() -> Mapping[str, Kind]:
    """Return the kinds of which loops are made, by name."""
    return {name: kind for name, kind in KINDS.items() if kind.in_loop}


def gives_label(task: str) -> bool:
    """Tell whether a task gives labels, by its key behind the iteration: it does not depend on what was learned.

    >>> gives_label("simulation/17"), gives_label("simulation.collect/17"), gives_label("training/mlp")
    (True, True, False)
    """
    kind = KINDS.get(task.partition("/")[0].partition(".")[0])
    return kind is not None and kind.label
