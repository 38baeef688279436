"""Every row is a line of code, what it gives (or the error that refuses it), and words for the documentation."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rose import Pool, SeqUQLearner, ThreadEngine
from rose.engine.functions.coroutines import finished


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        code: an expression; its value is looked at by `holds`.
        what: what it is, in words.
        holds: an expression of the value `it` that is true; of a row that is refused, the start of the error's text.
        refused: the name of the error that it raises; "": none.
        needs: a package that must be installed.
    """

    code: str
    what: str
    holds: str
    refused: str = ""
    needs: str = "numpy"


@dataclass(frozen=True)
class Section:
    """One table of the documentation."""

    title: str
    text: str
    rows: tuple[Row, ...]


def learn(label: Any = None, models: Any = None, prediction: Any = None, normalise: bool = False, **pool: Any) -> Any:
    """Two rounds over a pool of twelve numbers; `label`, `models`, `prediction` take the places of what is there."""
    X = np.linspace(0.0, 1.0, 12)[:, None]
    learner = SeqUQLearner(ThreadEngine(1), pool=Pool(X, **{"initial": 6, **pool}))
    classes = prediction is None and models is not None and any(hasattr(m, "predict_proba") for m in models.values())
    metric = "predictive_entropy" if classes else "total_uncertainty"
    given = label if label is not None else (lambda x: str(x[0] > 0.5)) if classes else (lambda x: float(x[0]))

    @learner.simulation_task(as_executable=False)
    def simulate(x: Any) -> Any:
        return given(x)

    @learner.training_task(as_executable=False)
    def train(X: Any, y: Any, seed: int) -> Any:
        return float(seed % 7), y

    @learner.prediction_task(as_executable=False, normalise=normalise)
    def predict(model: Any, X: Any) -> Any:
        return finished((prediction or (lambda model, X: X[:, 0] * model[0]))(model, X))

    if models is not None:
        del learner.stages["training"], learner.stages["prediction"]
        learner.models(**models)
    learner.uncertainty_quantification(metric, query_size=2)
    return learner.run(None if models is not None else ["a", "b"], max_iter=2)


