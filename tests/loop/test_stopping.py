"""A pool's workflow that is told when to stop: by an audit, by what its predictions do, by what a label is worth."""

import asyncio
import html
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import rose
from rose import Pool, SeqUQLearner, StopReason, ThreadEngine
from rose.al import SequentialActiveLearner
from rose.cli import main
from rose.errors import ConfigurationError
from rose.metrics import MODEL_ACCURACY
from rose.pool.stopping._bounds import sizes, spent_by
from rose.store import RunReader
from tests.programs import blobs, classifier, regressor

TWO = ["a", "b"]


def simulated(index):
    """Write down in $LOG what is simulated; where $LOG.deadly is, the driver is killed in the middle of the audit."""
    log = Path(os.environ["LOG"])
    with log.open("a") as file:
        file.write(f"{index}\n")
    if log.with_suffix(".deadly").exists() and len(log.read_text().split()) >= 20:
        while len(RunReader(log.parent / "run").since().labels) < 12:
            pass
        os.kill(os.getpid(), signal.SIGKILL)


def parabola(run_dir):
    """Learn a parabola until an audit certifies it."""
    X = np.linspace(-1, 1, 300)[:, None]
    learner = SeqUQLearner(ThreadEngine(2), pool=Pool(X, initial=5, seed=1), run_dir=run_dir)

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        simulated(index)
        return float(X[index, 0] ** 2)

    @learner.training_task(as_executable=False)
    def train(X, y, seed):
        return np.polyfit(X[:, 0], y + np.random.default_rng(seed).normal(scale=0.01, size=len(y)), deg=2)

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return np.polyval(model, X[:, 0])

    learner.uncertainty_quantification(query_size=3)
    learner.stop_when(error=0.05, share=0.9)
    return learner


def killed(run_dir):
    parabola(run_dir).run(model_names=TWO, max_iter=20)


def test_an_audit_certifies_and_one_that_was_killed_goes_on_without_simulating_again(tmp_path, capsys, monkeypatch):
    run_dir, log = tmp_path / "run", tmp_path / "log"
    monkeypatch.setenv("LOG", str(log))
    program = f"from tests.loop.test_stopping import killed\nkilled({str(run_dir)!r})"
    log.with_suffix(".deadly").touch()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    log.with_suffix(".deadly").unlink()
    recorded = {str(one.candidate) for one in RunReader(run_dir).since().labels}
    assert len(recorded) >= 12  # some of the audit among them
    result = parabola(run_dir).run(model_names=TWO, max_iter=20)
    counted = Counter(log.read_text().split())
    assert {counted[candidate] for candidate in recorded} == {1}
    assert result.stop_reason == StopReason.CERTIFIED
    assert result.statement.startswith(
        "With 95 % confidence, at least 90 % of the pool's candidates are predicted with"
    )
    last = result.iterations[-1]
    assert last["stopping"]["audit"] == last["labels"] - len(result.indices) >= 25  # paid for, and not learned from
    assert len(counted) == last["labels"]
    assert [one.statement for one in rose.load(run_dir).values()] == [result.statement]
    main(["status", str(run_dir)])
    assert result.statement in capsys.readouterr().out
    assert result.statement.rstrip(".") in html.unescape(str(result.report().html))

    written = log.read_text()
    resumed = parabola(run_dir).run(model_names=TWO, max_iter=20)
    assert (resumed.statement, log.read_text()) == (result.statement, written)


def test_workflows_share_an_audit_that_none_of_them_learns_from_or_chooses():
    asked = []
    learner = classifier(ThreadEngine(1), holdout=False)
    y = blobs()[1]

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        asked.append(index)
        return int(y[index])

    learner.stop_when(share=0.6, confidence=0.8)
    results = learner.run(["x", "y"], TWO, max_iter=8)
    assert len(asked) == len(set(asked))
    learned = [set(one.indices.tolist()) for one in results.values()]
    paid = sum(one.iterations[-1]["labels"] for one in results.values())
    assert len(set(asked)) < paid
    for one in results.values():
        assert one.stop_reason == StopReason.CERTIFIED
        assert "predicted right" in one.statement
        assert (one.predict(blobs()[0]).mean.argmax(axis=1) == y).mean() >= 0.6
    audited = set(asked) - learned[0] - learned[1]
    assert audited
    assert not audited & {index for one in results.values() for i in one.iterations for index in i["selection"]}


def test_the_budget_pays_for_the_audit():
    learner = regressor(ThreadEngine(1))
    learner.stop_when(error=1e-9, share=0.6, confidence=0.6)  # never: what is learned is jittered
    result = learner.run(model_names=TWO, max_iter=9, budget=20)
    assert result.stop_reason == StopReason.BUDGET
    assert result.iterations[-1]["labels"] <= 20


