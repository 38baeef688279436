"""Labels given beside `initial=`, to a run that has begun, or otherwise than it recorded; and extra samples."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool, StopReason
from rose.engine import ThreadEngine
from rose.errors import ChangedRunError, ConfigurationError, PoolError, RunFailedError
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_VARIANCE
from rose.store import DONE, LabelCorrected, labels_of_run, write_labels
from rose.store.database.schema import reading
from rose.store.database.sql import read_events, read_tasks

X = np.linspace(-1, 1, 60)[:, None]
FUNCTION: dict[str, Any] = {"as_executable": False}
FAILS = 41  # the candidate whose simulation fails


class Program:
    """A user's script that is started again and again: its runs, simulations and trainings are written down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, rounds: int = 1, names: tuple[str, ...] = ("w",), budget: int | None = None, dies: str = "",
                 equal: bool = False, **options: Any) -> Any:  # fmt: skip
        keep = {name: options.pop(name) for name in ("accept_changes", "acquisition") if name in options}
        candidates = np.repeat(X[::2], 2, axis=0) if equal else X
        run_dir = self.directory / "run"
        learner = ParallelUQLearner(ThreadEngine(2), pool=Pool(candidates, **options), run_dir=run_dir, **keep)
        log, die = self.directory / "log", self.directory / "die"
        die.write_text(dies)

        @learner.simulation_task(**FUNCTION, on_failure="drop")
        def simulate(x: Any) -> float:
            place = round((float(x[0]) + 1) / 2 * 59)
            with log.open("a") as file:
                file.write(f"simulation:{place}\n")
            if place == FAILS:
                raise ArithmeticError("did not converge")
            return float(x[0] ** 2)

        @learner.training_task(**FUNCTION)
        def train(X: Any, y: Any, seed: int, workflow: str, iteration: int, model_name: str) -> Any:
            with log.open("a") as file:
                file.write(f"training:{workflow}/{iteration}/{model_name}:{len(y)}\n")
            if die.read_text() == f"{iteration}/{model_name}":
                await_done(run_dir, f"{workflow}/{iteration}/training/a")
                raise KeyboardInterrupt
            return float(np.mean(y)), 3 + np.random.default_rng(seed).random()

        learner.prediction_task(**FUNCTION)(lambda model, X: np.sin(X[:, 0] * model[1] + model[0]))
        learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
        return learner.run(list(names), ["a", "b"], max_iter=rounds, budget=budget)

    def simulated(self) -> list[int]:
        return sorted(int(line.split(":")[1]) for line in self._lines("simulation"))

    def trained(self) -> Counter[str]:
        return Counter(line.split(":", 1)[1] for line in self._lines("training"))

    def _lines(self, kind: str) -> list[str]:
        log = self.directory / "log"
        return [line for line in log.read_text().split() if line.startswith(kind)] if log.exists() else []


def await_done(run_dir: Path, key: str) -> None:
    """Wait until a task is recorded as done."""
    limit = time.monotonic() + 40
    while time.monotonic() < limit:
        with reading(run_dir) as connection:
            if any(task.state == DONE for task in read_tasks(connection, key)):
                return
        time.sleep(0.005)
    pytest.fail(f"{key} was not recorded")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def square(*indices: int) -> dict[int, float]:
    """The labels of these candidates."""
    return {index: float(X[index, 0] ** 2) for index in indices}


def test_given_labels_count_towards_the_initial_ones(program: Program) -> None:
    pool = Pool(X, initial=6, seed=2, labels=square(50, 3, 7))
    assert pool.initial[:3].tolist() == [3, 7, 50]
    assert len(set(pool.initial.tolist())) == 6
    assert pool.initial.tolist() == Pool(X, initial=6, seed=2, labels=square(3, 7, 50)).initial.tolist()
    assert Pool(X, initial=2, labels=square(3, 7, 50)).initial.tolist() == [3, 7, 50]
    assert Pool(X, initial=[9, 3], labels=square(3, 7)).initial.tolist() == [9, 3, 7]
    assert Pool(X, labels=square(3, 7)).initial.tolist() == [3, 7]
    assert len(Pool(X).initial) == 20
    twice = np.repeat(X, 2, axis=0)
    pool = Pool(twice, initial=119, labels=(X[:1], [1.0]))
    assert pool.initial[0] == 0
    assert 1 not in pool.initial, "a candidate that equals a given one is not drawn"
    result = program(initial=6, seed=2, labels=square(50, 3, 7))["w"]
    assert len(program.simulated()) == 3
    assert set(result.indices.tolist()) >= {3, 7, 50}