def value_of(row: Row, modules: dict[str, Any]) -> Any:
    """What the row's line gives; files it names are in a directory of their own."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "X.npy", np.zeros((9, 2)))
        (Path(folder) / "x.csv").write_text("a,b\n1,2\n")
        names = {"np": np, "Pool": Pool, "learn": learn, "folder": Path(folder), **modules}
        return eval(row.code, names)


def holds(row: Row, value: Any, modules: dict[str, Any]) -> bool:
    """Whether the value is what the row says."""
    return bool(eval(row.holds, {"np": np, "it": value, **modules}))


POOLS = Section(
    "A pool",
    "`Pool(X)`: what may be simulated, one row a candidate. Missing values are refused unless `allow_nan=True`; "
    "infinite ones always. `features=` and the samples of `holdout=` and `extra=` are taken as `X` is.",
    (
        Row("Pool(np.zeros((9, 2)), 3)", "an array `[N, ...]`", "len(it) == 9 and it[0].shape == (2,)"),
        Row("Pool([[0.0, 1.0], [2.0, 3.0]], 1)", "a list; candidates stay what they are", "it[1] == [2.0, 3.0]"),
        Row("Pool(['CCO', 'CCN', 'C=O'], 1)", "texts, other objects: see [identity](identity.md)",
            "it[0] == 'CCO'"),
        Row("Pool(folder / 'X.npy', 3)", "a .npy file; it is never read whole", "type(it.X) is np.memmap"),
        Row("Pool(pandas.DataFrame({'t': [1, 2], 'kind': ['a', 'b']}), 1)",
            "a DataFrame: it stays one for `train` and `predict`; one candidate is a Series",
            "it[1]['kind'] == 'b' and it.X.shape == (2, 2)", needs="pandas"),
        Row("Pool(torch.zeros(9, 2, requires_grad=True), 3)", "a tensor (also CuPy, JAX): becomes NumPy's",
            "isinstance(it.X, np.ndarray)", needs="torch"),
        Row("Pool(np.array([[1.0], [np.nan]]), 1)", "a missing value", "X[1]", "PoolError"),
        Row("Pool([[1.0, float('nan')], [1.0, 2.0]], 1)", "one inside a list", "X[0]", "PoolError"),
        Row("Pool(np.array([[1.0], [np.nan]]), 1, allow_nan=True)", "a missing value that is meant", "len(it) == 2"),
        Row("Pool(np.array([[1.0], [np.inf]]), 1, allow_nan=True)", "an infinite value", "X[1]", "PoolError"),
        Row("Pool(np.ma.array([[1.0], [2.0]], mask=[[True], [False]]), 1)", "masked entries", "X has masked",
            "PoolError"),
        Row("Pool(__import__('scipy.sparse').sparse.eye(9).tocsr(), 3)", "a sparse matrix", "X is a sparse",
            "PoolError", needs="scipy"),
        Row("Pool([{'a': 1}, {'a': iter([2])}], 1)", "objects that nothing identifies: open files, locks, iterators",
            "X[1]['a'], a list_iterator", "NoIdentityError"),
        Row("Pool(folder / 'x.csv', 1)", "another kind of file; the message says how to read it", "X", "PoolError"),
    ),
)  # fmt: skip

LABELS = Section(
    "A label",
    "What `simulation_task` returns, `Pool(labels=)` and `Pool(extra=)` hold. What is not finite, anywhere inside, is "
    "a failed simulation: `retries`, then `on_failure`. Labels of one kind and shape make an array `y`, others a list.",
    (
        Row("learn(label=lambda x: float(x[0]))", "a number", "it.labels.dtype == np.float64"),
        Row("learn(label=lambda x: 'hot' if x > 0.5 else 'cold')", "a text", "set(it.labels) == {'hot', 'cold'}"),
        Row("learn(label=lambda x: x * np.ones(3))", "an array", "it.labels.shape == (8, 3)"),
        Row("learn(label=lambda x: [x[0], 2.0])", "a list or tuple of numbers", "it.labels.shape == (8, 2)"),
        Row("learn(label=lambda x: torch.tensor(0.5, requires_grad=True))", "a tensor: becomes NumPy's",
            "it.labels.tolist() == [0.5] * 8", needs="torch"),
        Row("learn(label=lambda x: {'energy': x[0]})", "an object: `y` is a list", "it.labels[0].keys() == {'energy'}"),
        Row("learn(label=lambda x: 1 if x > 0.5 else 'low')", "kinds that differ: `y` is a list",
            "{1, 'low'} == set(it.labels) and type(it.labels) is list"),
        Row("learn(label=lambda x: None)", "nothing", "1 of 1", "RunFailedError"),
        Row("learn(label=lambda x: {'energy': [1.0, float('nan')]})", "NaN inside", "1 of 1", "RunFailedError"),
    ),
)  # fmt: skip

MODELS = Section(
    "A model",
    "What `training_task` returns: anything that pickles. Columns of probabilities mean its `classes_`, where it has "
    "them, or `prediction_task(classes=[...])`. Or estimators by name, `models(...)`:",
    (
        Row("learn(models={'a': sklearn.linear_model.LogisticRegression(), "
            "'b': sklearn.tree.DecisionTreeClassifier()})",
            "classifiers with `predict_proba`; members that saw other classes are aligned on the union",
            "it.predict([[0.2]]).classes == ['False', 'True']", needs="sklearn"),
        Row("learn(models={'a': sklearn.linear_model.Ridge(), 'b': sklearn.neighbors.KNeighborsRegressor(2)})",
            "regressors", "it.predict([[0.2]]).mean.shape == (1,)", needs="sklearn"),
        Row("learn(models={'gp': sklearn.gaussian_process.GaussianProcessRegressor(optimizer=None)})",
            "one regressor that knows its variance (`return_std`)",
            "it.iterations[0]['uncertainty'] > 0", needs="sklearn"),
        Row("learn(models={'x': xgboost.XGBClassifier(n_estimators=2), 'y': xgboost.XGBClassifier(n_estimators=3)})",
            "XGBoost: labels are coded and decoded", "set(it.models['x'].classes_) == {'False', 'True'}",
            needs="xgboost"),
        Row("learn(models={'a': sklearn.linear_model.LogisticRegression()}, initial=[0, 1])",
            "labels of one class so far: candidates are drawn by the seed until there are two",
            "it.iterations[0]['uncertainty'] is None", needs="sklearn"),
        Row("learn(models={'a': sklearn.linear_model.LogisticRegression()}, labels={0: 7})",
            "estimators with labels of several kinds", "1 of 1", "RunFailedError", needs="sklearn"),
        Row("learn(models={'a': sklearn.linear_model.Perceptron()})", "a classifier without probabilities",
            "model 'a'", "ConfigurationError", needs="sklearn"),
        Row("learn(models={'a': sklearn.linear_model.Ridge(), 'b': sklearn.linear_model.LogisticRegression()})",
            "both kinds", "models: b classify", "ConfigurationError", needs="sklearn"),
        Row("learn(models={'a': sklearn.linear_model.Ridge()})",
            "one regressor that does not know its variance",
            "workflow 'UQLearner': total_uncertainty measures disagreement", "ConfigurationError", needs="sklearn"),
    ),
)  # fmt: skip

PREDICTIONS = Section(
    "A prediction",
    "What `prediction_task` returns, for `n` samples: an array of NumPy, torch (with gradients, bfloat16), CuPy, JAX, "
    "a DataFrame or a list. Probabilities lie in [0, 1] and sum to 1 to within the rounding of the type that they were "
    "computed in: 1e-5 in float64, 1e-4 in float32, 1e-2 in float16, 3e-2 in bfloat16.",
    (
        Row("learn(prediction=lambda m, X: np.tile([0.25, 0.75], (len(X), 1)))", "probabilities `[n, C]`",
            "it.predict(np.zeros((3, 1))).mean.shape == (3, 2)"),
        Row("learn(prediction=lambda m, X: np.tile([0.333, 0.333, 0.333], (len(X), 1)), normalise=True)",
            "rounded ones, with `prediction_task(normalise=True)`", "it.predict(np.zeros((3, 1))).mean[0].sum() == 1"),
        Row("learn(prediction=lambda m, X: X[:, 0] * m[0])", "values `[n]`",
            "it.predict(np.zeros((3, 1))).mean.shape == (3,)"),
        Row("learn(prediction=lambda m, X: X * m[0])", "values `[n, 1]`: as `[n]`",
            "it.predict(np.zeros((3, 1))).mean.shape == (3,)"),
        Row("learn(prediction=lambda m, X: (X[:, 0], 0.1 + X[:, 0]))", "a tuple `(mean, variance)`",
            "it.iterations[0]['uncertainty'] > 0.5"),
        Row("learn(prediction=lambda m, X: torch.tensor(X[:, 0] * m[0], requires_grad=True))", "a tensor",
            "it.iterations[0]['uncertainty'] > 0", needs="torch"),
        Row("learn(prediction=lambda m, X: pandas.Series(X[:, 0] * m[0]))", "a Series or DataFrame",
            "it.iterations[0]['uncertainty'] > 0", needs="pandas"),
        Row("learn(prediction=lambda m, X: (X[:, 0] * m[0]).tolist())", "a list",
            "it.iterations[0]['uncertainty'] > 0"),
        Row("learn(prediction=lambda m, X: X[1:, 0])", "too few", "1 of 1", "RunFailedError"),
        Row("learn(prediction=lambda m, X: X[:, 0] / 0.0)", "NaN", "1 of 1", "RunFailedError"),
    ),
)  # fmt: skip

SECTIONS = (POOLS, LABELS, MODELS, PREDICTIONS)
