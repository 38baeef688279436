"""What a simulation gives as a label: what is none has failed, what does not fit ends the workflow."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rose import ParallelUQLearner, Pool, StopReason
from rose.engine import ThreadEngine
from rose.errors import PoolError, RunFailedError
from rose.metrics import MARGIN, PREDICTIVE_VARIANCE
from rose.store import DROPPED, labels_of_run
from rose.store.database.schema import reading
from rose.store.database.sql import read_tasks

NAN = float("nan")
X = np.linspace(-1, 1, 40)[:, None]
FUNCTION: dict[str, Any] = {"as_executable": False}


def learner(pool: Pool, simulate: Any, run_dir: Path | None = None, target: Any = None, **options: Any) -> Any:
    """A pool whose members do not look at the labels, so that these may be anything; `target` makes numbers of them."""
    made = ParallelUQLearner(ThreadEngine(2), pool=pool, run_dir=run_dir)
    made.simulation_task(**{**FUNCTION, **options})(simulate)
    made.training_task(**FUNCTION)(lambda X, y, seed: (seed % 7, len(y)))
    made.prediction_task(**FUNCTION)(lambda model, X: np.arange(len(X)) * (1.0 + model[0]))
    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=3)
    return made


def run(made: Any, rounds: int = 1) -> Any:
    """Its only workflow."""
    return made.run(["w"], ["a", "b"], max_iter=rounds)["w"]


def test_a_label_that_does_not_fit_ends_the_workflow_and_stays_paid_for(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def simulate(index: int) -> float:
        with log.open("a") as file:
            file.write(f"{index}\n")
        return 0.5

    def classify(pool: Pool, run_dir: Path | None = None) -> None:
        made = learner(pool, simulate, run_dir, on_failure="drop", retries=3)
        made.models(a=LogisticRegression(), b=LogisticRegression())
        made.uncertainty_quantification(MARGIN, query_size=3)
        made.run(["w"], max_iter=1)

    for _ in range(2):  # what is recorded is looked at too
        with pytest.raises(RunFailedError, match=r"the label of candidate \d+, 0.5, is for regression") as failed:
            classify(Pool(X, initial=1), tmp_path / "run")
        assert isinstance(failed.value.errors["w"], PoolError)
        assert len(log.read_text().split()) == 1
        assert list(labels_of_run(tmp_path / "run").labels) == [0.5]
    log.unlink()
    for given, what in ({"labels": {7: 0.5}}, "candidate 7"), ({"extra": (X[:1], [0.5])}, "an extra sample"):
        with pytest.raises(PoolError, match=f"the label of {what}, 0.5, is for regression"):
            classify(Pool(X, initial=[3], **given))
    assert not log.exists(), "given labels are looked at before anything is simulated"


@dataclasses.dataclass
class Result:
    """A label of a class of the user's."""

    energy: float
    forces: Any


def _tensor(*values: float) -> Any:
    return pytest.importorskip("torch").tensor(values[0] if len(values) == 1 else values)


BAD: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "float": lambda: NAN,
    "list": lambda: [1.0, NAN],
    "tuple": lambda: (1.0, -np.inf),
    "dict": lambda: {"a": 1.0, "b": [NAN]},
    "complex": lambda: complex(0.0, NAN),
    "decimal": lambda: Decimal("NaN"),
    "dataclass": lambda: Result(1.0, np.array([NAN])),
    "masked": lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    "tensor": lambda: _tensor(1.0, NAN),
    "series": lambda: pytest.importorskip("pandas").Series([1.0, None]),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("batch", [None, 4])
def test_a_label_that_is_not_finite_is_a_failed_simulation(bad: str, batch: int | None, tmp_path: Path) -> None:
    BAD[bad]()  # skips what is not installed
    log = tmp_path / "log"

    def once(index: int) -> Any:
        with log.open("a") as file:
            file.write(f"{index}\n")
        if index == 2 or (index == 5 and log.read_text().split().count("5") == 1):
            return BAD[bad]()
        return 1.0

    def simulate(index: Any) -> Any:
        return once(index) if batch is None else [once(one) for one in index.tolist()]

    pool = Pool(X, initial=[2, 5, 7, 9, 11, 13])
    options = {"retries": 1, "on_failure": "drop", "batch": batch}
    result = run(learner(pool, simulate, tmp_path / "run", **options))
    assert result.iterations[0]["dropped"] == ([2] if batch is None else [2, 5, 7, 9])
    ran = Counter(log.read_text().split())
    assert (ran["2"], ran["5"], ran["11"]) == (2, 2, 1)
    with reading(tmp_path / "run") as connection:
        tasks = {task.key: task for task in read_tasks(connection, "w/0/simulation")}
    dropped = tasks["w/0/simulation/2"]
    assert (dropped.state, dropped.attempt) == (DROPPED, 2)
    assert "candidate 2" in str(dropped.error) or "None" in str(dropped.error)
    run(learner(pool, simulate, tmp_path / "run", **options))
    assert Counter(log.read_text().split()) == ran, "nothing that was dropped runs again"


def test_without_a_policy_it_ends_the_run_and_is_simulated_again_on_resume(tmp_path: Path) -> None:
    repaired = tmp_path / "repaired"
    simulate = lambda index: [1.0, 2.0 if repaired.exists() else NAN]  # noqa: E731
    with pytest.raises(RunFailedError, match=r"returned \[1.0, nan\], which is not finite: it has nan at \[1\]"):
        run(learner(Pool(X, initial=2), simulate, tmp_path / "run"))
    repaired.touch()
    assert run(learner(Pool(X, initial=2), simulate, tmp_path / "run")).labels.tolist() == [[1.0, 2.0]] * 2


