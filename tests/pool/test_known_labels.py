"""A pool that is given labels: what is labelled is not simulated again."""

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool, UQLearnerConfig
from rose.errors import PoolError, RunDirectoryError
from rose.learner import TaskConfig
from rose.metrics import PREDICTIVE_VARIANCE
from rose.store import labels_of_run, write_labels

X = np.linspace(-1, 1, 80)[:, None]


def learner(log, pool, run_dir=None, **config):
    """Counts its simulations in a file: a candidate a line."""
    made = ParallelUQLearner(1, pool=pool, run_dir=run_dir)
    path = str(log)

    @made.simulation_task(as_executable=False)
    def simulate(x, offset=0.0):
        with open(path, "a") as file:
            file.write(f"{float(x[0])!r}\n")
        return float(x[0] ** 2 + offset)

    @made.training_task(as_executable=False)
    def train(X, y, seed):
        return np.polyfit(X[:, 0], y + np.random.default_rng(seed).normal(scale=0.01, size=len(y)), deg=2)

    @made.prediction_task(as_executable=False)
    def predict(model, X):
        return np.polyval(model, X[:, 0])

    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=3)
    return made


def simulated(log):
    return log.read_text().split() if log.exists() else []


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A run of 11 labels, and its candidates."""
    path = tmp_path_factory.mktemp("earlier")
    result = learner(path / "log", Pool(X, initial=5), path / "run").run(["w"], ["a", "b"], max_iter=3)["w"]
    assert len(simulated(path / "log")) == 11
    return path / "run", result


@pytest.mark.parametrize("how", ["run", "npz", "csv", "parquet", "pair", "mapping"])
def test_what_an_earlier_run_labelled_is_not_simulated_again(earlier, how, tmp_path):
    run_dir, result = earlier
    # The same candidates in another order, among others: they are recognised by what they are.
    moved = np.concatenate([X[::-1], X + 5])
    if how == "run":
        labels = run_dir
    elif how in ("npz", "csv", "parquet"):
        labels = tmp_path / f"labels.{how}"
        write_labels(labels_of_run(run_dir), labels)
    elif how == "pair":
        labels = (X[result.indices], result.labels)
    else:
        labels = dict(zip((79 - result.indices).tolist(), result.labels, strict=True))
    pool = Pool(moved, labels=labels)
    assert sorted(pool.initial) == sorted(79 - result.indices)
    again = learner(tmp_path / "log", pool, tmp_path / "run").run(["w"], ["a", "b"], max_iter=2)["w"]
    known = {repr(float(x)) for x in X[result.indices, 0]}
    assert len(simulated(tmp_path / "log")) == 3
    assert not known & set(simulated(tmp_path / "log"))
    assert len(again.labels) == 14
    np.testing.assert_allclose(again.labels, moved[again.indices, 0] ** 2)
    table = labels_of_run(tmp_path / "run")
    assert sorted(table.keys).count("imported") == 11
    np.testing.assert_array_equal(table.X, moved[table.candidates])


def test_a_resumed_run_needs_its_labels_and_imports_them_once(earlier, tmp_path):
    run_dir, _ = earlier
    for iterations in (1, 2):
        learner(tmp_path / "log", Pool(X, labels=run_dir), tmp_path / "run").run(["w"], ["a", "b"], max_iter=iterations)
    assert len(simulated(tmp_path / "log")) == 3
    assert len(labels_of_run(tmp_path / "run")) == 14


def test_labels_beside_another_initial_set(earlier, tmp_path):
    run_dir, result = earlier
    new = min(set(range(80)) - set(result.indices.tolist()))
    pool = Pool(X, initial=[*result.indices[:2].tolist(), new], labels=run_dir)
    learner(tmp_path / "log", pool).run(["w"], ["a", "b"], max_iter=1)
    assert simulated(tmp_path / "log") == [repr(float(X[new, 0]))]


def test_one_candidate_with_two_labels_is_an_error(tmp_path):
    configs = {
        name: UQLearnerConfig(simulation=TaskConfig(kwargs={"offset": offset})) for name, offset in (("a", 0), ("b", 1))
    }
    first = learner(tmp_path / "log", Pool(X, initial=5), tmp_path / "run")
    first.run(["a", "b"], ["m", "n"], learner_configs=configs, max_iter=1)
    with pytest.raises(PoolError, match=r"candidate \d+ has several labels, by [ab]/0/.*, [ab]/0/.* that differ"):
        Pool(X, labels=tmp_path / "run")
    with pytest.raises(PoolError, match="several labels"):
        Pool(X, labels=(X[[3, 3]], [1.0, 2.0]))
    assert Pool(X, labels=(X[[3, 3]], [1.0, 1.0])).known == {3: 1.0}


def test_equal_candidates_share_a_label_and_enter_once():
    pool = Pool(np.repeat(X, 2, axis=0), labels=(X[:4], np.arange(4.0)))
    assert pool.known == {i: float(i // 2) for i in range(8)}
    assert pool.initial.tolist() == [0, 2, 4, 6]


def test_labels_of_no_candidate_are_named(caplog):
    Pool(X, labels=(np.concatenate([X[:3], X[:2] + 5]), [0.0, 1.0, 2.0, 3.0, 4.0]))
    assert "2 of the 5 labels given are of no candidate of this pool" in caplog.text


def test_candidates_of_other_kinds():
    assert Pool(["CCO", "CC", "C"], labels=(["CC"], [1.0])).known == {1: 1.0}
    assert Pool([(1, "a"), (2, "b")], labels=([(2, "b")], [1.0])).known == {1: 1.0}
    assert Pool(X.astype(np.float32), labels=(X[:2], [1.0, 2.0])).known == {0: 1.0, 1: 2.0}
    assert Pool(np.array(["ab", "c"]), labels=(["abc", "c"], [1, 2])).known == {1: 2}
    assert Pool(np.arange(5), labels=(np.array([[3]]), [1])).known == {3: 1}


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ({}, "holds no labels"),
        ({99: 1.0}, "from 0 to 79"),
        ({"0": 1.0}, "keys of a mapping are indices of candidates .whole numbers from 0., got '0', a str"),
        ({0.0: 1.0}, "whole numbers from 0., got 0.0, a float"),
        ({True: 1.0}, "got True, a bool"),
        ({10**30: 1.0}, "from 0 to 79"),
        ({1: 1.0, 2: [1.0]}, "label 1 is a list, and label 0 a float"),
        ({1: None}, "label 0 is None"),
        ({1: float("nan")}, "label 0 is nan"),
        ((X[:3], [1.0]), "of one length"),
        ((X[:3, :0], [1.0, 2.0, 3.0]), r"X is \(0,\) of float64, and the pool's candidates are \(1,\)"),
        ((X[:3] + 9, [1.0, 2.0, 3.0]), "none of its 3 samples is a candidate"),
        ("no such file", "no file or directory"),
        (7, "must be a pair"),
    ],
)
def test_labels_that_cannot_be(labels, match):
    with pytest.raises(PoolError, match=match):
        Pool(X, labels=labels)


def test_a_directory_without_a_run(tmp_path):
    with pytest.raises(RunDirectoryError, match="holds no run"):
        Pool(X, labels=tmp_path)