def test_stable_predictions_and_a_gain_below_its_cost_stop_and_name_themselves():
    learner = regressor(ThreadEngine(1), holdout=(np.linspace(-1, 1, 20)[:, None], np.linspace(-1, 1, 20) ** 2 + 1))
    learner.stop_when(stable=0.1, patience=2)
    result = learner.run(model_names=TWO, max_iter=8)
    assert result.stop_reason == StopReason.STABLE
    assert all(one["stopping"]["movement"] < 0.1 for one in result.iterations[-2:])
    assert "moved by less than 0.1" in result.statement
    last = len(result.iterations)  # the limit that is reached in the same iteration does not hide it
    again = regressor(ThreadEngine(1), holdout=learner.pool.holdout)
    again.stop_when(stable=0.1, patience=2)
    assert again.run(model_names=TWO, max_iter=last).stop_reason == StopReason.STABLE

    learner = regressor(ThreadEngine(1), holdout=learner.pool.holdout)
    learner.stop_when(cost_per_label=1.0, value=10.0)
    result = learner.run(model_names=TWO, max_iter=12)
    assert result.stop_reason == StopReason.NOT_WORTH_IT
    assert result.iterations[-1]["stopping"]["gain_per_label"] < 1.0
    assert len(result.iterations) == 6  # five tell the curve, and it is believed the second time


@pytest.mark.parametrize("by", ["criterion", "uncertainty"])
def test_a_threshold_has_to_hold_as_often_as_said_and_a_limit_does_not_hide_it(by):
    learner = classifier(ThreadEngine(1), kind=SeqUQLearner)
    if by == "criterion":
        learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.0)
    else:
        learner.uncertainty_quantification(query_size=4, threshold=9.0)
    learner.stop_when(patience=3)
    states = []

    async def follow():
        states.extend([state.should_stop async for state in learner.start(model_names=TWO, max_iter=3)])
        await learner.shutdown()

    asyncio.run(follow())
    assert states == [True, True, True]
    result = classifier(ThreadEngine(1), kind=SeqUQLearner)
    result.stages, result.rule, result.criterion, result.stop_rules = (
        learner.stages,
        learner.rule,
        learner.criterion,
        learner.stop_rules,
    )
    reason = result.run(model_names=TWO, max_iter=3).stop_reason
    assert reason == (StopReason.CRITERION_MET if by == "criterion" else StopReason.CERTAIN_ENOUGH)


def test_a_pool_that_is_too_bad_passes_no_more_often_than_is_said():
    rng, alpha = np.random.default_rng(0), 0.2
    passing = sizes(200, 20, alpha)
    bad = np.arange(200) < 20
    drawn = np.array([np.cumsum(rng.permutation(bad)) for _ in range(4000)])
    passes = np.zeros(len(drawn), bool)
    for failures, size in enumerate(passing):
        passes |= drawn[:, size - 1] <= failures
    assert alpha * 0.5 < passes.mean() < alpha + 0.02
    assert sizes(10, 11, alpha) == (0,)  # there are not so many
    assert sum(map(spent_by, range(60))) < 1


WRONG = [
    ({}, "says nothing"),
    ({"share": 1.0}, "share=1.0 must be a number between 0 and 1; an audit cannot show that all are"),
    ({"error": 0.1, "confidence": 95}, "confidence=95 must be"),
    ({"error": -1.0}, "error=-1.0 must be a positive number"),
    ({"error": 0.1, "audit": 3}, "audit=3 labels can never show it"),
    ({"error": 0.1, "stable": 0.1}, "different rules"),
    ({"value": 3.0}, "cost_per_label= and value= go together"),
    ({"error": 0.1, "audit": 79}, "an audit of 79 candidates is more than the pool has"),
    ({"error": 0.1, "share": 0.99}, "an audit, which takes 438 at least, is more than the pool has"),
    ({"cost_per_label": 1.0, "value": 3.0}, "nothing measures the error"),
]


@pytest.mark.parametrize(("said", "told"), WRONG, ids=range(len(WRONG)))
def test_what_a_rule_cannot_do_is_said_before_anything_runs(said, told):
    learner = regressor(ThreadEngine(1))

    def ask():
        learner.stop_when(**said)
        learner.plan(model_names=TWO, max_iter=3)

    with pytest.raises(ConfigurationError, match=told.replace("(", r"\(")):
        ask()


def test_a_budget_that_pays_for_no_audit_and_a_learner_without_a_pool_are_refused():
    learner = regressor(ThreadEngine(1))
    learner.stop_when(error=0.1)
    with pytest.raises(ConfigurationError, match="budget=20 labels can never pay"):
        learner.plan(model_names=TWO, budget=20)
    without = SequentialActiveLearner(ThreadEngine(1))
    for name in ("simulation", "training", "active_learn"):
        getattr(without, f"{name}_task")(as_executable=False)(lambda *args: None)
    without.stop_when(stable=0.1)
    with pytest.raises(ConfigurationError, match="looks at predictions over a pool, and there is none"):
        without.plan(max_iter=1)
