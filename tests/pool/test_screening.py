"""A pool that is screened part by part: the same choice as from the whole, in memory that does not grow with it."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from rose import Pool, StopReason, ThreadEngine, UQLearnerConfig
from rose.acquisition import acquire, acquisitions, draws_by_keys, get_acquisition
from rose.errors import NotANumberError, PoolError, PredictionError, RunFailedError, TaskFailedError
from rose.metrics import MARGIN, MUTUAL_INFORMATION, PREDICTIVE_ENTROPY, PREDICTIVE_VARIANCE, VARIATION_RATIO
from rose.pool.candidates.file import CandidateFile
from rose.pool.ensemble.members import RoundId
from rose.pool.screening.part import Bar, Bars, Question, Screened, screen
from rose.pool.screening.shortlist import Shortlist
from rose.scoring import get_metric, register_metric, score
from tests.programs import blobs, classifier, regressor, teach

TWO = ["a", "b"]
K = 7


def stacked(task, n=397, members=3):
    """Predictions `[S, N]` or `[S, N, C]`, coarse enough for many ties."""
    rng = np.random.default_rng(8)
    if task == "regression":
        return rng.integers(0, 5, (members, n)).astype(float)
    p = rng.integers(1, 4, (members, n, 3)).astype(float)
    return p / p.sum(axis=2, keepdims=True)


def screened(preds, metric, method, size, taken, seed=0, most=999):
    """All parts of a pool whose candidates are their own indices, screened in a random order and merged."""
    n, metric, method = preds.shape[1], get_metric(metric), get_acquisition(method)
    names = [str(s) for s in range(len(preds))]
    question = Question(
        func=lambda model, X: preds[model, X],
        calls={name: [{"model": True, "X": True}] for name in names},
        classes={}, task=None, normalise=False, metric=metric, reduction=None, method=method, query_size=K, least=0,
        draws=draws_by_keys(method, metric.direction, metric.range), round=RoundId("w", 0, 0),
        tie_seed=0,
    )  # fmt: skip
    found = Shortlist(K, question.kept, metric.direction, tie_seed=0)
    parts = [(start, min(start + size, n)) for start in range(0, n, size)]

    def look(start, stop, most):
        within = taken[(taken >= start) & (taken < stop)]
        if len(within) < stop - start:
            bars = found.bars if start % 2 else Bars()  # what is sent for nothing changes nothing
            part = screen(question, start, stop, within, most, bars, np.arange(n), *range(len(preds)))
            found.add(Screened.unpacked(part))

    for number in np.random.default_rng(seed).permutation(len(parts)).tolist():
        look(*parts[number], most)
    for part in found.lacking():
        look(*part, 999)
    assert not found.lacking()
    return found


@pytest.mark.parametrize("size", [1, 10, 133, 396, 397])
@pytest.mark.parametrize("metric", [PREDICTIVE_ENTROPY, MARGIN, MUTUAL_INFORMATION, VARIATION_RATIO])
def test_top_k_of_the_parts_is_top_k_of_the_whole(metric, size):
    preds, taken = stacked("classification"), np.array([*range(20), 200, 396])
    scores, direction = score(preds, metric), get_metric(metric).direction
    whole = acquire(scores, K, method="top_k", direction=direction, labelled=taken)
    for most in (999, 3, 1):
        indices, kept = screened(preds, metric, "top_k", size, taken, size, most).uncertain
        np.testing.assert_array_equal(kept, scores[indices])
        first = acquire(kept, K, method="top_k", direction=direction, ids=indices)
        np.testing.assert_array_equal(indices[first], whole)


def test_only_parts_that_may_hold_more_are_looked_at_again():
    found = Shortlist(4, 4, "higher", tie_seed=0)
    nothing = np.empty(0, np.int64)
    for start, scores, last in ((0, [0.9, 0.8], Bar(-0.8, 0)), (10, [0.5, 0.4], Bar(-0.4, 0)), (20, [0.7, 0.6], Bar())):
        part, some = (start, start + 10), (np.array([start, start + 1]), np.array(scores))
        found.add(Screened(part, *some, nothing, np.empty(0), 0.0, 1.0, "", False, Bars(last)))
    assert found.lacking() == [(0, 10)]
    assert found.bars.uncertain.key == -0.6
    more = np.array([0, 1, 2, 3]), np.array([0.9, 0.8, 0.75, 0.65])
    found.add(Screened((0, 10), *more, nothing, np.empty(0), 0.0, 1.0, "", False, Bars()))
    assert found.lacking() == []
    assert found.uncertain[0].tolist() == [0, 1, 2, 20]


@pytest.mark.parametrize("metric", [PREDICTIVE_VARIANCE, "standard_deviation", "interval_width"])
def test_diverse_chooses_the_same_bit_for_bit(metric):
    preds, taken = stacked("regression"), np.arange(5)
    scores, features = score(preds, metric), np.random.default_rng(0).normal(size=(397, 4))
    found = screened(preds, metric, "diverse", 100, taken, most=8)
    indices, kept = found.uncertain
    assert len(indices) == 10 * K
    for given in ({"features": features}, {"mc_preds": preds}):
        some = {name: value[indices] if name == "features" else value[:, indices] for name, value in given.items()}
        some["ids"] = indices
        whole = acquire(scores, K, method="diverse", labelled=taken, **given)
        np.testing.assert_array_equal(indices[acquire(kept, K, method="diverse", **some)], whole)


def test_scores_without_a_declared_end_weigh_as_those_of_the_whole(request):
    from rose.scoring import METRICS

    request.addfinalizer(lambda: METRICS.remove("spread out"))

    @register_metric("spread out", task="regression", direction="lower")
    def spread_out(preds):
        return preds.std(axis=0) - 9.5

    preds = stacked("regression") + np.random.default_rng(1).random((3, 397))
    scores, features = score(preds, "spread out"), np.arange(397.0)[:, None]
    found = screened(preds, "spread out", "diverse", 90, np.empty(0, np.int64))
    indices, kept = found.uncertain
    span = found.range(get_metric("spread out").range)
    assert span == (scores.min(), scores.max())
    whole = acquire(scores, K, method="diverse", direction="lower", features=features)
    parts = acquire(kept, K, method="diverse", direction="lower", features=features[indices], range=span, ids=indices)
    np.testing.assert_array_equal(indices[parts], whole)


@pytest.mark.parametrize("method", ["random", "power", "softmax"])
def test_what_is_drawn_is_drawn_from_the_whole_pool(method):
    preds = np.zeros((2, 400))
    preds[1, 200:] = 2.0  # variance 1 in the second half, 0 in the first
    shares = []
    for trial in range(40):
        order = np.random.default_rng(trial).permutation(400)
        none = np.empty(0, np.int64)
        found = screened(preds[:, order], PREDICTIVE_VARIANCE, method, 37, none, seed=trial)
        again = screened(preds[:, order], PREDICTIVE_VARIANCE, method, 37, none, seed=trial, most=2)
        np.testing.assert_array_equal(found.drawn, again.drawn)
        assert len(set(found.drawn.tolist())) == K
        shares.append(np.mean(preds[1, order][found.drawn] == 2.0))
    expected = {"random": 0.5, "power": 1.0, "softmax": np.e / (1 + np.e)}[method]
    assert np.mean(shares) == pytest.approx(expected, abs=0.12)


def history(result):
    """What must be the same: choices, and the uncertainty that they were made at."""
    return [(i["labels"], i["uncertainty"], i["selection"], i.get("holdout")) for i in result.iterations]


@pytest.mark.parametrize("metric", [PREDICTIVE_ENTROPY, MARGIN])
@pytest.mark.parametrize("method", ["top_k", "diverse"])
def test_a_learner_chooses_the_same_in_parts_of_any_size(either_engine, metric, method):
    def run(block, **pool):
        learner = classifier(either_engine, block=block, **pool)
        learner.acquisition = method
        return history(teach(learner, workflows={"w": metric}, model_names=TWO, num_predictions=2, max_iter=3)["w"])

    whole = run(1000)
    assert run(13) == whole == run(119)
    X = blobs()[0]
    assert run(50, features=X) == run(1000, features=X)


@pytest.mark.parametrize("method", ["top_k", "random"])
def test_parts_that_hold_more_than_their_share_are_looked_at_again(engine, monkeypatch, method):
    def run(block):
        learner = classifier(engine, block=block)
        learner.acquisition = method
        return history(teach(learner, ["w"], TWO, max_iter=3)["w"])

    undisturbed = run(40)
    monkeypatch.setattr("rose.pool.screening.screener._SHARE", 1)
    monkeypatch.setattr("rose.pool.screening.screener._SHARES", 0)
    assert run(40) == undisturbed


@pytest.mark.parametrize("metric", [PREDICTIVE_VARIANCE, "mixture_entropy", "total_variance"])
def test_regression_with_members_that_tell_their_variance(engine, metric):
    def run(block):
        learner = regressor(engine, block=block, holdout=(np.array([[0.0], [0.5]]), np.array([1.0, 1.25])))
        learner.uncertainty_quantification(metric, query_size=3)

        @learner.prediction_task(as_executable=False)
        def predict(model, X):
            return np.polyval(model, X[:, 0]), 0.1 + np.abs(X[:, 0])

        return history(teach(learner, TWO, max_iter=3))

    assert run(11) == run(1000)


@pytest.mark.parametrize("method", [m for m in acquisitions() if m not in ("top_k", "diverse")])
def test_every_method_chooses_and_the_same_on_every_engine(engine, method):
    def run(on, block):
        learner = classifier(on, block=block, features=blobs()[0] if method == "badge" else None)
        learner.acquisition = method
        return teach(learner, ["w"], TWO, max_iter=3)["w"]

    result = run(engine, 40)
    assert len(set(result.indices.tolist())) == 14
    assert history(result) == history(run(ThreadEngine(3), 40))


def test_it_ends_as_a_whole_pool_does(engine):
    learner = classifier(engine, block=50)
    assert teach(learner, ["w"], TWO, budget=13)["w"].indices.shape == (13,)
    exhausted = teach(learner, workflows={"w": UQLearnerConfig(query_size=60)}, model_names=TWO, max_iter=9)["w"]
    assert exhausted.stop_reason == StopReason.POOL_EXHAUSTED
    assert sorted(exhausted.indices.tolist()) == list(range(120))
    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4, threshold=10.0)
    assert teach(learner, ["w"], TWO, max_iter=3)["w"].stop_reason == StopReason.CERTAIN_ENOUGH

    @learner.as_stop_criterion("labels seen", threshold=10, operator=">=", as_executable=False)
    def seen(models, y):
        return len(y)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4)
    assert teach(learner, ["w"], TWO)["w"].stop_reason == StopReason.CRITERION_MET


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p[:-1], r"predicted an array of shape \(\d+, 2\) for \d+ samples"),
        (lambda p: p * 2, r"outside \[0, 1\]"),
        (lambda p: p * np.nan, "not a finite number"),
    ],
)
def test_wrong_predictions_name_the_model_the_pass_and_the_candidates(engine, spoil, message):
    learner = classifier(engine, block=50, holdout=False)

    @learner.prediction_task(as_executable=False)
    def predict(model, X, model_name, pass_index):
        good = model.predict_proba(X)
        return spoil(good) if model_name == "b" and pass_index == 1 else good

    with pytest.raises(RunFailedError, match=message) as caught:
        teach(learner, ["w"], TWO, num_predictions=2, max_iter=2)
    error = caught.value.errors["w"]
    assert isinstance(error, PredictionError)
    assert "model 'b', iteration 0 of workflow 'w', candidates " in str(error)
    assert ", pass 1: " in str(error)
    assert isinstance(error.__cause__, TaskFailedError)
    assert "task w/0/screening.30/" in str(error.__cause__)


def test_what_a_prediction_function_raises_names_its_model(engine):
    learner = classifier(engine, block=50, holdout=False)

    @learner.prediction_task(as_executable=False)
    def predict(model, X, model_name):
        if model_name == "b":
            raise OSError("no licence")
        return model.predict_proba(X)

    with pytest.raises(RunFailedError, match=r"(?s)no licence.*raised by model 'b'") as caught:
        teach(learner, ["w"], TWO, max_iter=2)
    assert isinstance(caught.value.errors["w"].__cause__, OSError)


def test_predictions_of_another_form_in_another_part(engine):
    learner = classifier(engine, block=60, holdout=False)

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        p = model.predict_proba(X)
        return p if (blobs()[0][:1] == X).all(axis=1).any() else np.hstack([p, np.zeros((len(p), 1))])

    learner.pool = Pool(blobs()[0], initial=[1, 2, 3, 100, 101, 102], seed=0, block=60)
    with pytest.raises(RunFailedError, match=r"\[n, 3\] without variances.*|\[n, 2\] without variances.*"):
        teach(learner, ["w"], TWO, max_iter=2)


def test_a_score_that_is_no_number_stops_the_workflow(engine, request):
    from rose.scoring import METRICS

    request.addfinalizer(lambda: METRICS.remove("nothing"))

    @register_metric("nothing", task="classification", direction="higher")
    def nothing(preds):
        return np.full(preds.shape[1], np.nan)

    learner = classifier(engine, block=50, holdout=False)
    learner.uncertainty_quantification("nothing", query_size=2)
    with pytest.raises(RunFailedError, match=r"the score of candidate \d+ is NaN") as caught:
        teach(learner, ["w"], TWO, max_iter=2)
    assert isinstance(caught.value.errors["w"], NotANumberError)
    assert caught.value.results["w"].stop_reason == StopReason.NOT_A_NUMBER


def test_what_all_models_need_together_is_checked_before_anything_runs(engine):
    learner = classifier(ThreadEngine(2, memory=10_000_000), block=50)
    learner.prediction_task(as_executable=False, memory="8MB")(lambda model, X: model.predict_proba(X))
    with pytest.raises(ValueError, match=r"all models' predictions of a part of the pool.* memory=16000000"):
        learner.run(["w"], TWO, max_iter=1)


def test_recorded_parts_are_not_screened_again(engine, tmp_path):
    """The first driver fails in the last part, which a second, that works in other parts, and a third make up for."""
    log, fails = str(tmp_path / "log"), tmp_path / "fails"
    fails.touch()
    failing = str(fails)

    def run(block=30):
        learner = classifier(engine, block=block, holdout=False)
        learner._run_dir = tmp_path / "run"

        @learner.prediction_task(as_executable=False)
        def predict(model, X, model_name):
            import os
            import time
            from pathlib import Path

            with open(log, "a") as file:
                file.write(f"{model_name} {len(X)}\n")
            if len(X) < 25 and os.path.exists(failing):  # parts of 30, of which the initial 6 are taken
                while Path(log).read_text().count("b 30") < 3:
                    time.sleep(0.01)
                time.sleep(0.2)
                raise OSError("no licence")
            return model.predict_proba(X)

        learner.pool = Pool(blobs()[0], initial=[90, 91, 92, 93, 94, 95], seed=0, block=block)
        return teach(learner, ["w"], TWO, max_iter=1)["w"]

    with pytest.raises(RunFailedError, match="no licence"):
        run()
    with pytest.raises(RunFailedError, match="no licence"):
        run(block=28)
    fails.unlink()
    (tmp_path / "log").write_text("")
    result = run()
    again = (tmp_path / "log").read_text().splitlines()
    assert again.count("a 24") == again.count("b 24") == 1
    assert again.count("a 30") <= 1, "what had just ended may not have been recorded before the run failed"
    json.dumps(result)
    undisturbed = classifier(engine, block=1000, holdout=False)
    undisturbed.pool = Pool(blobs()[0], initial=[90, 91, 92, 93, 94, 95], seed=0)
    assert history(result) == history(teach(undisturbed, ["w"], TWO, max_iter=1)["w"])


def test_files(tmp_path):
    X = np.arange(60.0).reshape(20, 3)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    file = CandidateFile.of(mapped)
    assert file is not None
    assert len(file) == 20
    np.testing.assert_array_equal(file.read(3, 20), X[3:])
    np.testing.assert_array_equal(file.take(np.array([5, 2])), X[[5, 2]])
    assert CandidateFile.of(mapped[1:]) is None, "its offset is its owner's"
    assert CandidateFile.of(np.load(tmp_path / "X.npy", mmap_mode="c")) is None, "it may have been changed"
    assert CandidateFile.of(X) is None
    (tmp_path / "X.npy").unlink()
    for look in (lambda: file.read(0, 1), lambda: file.take(np.array([0]))):
        with pytest.raises(PoolError, match=r"X.npy' cannot be read on .*put it where all workers see it"):
            look()


def test_a_pool_in_a_file_is_read_by_its_path(either_engine, tmp_path):
    X = blobs()[0]
    np.save(tmp_path / "pool.npy", X)

    def run(candidates, block):
        learner = classifier(either_engine)
        learner.acquisition = "lcmd"
        learner.pool = Pool(candidates, initial=6, seed=0, block=block)
        return history(teach(learner, ["w"], TWO, max_iter=3)["w"])

    assert run(tmp_path / "pool.npy", 37) == run(X, 37)


MEASURED = """
    import resource, sys
    import numpy as np
    from rose import Pool, SeqUQLearner, ThreadEngine

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB

    def run(path):
        pool = Pool(path, initial=[0, 1, 2], seed=0, block=65536)
        learner = SeqUQLearner(ThreadEngine(1), pool=pool, acquisition="top_k")
        learner.simulation_task(as_executable=False)(lambda index: float(index))
        learner.training_task(as_executable=False)(lambda X, y, seed: seed % 7)
        learner.prediction_task(as_executable=False)(lambda model, X: X[:, 0] + model * (np.arange(len(X)) % 100 == 50))
        learner.uncertainty_quantification("predictive_variance", query_size=4)
        return learner.run(["a", "b"], max_iter=2)

    run(sys.argv[1])
    small = peak()
    result = run(sys.argv[2])
    assert len(result.indices) == 7
    print(peak() - small)
"""


def test_memory_does_not_grow_with_the_pool(tmp_path):
    for name, n in (("small", 70_000), ("large", 2_000_000)):
        np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.float32, (n, 16)).flush()
    arguments = [sys.executable, "-c", textwrap.dedent(MEASURED), *(tmp_path / f"{n}.npy" for n in ("small", "large"))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    grown = float(done.stdout)
    assert grown < 40, "MB more for a pool of 128 MB"