def test_a_labels_file_that_has_grown_is_welcome(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"

    def write(*indices: int) -> None:
        rows = [f"{index},{label!r}" for index, label in square(*indices).items()]
        file.write_text("index,y\n" + "\n".join(rows) + "\n")

    write(3, 7)
    first = program(1, initial=6, labels=file)["w"]
    write(3, 7, 30, 31)
    second = program(3, initial=6, labels=file)["w"]
    assert second.indices[:6].tolist() == first.indices.tolist()
    assert [i["labels"] for i in second.iterations] == [6, 10, 12]
    assert second.indices[8:10].tolist() == [30, 31]
    assert not {30, 31} & set(program.simulated())
    np.testing.assert_allclose(second.labels, X[second.indices, 0] ** 2)
    ran = program.trained()
    assert set(ran.values()) == {1}
    again = program(3, initial=6, labels=file)["w"]
    assert again == second
    assert again.indices.tolist() == second.indices.tolist()
    assert program.trained() == ran
    write(3, 7, 30, 31, 32)
    both = program(4, names=("w", "new"), initial=6, labels=file)
    assert both["w"].indices[12:].tolist()[-1] == 32
    assert both["new"].indices[:9].tolist() == [*first.indices.tolist(), 30, 31, 32]
    assert set(Counter(program.simulated()).values()) == {1}
    with pytest.raises(ChangedRunError, match=r"Pool\(initial=\) has changed"):
        program(4, initial=7, labels=file)
    with pytest.raises(ChangedRunError, match=r"Pool\(initial=\) has changed"):
        program(4, initial=[1, 2], labels=file)


def test_labels_alone_may_grow_too_and_be_given_later(program: Program) -> None:
    program(1, labels=square(3, 7, 9))
    grown = program(2, labels=square(3, 5, 7, 9))["w"]
    assert grown.indices.tolist()[:3] == [3, 7, 9]
    assert grown.indices.tolist()[-1] == 5
    with pytest.raises(ChangedRunError, match=r"Pool\(initial=\) was as the labels given say, and is"):
        program(2, initial=9, labels=square(3, 7, 9))
    other = Program(program.directory / "other")
    other.directory.mkdir()
    other(1, initial=4)
    later = other(2, initial=4, labels=square(0, 1, 2))["w"]
    assert set(later.indices.tolist()) >= {0, 1, 2}


@pytest.mark.parametrize("dies", ["0/b", "1/b"])
def test_labels_join_no_round_that_is_half_played(dies: str, program: Program) -> None:
    settings = {"initial": 4, "acquisition": "top"}
    undisturbed = Program(program.directory / "other")
    undisturbed.directory.mkdir()
    whole = undisturbed(3, **settings)["w"]
    given = square(*sorted(set(range(60)) - set(whole.indices.tolist()))[20:22])
    with pytest.raises((RunFailedError, KeyboardInterrupt)):
        program(3, **settings, dies=dies)
    iteration = int(dies[0])
    result = program(3, **settings, labels=given)["w"]
    held = [4, 6, 8]
    assert [i["labels"] for i in result.iterations] == [n + 2 * (i > iteration) for i, n in enumerate(held)]
    assert result.indices[: held[iteration] + 2].tolist() == whole.indices[: held[iteration] + 2].tolist()
    assert program(3, **settings, labels=given)["w"].indices.tolist() == result.indices.tolist()


def test_a_round_in_which_labels_joined_is_the_same_when_it_is_resumed(program: Program) -> None:
    settings = {"initial": 4, "acquisition": "diverse", "start": "random"}  # which choose none of those given
    program(1, **settings)
    with pytest.raises((RunFailedError, KeyboardInterrupt)):
        program(3, **settings, labels=square(0, 1), dies="1/b")
    result = program(3, **settings, labels=square(0, 1, 2))["w"]
    assert [i["labels"] for i in result.iterations] == [4, 8, 11]
    assert program.trained()["w/1/a:8"] == 1


def test_the_budget_counts_what_is_held(program: Program) -> None:
    with pytest.raises(ConfigurationError, match="budget=5 labels does not pay for the 6 initial"):
        program(9, initial=6, labels=square(3, 7), budget=5)
    result = program(9, labels=square(*range(6)), budget=8)["w"]
    assert (result.stop_reason, len(result.indices), len(program.simulated())) == (StopReason.BUDGET, 8, 2)
    grown = program(9, labels=square(*range(6), *range(30, 40)), budget=8)["w"]
    assert len(grown.indices) == 8
    assert program(9, labels=square(*range(6), *range(30, 40)), budget=20)["w"].stop_reason == StopReason.BUDGET


def test_a_correction_is_named_and_can_be_accepted(
    program: Program, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = program(3, initial=[2, 9, 30, 55])["w"]
    chosen = int(before.indices[4])
    initial = {"initial": [2, 9, 30, 55]}
    same = {2: np.float64(X[2, 0] ** 2), 9: np.array(X[9, 0] ** 2)}
    assert program(3, **initial, labels=same)["w"] == before
    with pytest.raises(ChangedRunError) as refused:
        program(4, **initial, labels={2: 99.0, chosen: -1.0})
    message = str(refused.value)
    assert f"candidate 2: recorded {float(X[2, 0] ** 2)}, given 99.0" in message
    assert f"candidate {chosen}: recorded" in message
    assert "accept_changes=True" in message
    assert 99.0 not in list(labels_of_run(tmp_path / "run").labels)
    ran = program.trained()

    after = program(4, **initial, labels={2: 99.0}, accept_changes=True)["w"]
    assert after.labels[0] == 99.0
    assert after.indices[:8].tolist() == before.indices.tolist()
    assert len(after.indices) == 10
    table = labels_of_run(tmp_path / "run")
    assert dict(zip(table.candidates.tolist(), table.labels, strict=True))[2] == 99.0
    assert f"candidate 2: recorded {float(X[2, 0] ** 2)}, given 99.0" in caplog.text
    assert "chosen with the old ones stays: workflow 'w', iterations 0 to 1" in caplog.text
    assert program.trained()["w/2/a:8"] == ran["w/2/a:8"] + 1, "the last round, which goes on, is learned anew"
    assert program.trained()["w/0/a:4"] == 1
    with reading(tmp_path / "run") as connection:
        events = [asdict(one) for _, (_, one) in read_events(connection) if isinstance(one, LabelCorrected)]
    assert events == [
        {"candidate": 2, "task": "w/0/simulation/2", "recorded": float(X[2, 0] ** 2), "given": 99.0}
    ]  # fmt: skip
    assert set(Counter(program.simulated()).values()) == {1}
    ran = program.trained()
    assert program(4, **initial, labels={2: 99.0})["w"] == after, "what was accepted needs no acceptance again"
    assert program(4, **initial)["w"] == after
    assert program.trained() == ran


def test_a_correction_is_found_by_content(program: Program) -> None:
    first = program(1, initial=[10], equal=True)["w"]
    assert first.indices.tolist() == [10]
    with pytest.raises(ChangedRunError, match=r"candidate 10: recorded .*, given 7.0"):
        program(1, initial=[10], equal=True, labels={11: 7.0})
    with pytest.raises(PoolError, match="candidates 10 and 11 are equal, but are given different labels"):
        program(1, initial=[10], equal=True, labels={10: 1.0, 11: 2.0})


def test_a_label_is_given_of_what_failed(program: Program, tmp_path: Path) -> None:
    initial = {"initial": [2, 9, FAILS]}
    first = program(2, **initial)["w"]
    assert first.iterations[0]["dropped"] == [FAILS]
    second = program(3, **initial, labels={FAILS: 0.5})["w"]
    assert second.iterations[0] == first.iterations[0]
    assert second.indices.tolist().index(FAILS) == 4
    assert second.labels[4] == 0.5
    assert program.simulated().count(FAILS) == 1
    assert program(3, **initial)["w"] == second
    write_labels(labels_of_run(tmp_path / "run"), tmp_path / "labels.npz")
    assert Pool(X, labels=tmp_path / "labels.npz").known[FAILS] == 0.5


def test_what_failed_altogether_goes_on_with_labels_that_are_given(program: Program) -> None:
    initial = {"initial": [FAILS]}
    assert program(2, **initial)["w"].stop_reason == StopReason.SIMULATIONS_FAILED
    result = program(2, **initial, labels={FAILS: 0.5, 3: 0.25})["w"]
    assert result.indices[:2].tolist() == [FAILS, 3]
    assert result.stop_reason == StopReason.MAX_ITER
    assert program.simulated().count(FAILS) == 1
    assert program(2, **initial)["w"] == result


def test_a_label_given_of_what_failed_in_a_round_that_is_played_again(program: Program) -> None:
    settings = {"initial": [2, 9, FAILS], "acquisition": "diverse"}
    with pytest.raises((RunFailedError, KeyboardInterrupt)):
        program(2, **settings, dies="0/b")
    result = program(2, **settings, labels={FAILS: 0.5})["w"]
    assert result.indices[:3].tolist() == [2, 9, FAILS]
    assert "dropped" not in result.iterations[0]
    assert program(2, **settings)["w"] == result


def seen_by(learner: Any, log: Path) -> None:
    """Write down what trains, and what the criterion is given."""

    @learner.training_task(**FUNCTION)
    def train(X: Any, y: Any, seed: int) -> Any:
        with log.open("a") as file:
            file.write(json.dumps([np.asarray(X).ravel().tolist(), np.asarray(y).tolist()]) + "\n")
        return seed % 5

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=9.0, **FUNCTION)
    def criterion(X: Any, y: Any) -> float:
        assert len(X) == len(y)
        return float(len(y)) / 1000

    learner.prediction_task(**FUNCTION)(lambda model, X, seed: np.sin(X[:, 0] * (1 + seed % 97)))
    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)


