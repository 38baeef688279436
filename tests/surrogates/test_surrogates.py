"""Surrogates: estimators as scikit-learn's are, ensembles by themselves, right where answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from rose import Pool, SeqUQLearner, ThreadEngine
from rose.benchmarks import load
from rose.errors import ConfigurationError
from rose.surrogates import Auto, GaussianProcess, MLPs, Trees
from rose.surrogates._process import _objective, fit_process
from rose.surrogates.process_classifier import ProcessClassifier

VALUES: dict[str, Any] = {
    "process": GaussianProcess(members=16, restarts=0),
    "trees": Trees(trees=16, members=4),
    "networks": MLPs(members=2, steps=20),
    "auto": Auto(members=16),
}
CLASSES: dict[str, Any] = {
    "process": ProcessClassifier(members=8),
    "trees": Trees(trees=16, members=4, task="classification"),
    "networks": MLPs(members=2, steps=20, task="classification"),
    "auto": Auto(task="classification", members=16),
}
X = np.random.default_rng(0).random((24, 2)) * [1.0, 1e6]  # units of any size
Y = X[:, 0] + 1e-6 * X[:, 1] ** 2 / 1e6


@pytest.mark.parametrize("name", VALUES)
def test_members_say_what_the_model_says(name: str) -> None:
    model = clone(VALUES[name]).set_params(random_state=3).fit(X, Y)
    mean, std = model.predict(X, return_std=True)
    values, noise = model.predict_members(X)
    assert values.shape == noise.shape == (len(values), 24)
    assert len(values) >= 2
    assert np.allclose(values.mean(axis=0), mean, atol=0.02 * Y.std())
    assert np.isfinite(std).all()
    assert (noise >= 0).all()
    again = clone(VALUES[name]).set_params(random_state=3).fit(X, Y)
    assert np.array_equal(again.predict_members(X)[0], values)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("case", ["one label", "equal labels", "equal samples", "constant column", "huge", "vectors"])
def test_degenerate_labels_are_learned(name: str, case: str) -> None:
    rows, labels = X[:12], Y[:12]
    if case == "one label":
        rows, labels = X[:1], Y[:1]
    elif case == "equal labels":
        labels = np.full(12, 3.0)
    elif case == "equal samples":
        rows = np.tile(X[:1], (12, 1))
    elif case == "constant column":
        rows = np.column_stack([X[:12], np.ones(12)])
    elif case == "huge":
        labels = 1e30 * labels
    elif case == "vectors":
        labels = np.column_stack([labels, -labels, np.ones(12)])
    model = clone(VALUES[name]).fit(rows, labels)
    mean, std = model.predict(rows, return_std=True)
    assert mean.shape == std.shape == labels.shape
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    values, _ = model.predict_members(rows)
    assert values.shape[1:] == labels.shape
    if case in ("one label", "equal labels"):
        assert np.allclose(mean, labels)


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name: str) -> None:
    labels = np.where(X[:, 0] > 0.5, "hot", "cold")
    model = clone(CLASSES[name]).fit(X, labels)
    told = model.predict_members(X)
    assert told.shape[1:] == (24, 2)
    assert np.allclose(told.sum(axis=2), 1.0, atol=1e-5)
    assert model.classes_.tolist() == ["cold", "hot"]
    assert np.allclose(model.predict_proba(X), told.mean(axis=0), atol=0.05)
    assert np.mean(model.predict(X) == labels) > 0.9
    alone = clone(CLASSES[name]).fit(X[:5], np.array(["cold"] * 5))
    assert np.allclose(alone.predict_members(X), 1.0)
    rare = clone(CLASSES[name]).fit(X[:8], np.array(["a"] * 7 + ["b"]))  # a bootstrap may miss it
    assert rare.predict_proba(X).shape == (24, 2)


def test_a_process_finds_the_inputs_that_matter() -> None:
    problem = load("borehole", 0, 200)
    rows, labels = problem.X[:60], problem.y[:60]
    model = GaussianProcess(random_state=0).fit(rows, labels)
    assert np.sqrt(np.mean((model.predict(problem.X_test) - problem.y_test) ** 2)) < 0.05 * problem.y.std()
    lengths = model.processes_[0].kernel.lengths
    assert lengths[0] == lengths.min()  # the borehole's radius
    values, noise = model.predict_members(problem.X_test)
    mean, std = model.predict(problem.X_test, return_std=True)
    assert np.allclose(values.mean(axis=0), mean, rtol=1e-4)
    assert np.allclose(np.sqrt(values.var(axis=0) + noise[0]), std, rtol=1e-2, atol=1e-3 * problem.y.std())
    parts = np.concatenate(
        [model.predict_members(problem.X_test[:50])[0], model.predict_members(problem.X_test[50:])[0]], 1
    )
    assert np.allclose(parts, values, rtol=1e-3)  # the same functions, whatever part of a pool is asked


def test_draws_of_a_process_hang_together_as_its_posterior_does() -> None:
    rng = np.random.default_rng(1)
    inputs, new = rng.random((12, 1)), np.array([[1.3], [1.4], [1.8]])
    process = fit_process(inputs, np.sin(6 * inputs), ("matern",), 0, 0)
    drawn = process.paths(new, 4000)[:, :, 0]
    K, noise = process.kernel, process.kernel.noise
    cross = K(new, inputs)
    exact = K(new, new) - cross @ np.linalg.solve(K(inputs, inputs) + noise * np.eye(12), cross.T)
    found = np.cov(drawn.T, ddof=0)
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    assert np.allclose(np.diag(found), np.diag(exact), rtol=1e-2)
    assert np.all(np.abs(found - exact) < 0.1 * scale)


@pytest.mark.parametrize("kind", ["matern", "rbf"])
@pytest.mark.parametrize("lengths", [1, 3])
def test_the_gradient_of_the_kernel_is_right(kind: str, lengths: int) -> None:
    from scipy.optimize import check_grad

    rng = np.random.default_rng(0)
    inputs, values = rng.random((15, 3)), rng.standard_normal((15, 2))
    theta = np.array([*rng.normal(0, 0.5, lengths), 0.2, -2.0])
    wrong = check_grad(
        lambda t: _objective(t, kind, inputs, values)[0], lambda t: _objective(t, kind, inputs, values)[1], theta
    )
    assert wrong < 1e-3


def test_auto_takes_what_foresees_labels_best() -> None:
    smooth = Auto(random_state=0).fit(X, np.sin(3 * X[:, 0]))
    assert max(smooth.weights_, key=lambda name: smooth.weights_[name]) == "process"
    assert abs(sum(smooth.weights_.values()) - 1.0) < 1e-9
    assert smooth.losses_["process"] == min(smooth.losses_.values())
    assert Auto().fit(X, X[:, 0] > 0.5).task_ == "classification"


@pytest.mark.parametrize(
    ("model", "rows", "labels", "message"),
    [
        (GaussianProcess(), [[np.nan, 1.0]], [1.0], r"X\[0\] is NaN or infinite"),
        (Trees(), [["a"]], [1.0], "X must be numbers"),
        (MLPs(), [[1.0], [2.0]], [1.0], "1 labels for 2 samples"),
        (Auto(task="ranking"), [[1.0]], [1.0], "none of 'regression', 'classification'"),
        (GaussianProcess(kernel="linear"), [[1.0]], [1.0], "none of 'auto'"),
        (GaussianProcess(), np.empty((0, 2)), [], "at least one sample"),
        (Trees(task="classification"), [[1.0]], [["a", "b"]], "one class a sample"),
    ],
)
def test_what_cannot_be_learned_is_refused(model: Any, rows: Any, labels: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        model.fit(rows, labels)


def test_trees_tell_apart_what_single_precision_does_not() -> None:
    rows = np.linspace(0.0, 1.0, 40)[:, None]
    labels = (rows[:, 0] > 0.5) * 1.0
    near, far = (Trees(trees=16, random_state=0).fit(rows + at, labels) for at in (0.0, 1e9))
    assert np.allclose(near.predict(rows), far.predict(rows + 1e9), atol=0.2)
    assert np.isfinite(Trees(trees=16).fit(rows * 1e100, labels).predict(rows * 1e100)).all()


def test_the_learner_learns_by_auto_where_nothing_is_said() -> None:
    problem = load("moons", 0, 60)
    learner = SeqUQLearner(ThreadEngine(1), pool=Pool(problem.X, initial=12, holdout=problem.holdout, block=20))
    learner.simulation_task(as_executable=False)(lambda index: problem.simulate(index))
    learner.models()
    learner.uncertainty_quantification(query_size=4)
    result = learner.run(max_iter=2)
    model = result.models["auto"]
    assert model.task_ == "classification"  # by the hold-out
    assert result.iterations[-1]["holdout"]["accuracy"] > 0.7
    assert np.allclose(
        result.predict(problem.X_test).mean, model.predict_members(problem.X_test).mean(axis=0), atol=1e-6
    )


@pytest.mark.parametrize(
    ("X", "metric", "message"),
    [
        (["a", "b", "c"], "predictive_variance", "learns from numbers"),
        ([[0.0], [1.0], [2.0]], None, "classes or values"),
    ],
)
def test_what_auto_cannot_learn_is_said_before_anything_runs(X: Any, metric: str | None, message: str) -> None:
    learner = SeqUQLearner(ThreadEngine(1), pool=Pool(X, initial=2))
    learner.simulation_task(as_executable=False)(lambda index: pytest.fail("it ran"))
    learner.models()
    learner.uncertainty_quantification(*filter(None, [metric]), query_size=1)
    with pytest.raises(ConfigurationError, match=message):
        learner.run(max_iter=1)


@pytest.mark.parametrize(
    ("name", "seed", "labels", "error"),
    [("friedman_1", 0, 40, 0.2), ("wing_weight", 3, 100, 0.02), ("rosenbrock_4", 3, 80, 0.07)],
)
def test_what_a_process_learns_does_not_hang_on_its_seed(name: str, seed: int, labels: int, error: float) -> None:
    """The likelihood of a kernel has several optima here; the poor ones err two to four times as much."""
    problem = load(name, seed, 300)
    some = np.random.default_rng(seed).permutation(300)[:labels]
    for random_state in range(3):
        model = GaussianProcess(random_state=random_state).fit(problem.X[some], problem.y[some])
        off = model.predict(problem.X_test) - problem.y_test
        assert np.sqrt(np.mean(off**2)) < error * problem.y.std()