@pytest.mark.parametrize(
    "result", [[1.0], 1.0, {0: 1.0, 1: 2.0}, "ab", {1.0, 2.0}, None, np.float64(3)], ids=lambda one: type(one).__name__
)
def test_a_batch_of_another_length_is_a_failed_simulation(result: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def simulate(X: Any) -> Any:
        with log.open("a") as file:
            file.write("ran\n")
        return result if len(log.read_text().split()) == 1 else [1.0] * len(X)

    made = run(learner(Pool(X, initial=2), simulate, batch=2, retries=1))
    assert made.labels.tolist() == [1.0, 1.0]
    assert len(log.read_text().split()) == 2


def test_a_table_is_a_batch_of_labels() -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("torch")
    for made, wanted in (
        (lambda X: pandas.DataFrame({"y": X[:, 0]}), X[[3, 5], 0]),
        (lambda X: pandas.DataFrame({"y": X[:, 0], "z": X[:, 0]}), X[[3, 5]][:, [0, 0]]),
        (lambda X: pandas.Series(X[:, 0], index=[7, 8]), X[[3, 5], 0]),
        (lambda X: _tensor(*X[:, 0].tolist()).double(), X[[3, 5], 0]),
    ):
        np.testing.assert_allclose(run(learner(Pool(X, initial=[3, 5]), made, batch=2)).labels, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("bad", "good", "options"),
    [
        ("echo NaN", "echo 1", {}),
        ("echo nothing", "echo 1", {}),
        ("true", "echo 1", {}),
        ("echo '[1, NaN]'", "echo '[1, 2]'", {}),
        ("echo NaN > y.txt", "echo 1 > y.txt", {"collect": "y.txt"}),
        ("echo '{\"a\": NaN}' > y.json", "echo '{\"a\": 1}' > y.json", {"collect": "y.json"}),
        ("true", "echo 1 > y.txt", {"collect": "y.txt"}),
        ("echo inf > y.txt", "echo 1 > y.txt", {"collect": lambda workdir: [float((workdir / "y.txt").read_text())]}),
    ],
)
def test_what_a_command_gives_is_judged_before_it_counts(bad: str, good: str, options: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def simulate(index: int) -> str:
        return f"sh -c {shlex.quote(f'echo {index} >> {log}; {bad if index == 3 else good}')}"

    options = {"as_executable": True, "on_failure": "drop", "retries": 1, **options}
    for _ in range(2):  # the second time nothing runs
        result = run(learner(Pool(X, initial=[3, 4, 5]), simulate, tmp_path / "run", **options))
        assert result.iterations[0]["dropped"] == [3]
        assert Counter(log.read_text().split()) == {"3": 2, "4": 1, "5": 1}


def test_a_command_that_is_right_the_second_time(tmp_path: Path) -> None:
    command = "test -e seen && echo 1.5 > y.txt || echo NaN > y.txt; touch seen"
    made = learner(Pool(X, initial=2), lambda index: f"sh -c {shlex.quote(command)}", tmp_path / "run",
                   as_executable=True, retries=1, collect="y.txt")  # fmt: skip
    assert run(made).labels.tolist() == [1.5, 1.5]


def test_labels_of_several_kinds_stay_what_they_are(tmp_path: Path) -> None:
    result = run(learner(Pool(X, initial=[0, 1, 2]), lambda index: [1, "a", True][index], tmp_path / "run"))
    assert result.labels == [1, "a", True]
    assert list(labels_of_run(tmp_path / "run").labels) == [1, "a", True]
    assert run(learner(Pool(X, initial=[0, 1]), lambda index: [True, np.bool_(0)][index])).labels.dtype == bool
    assert run(learner(Pool(X, initial=[0, 1]), lambda index: (1.0, index))).labels.shape == (2, 2)


def test_tensors_become_arrays(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    result = run(learner(Pool(X, initial=2), lambda index: torch.tensor(index, requires_grad=False), tmp_path / "a"))
    assert result.labels.tolist() == result.indices.tolist()
    result = run(learner(Pool(X, initial=2), lambda x: torch.ones(3, requires_grad=True), tmp_path / "b"))
    assert result.labels.tolist() == [[1.0] * 3] * 2
    assert [type(label) for label in labels_of_run(tmp_path / "b").labels] == [np.ndarray] * 2


def test_a_raised_limit_of_failures_lets_a_workflow_go_on(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def simulate(index: int) -> float:
        with log.open("a") as file:
            file.write(f"{index}\n")
        if index % 2:
            raise ArithmeticError("did not converge")
        return 1.0

    def go_on(limit: Any, rounds: int = 3) -> Any:
        made = learner(Pool(X, initial=8, seed=1), simulate, tmp_path / "run", on_failure="drop",
                       max_failed_simulations=limit)  # fmt: skip
        return run(made, rounds)

    first = go_on(1)
    assert first.stop_reason == StopReason.SIMULATIONS_FAILED
    assert go_on(1) == first
    assert len(log.read_text().split()) == 8
    second = go_on(30)
    assert second.stop_reason == StopReason.MAX_ITER
    assert second.iterations[0]["dropped"] == first.iterations[0]["dropped"]
    assert set(Counter(log.read_text().split()).values()) == {1}
    assert go_on(30) == second
    assert go_on(30, 4).iterations[:2] == second.iterations[:2]