def with_extra(tmp_path: Path, pool: Pool, simulate: Any = lambda index: index / 10, **options: Any) -> Any:
    learner = ParallelUQLearner(ThreadEngine(2), pool=pool, run_dir=tmp_path / "run", **options)
    learner.simulation_task(**FUNCTION)(simulate)
    seen_by(learner, tmp_path / "log")
    return learner.run(["w"], ["a"], num_predictions=2, max_iter=2)["w"]


def test_extra_samples_train_and_are_no_labels(tmp_path: Path) -> None:
    extra = (np.array([[5.0], [6.0]]), [50.0, 60.0])
    result = with_extra(tmp_path, Pool(X, initial=[1, 2, 3], extra=extra))
    X_seen, y_seen = json.loads((tmp_path / "log").read_text().splitlines()[0])
    assert X_seen == [5.0, 6.0, *X[1:4, 0]]
    assert y_seen == [50.0, 60.0, 0.1, 0.2, 0.3]
    assert [i["labels"] for i in result.iterations] == [3, 5]
    assert [i["metric"] for i in result.iterations] == [5 / 1000, 7 / 1000]
    assert len(result.indices) == len(result.labels) == 5
    assert len(labels_of_run(tmp_path / "run")) == 5
    assert with_extra(tmp_path, Pool(X, initial=[1, 2, 3], extra=extra)) == result
    for changed in (None, (extra[0], [50.0, 61.0]), (extra[0][:1], [50.0])):
        with pytest.raises(ChangedRunError, match=r"Pool\(extra=\) (has changed|was .*, and is none)"):
            with_extra(tmp_path, Pool(X, initial=[1, 2, 3], extra=changed))
    with_extra(tmp_path, Pool(X, initial=[1, 2, 3], extra=None), accept_changes=True)


def test_extra_samples_of_other_kinds(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    torch = pytest.importorskip("torch")
    frame = pandas.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "k": pandas.Categorical(["u", "v", "u", "v"])})
    other = pandas.DataFrame({"k": ["v"], "more": [1], "a": [9]})
    pool = Pool(frame, initial=2, extra=(other, pandas.Series([1.5])))
    assert pool.extra is not None
    joined = pool.extra.before(frame.iloc[:2])
    assert joined["a"].tolist() == [9.0, 0.0, 1.0]
    assert joined["k"].cat.categories.tolist() == ["u", "v"]
    pool = Pool(["CC", "C"], initial=1, extra=(["CCO"], [1]))
    assert pool.extra is not None
    assert pool.extra.before(["C"]) == ["CCO", "C"]
    pool = Pool(X, initial=1, extra=(torch.tensor([[0.5]], requires_grad=True), torch.tensor([2.5])))
    assert pool.extra is not None
    assert pool.extra.labels == [2.5]
    np.save(tmp_path / "x.npy", X)
    result = with_extra(tmp_path, Pool(tmp_path / "x.npy", initial=[1, 2], extra=([[0.5]], [2.5]), block=7))
    assert len(result.indices) == 4
    for bad, message in (
        (3, "extra must be a pair"),
        ((X[:2], [1.0]), "2 and 1 rows"),
        ((X[:0], []), "0 and 0 rows"),
        (
            (np.zeros((1, 2)), [1.0]),
            r"extra X has rows of shape \(2,\) of float64, and the pool's candidates are \(1,\)",
        ),
        ((np.array([["a"]]), [1.0]), "of <U1"),
        ((X[:1], [float("nan")]), "extra: label 0 is nan"),
        ((X[:1], [None]), "extra: label 0 is None"),
        ((X[:1], [[1.0, float("inf")]]), r"extra: label 0 has inf at \[1\]"),
        ((X[:1] * np.nan, [1.0]), r"extra X\[0\] holds NaN or inf"),
        ((other, [1.0]), "extra X is a DataFrame, and the pool is an array"),
    ):
        with pytest.raises(PoolError, match=message):
            Pool(X, initial=1, extra=bad)
    for wrong, message in (
        (other.drop(columns="k"), "extra X lacks the column 'k'"),
        (other.assign(k=["w"]), r"extra X\[0\] has 'w' in column 'k', which the type of the pool's column"),
        (other.assign(a=["text"]), "values of other types than the pool's columns"),
        (X[:1], "extra X must be a DataFrame with the pool's columns"),
    ):
        with pytest.raises(PoolError, match=message):
            Pool(frame, initial=1, extra=(wrong, [1.0]))


def test_extra_labels_of_another_kind(tmp_path: Path) -> None:
    pool = Pool(X, initial=[1, 2], extra=(X[:1], ["a"]))
    with pytest.raises(
        RunFailedError, match="its labels are of another kind or shape than the candidates': <U1 and float"
    ):
        with_extra(tmp_path, pool)
