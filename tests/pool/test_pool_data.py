"""What a pool may be made of: arrays of any library, tables, files, objects; values that are missing, or infinite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool
from rose.engine import ThreadEngine
from rose.errors import PoolError
from rose.metrics import PREDICTIVE_ENTROPY, PREDICTIVE_VARIANCE
from rose.store import labels_of_run

NAN, INF = float("nan"), float("inf")
FUNCTION: dict[str, Any] = {"as_executable": False}


def table(n: int = 40) -> Any:
    """Rows of a number, a category and a text, in an index that counts from 100."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "size": rng.normal(size=n),
            "kind": pandas.Categorical(rng.choice(["a", "b"], n), categories=["a", "b", "c"]),
            "name": [f"n{i % 5}" for i in range(n)],
            "count": np.arange(n),
        },
        index=np.arange(100, 100 + n),
    )


def pipeline() -> Any:
    """Wants names, categories and texts."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["size"]), ("kinds", OneHotEncoder(handle_unknown="ignore"), ["kind", "name"])]
    )
    return make_pipeline(columns, LogisticRegression())


def large(row: Any) -> int:
    """Its label."""
    return int(row["size"] + (row["kind"] == "a") > 0)


@pytest.mark.parametrize("block", [65536, 7])
@pytest.mark.parametrize("batch", [None, 3])
def test_a_table_stays_a_table(block: int, batch: int | None, engine: Any) -> None:
    frame, test = table(), table(60).iloc[40:]
    y_test = np.array([[large(row)] for _, row in test.iterrows()])
    pool = Pool(frame, initial=12, seed=3, block=block, holdout=(test[["name", "count", "kind", "size"]], y_test))
    assert pool.holdout is not None
    assert pool.holdout[1].shape == (20,)
    learner = ParallelUQLearner(engine, pool=pool)
    if batch is None:
        learner.simulation_task(**FUNCTION)(lambda x: int(x["size"] + (x["kind"] == "a") > 0))
    else:
        learner.simulation_task(**FUNCTION, batch=batch)(
            lambda X: [int(size + (kind == "a") > 0) for size, kind in zip(X["size"], X["kind"], strict=True)]
        )
    made = pipeline()

    @learner.training_task(**FUNCTION)
    def train(X: Any, y: Any, seed: int) -> Any:
        assert list(X.columns) == ["size", "kind", "name", "count"]
        assert list(X["kind"].cat.categories) == ["a", "b", "c"]
        rows = np.random.default_rng(seed).integers(len(X), size=len(X))
        rows[:2] = [int(np.argmin(y)), int(np.argmax(y))]
        return made.fit(X.iloc[rows], y[rows])

    learner.prediction_task(**FUNCTION)(lambda model, X: model.predict_proba(X))
    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=3)
    result = learner.run(["w"], ["a", "b"], max_iter=3)["w"]
    assert len(result.indices) == 18
    assert list(result.labels) == [large(frame.iloc[i]) for i in result.indices]
    assert all(0 <= i["holdout"]["brier"] <= 2 for i in result.iterations)


def test_rows_of_a_table_are_known_by_their_content() -> None:
    pandas = pytest.importorskip("pandas")
    frame = table()
    pool = Pool(frame, initial=3)
    moved = frame.sample(frac=1.0, random_state=0)[["count", "name", "kind", "size"]].astype({"count": float})
    assert sorted(Pool(moved, initial=3).digests(range(40))) == sorted(pool.digests(range(40)))
    assert pool.digest(7) == pool.digests([3, 7])[1]
    assert len(set(pool.digests(range(40)))) == 40
    assert pool.digest(3) != Pool(frame.rename(columns={"size": "length"}), initial=3).digest(3)
    plain = frame.assign(kind=frame["kind"].astype(str)).astype({"name": "object"})
    assert Pool(plain, initial=3).digest(5) == pool.digest(5)
    known = Pool(frame, labels=(moved.iloc[:4], [0, 1, 0, 1])).known
    assert known == {int(index) - 100: i % 2 for i, index in enumerate(moved.index[:4])}
    with pytest.raises(PoolError, match="labels: X lacks the column 'size'"):
        Pool(frame, labels=(moved[["name", "kind", "count"]], [0] * 40))
    coarse = Pool(frame.astype({"size": np.float32}), labels=(frame.iloc[[2]], [1.0]))
    assert coarse.known == {2: 1.0}
    assert Pool(frame, labels=(frame.iloc[:2], pandas.DataFrame({"y": [1.5, 2.5]}))).known == {0: 1.5, 1: 2.5}


def test_the_content_of_a_row_is_the_same_in_every_process() -> None:
    pytest.importorskip("pandas")
    program = (
        "import pandas, numpy; from rose import Pool;"
        "X = pandas.DataFrame({'s': ['b', 'a'], 'd': pandas.to_datetime(['2020-01-01', None]), 'o': [(1, 'x'), 2.5]});"
        "print([d.hex() for d in Pool(X, initial=1, allow_nan=True).digests([0, 1])])"
    )
    printed = {subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
               for _ in range(2)}  # fmt: skip
    assert len(printed) == 1


def test_a_run_over_a_table_is_resumed_in_another_order(tmp_path: Path) -> None:
    frame, log = table(), tmp_path / "log"

    def run(frame: Any, rounds: int, **pool: Any) -> Any:
        learner = ParallelUQLearner(ThreadEngine(2), pool=Pool(frame, **pool), run_dir=tmp_path / f"run{len(pool)}")

        def simulate(x: Any) -> float:
            with log.open("a") as file:
                file.write(f"{x['count']}\n")
            return float(x["size"])

        learner.simulation_task(**FUNCTION)(simulate)
        learner.training_task(**FUNCTION)(lambda X, y, seed: seed % 5 + len(X))
        learner.prediction_task(**FUNCTION)(lambda model, X: X["size"].to_numpy() * model)
        learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
        return learner.run(["w"], ["a", "b"], max_iter=rounds)["w"]

    first = run(frame, 2, initial=4)
    assert len(run(frame, 3, initial=4).indices) == 8
    moved = frame.sample(frac=1.0, random_state=1)
    again = run(moved, 1, labels=tmp_path / "run1", seed=1)
    assert len(log.read_text().split()) == 8
    assert set(moved.index[again.indices]) >= set(frame.index[first.indices])
    kept = labels_of_run(tmp_path / "run1")
    assert [row["name"] for row in kept.X] == frame["name"].iloc[kept.candidates].tolist()


PLAIN: dict[str, Any] = {
    "array": np.array([[0.0], [NAN], [1.0]]),
    "nested": [[0.0, 1.0], [NAN, 0.0], [2.0, 2.0]],
    "tuples": [(0, "a"), (NAN, "b"), (1, "c")],
    "dicts": [{"x": 0.0}, {"x": [NAN]}, {"x": 2.0}],
    "decimals": [Decimal(1), Decimal("NaN"), Decimal(2)],
    "arrays": [np.zeros(2), np.array([0.0, NAN]), np.ones(2)],
    "objects": np.array([["a", 1.0], ["b", NAN], ["c", 2.0]], dtype=object),
    "complex": np.array([1j, complex(0, NAN), 2j]),
}
# Made from their library in the test: importing it takes seconds.
TENSORS: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda torch: torch.tensor([[0.0], [NAN], [1.0]], requires_grad=True),
    "bfloat16": lambda torch: torch.tensor([[0.0], [NAN], [1.0]], dtype=torch.bfloat16),
    "tensors": lambda torch: [torch.zeros(1), torch.tensor([NAN]), torch.ones(1)],
}
COLUMNS: dict[str, Callable[[Any], Any]] = {
    "floats": lambda pandas: [0.0, NAN, 1.0],
    "texts": lambda pandas: ["a", None, "b"],
    "mixed": lambda pandas: pandas.Series([1, NAN, "b"], dtype=object),
    "category": lambda pandas: pandas.Categorical(["a", None, "b"]),
    "nullable": lambda pandas: pandas.array([1, None, 2], dtype="Int64"),
    "dates": lambda pandas: pandas.to_datetime(["2020-01-01", None, "2021-01-01"]),
}


def with_a_nan(kind: str) -> Any:
    """Candidates of which number 1 has a NaN."""
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in TENSORS:
        return TENSORS[kind](pytest.importorskip("torch"))
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"n": [1, 2, 3], "c": COLUMNS[kind](pandas)})


@pytest.mark.parametrize("kind", [*PLAIN, *TENSORS, *COLUMNS])
def test_nan_is_refused_unless_it_is_allowed(kind: str) -> None:
    X = with_a_nan(kind)
    with pytest.raises(PoolError, match=r"X\[1\]"):
        Pool(X, initial=1)
    with pytest.raises(PoolError, match=r"holdout X_test\[1\]"):
        Pool(np.zeros((3, 1)), initial=1, holdout=(X, [0, 1, 2]))
    pool = Pool(X, initial=1, allow_nan=True, holdout=(X, [0, 1, 2]))
    assert len(set(pool.digests([0, 1, 2]))) == 3
    assert len({pool.digest(1), pool.digest(1)}) == 1


@pytest.mark.parametrize("allow_nan", [False, True])
def test_infinite_values_are_refused(allow_nan: bool, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    np.save(tmp_path / "x.npy", np.array([[0.0], [-INF]]))
    frames = [pandas.DataFrame({"c": [0.0, INF]}), pandas.DataFrame({"c": pandas.Series(["a", INF], dtype=object)})]
    plain = (np.array([0.0, INF]), [[0.0], [INF]], [{"a": 1.0}, {"a": Decimal("Infinity")}], tmp_path / "x.npy")
    for X in (*plain, *frames):
        with pytest.raises(PoolError, match=r"inf|Infinity"):
            Pool(X, initial=1, allow_nan=allow_nan)


def test_files_with_nan(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[0.0], [NAN], [1.0]]))
    with pytest.raises(PoolError, match=r"X\[1\] holds NaN or inf.*allow_nan=True"):
        Pool(tmp_path / "x.npy", initial=1)
    assert np.isnan(Pool(tmp_path / "x.npy", initial=1, allow_nan=True)[1]).all()


def test_models_that_can_do_with_nan_get_it() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int)
    X[::4, 1] = NAN
    from sklearn.tree import DecisionTreeClassifier

    learner = ParallelUQLearner(ThreadEngine(2), pool=Pool(X, initial=20, allow_nan=True, holdout=(X, y)))
    learner.simulation_task(**FUNCTION)(lambda index: int(y[index]))
    learner.models(a=DecisionTreeClassifier(max_depth=2), b=DecisionTreeClassifier(max_depth=3))
    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=5)
    assert len(learner.run(["w"], max_iter=2)["w"].indices) == 25


def test_arrays_that_cannot_be_pools(tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    masked = np.ma.masked_array([[1.0], [2.0]], [[False], [True]])
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bad.npy").write_text("nothing")
    for X, message in (
        (sparse.csr_matrix(np.eye(2)), r"X is a sparse csr_matrix; give it as a dense array, X.toarray\(\)"),
        (masked, r"X has masked entries, the first at \[1, 0\]"),
        ([masked[0], masked[1]], r"X\[1\] is not finite \(a masked entry at \[0\]\)"),
        (frame, "X has several columns that are called 'a'"),
        (tmp_path / "x.csv", r"must be an array|candidates are an array \[N, ...\], a DataFrame.*pandas.read_csv\('"),
        ("nowhere.csv", r"pandas.read_csv\('nowhere.csv'\)"),
        ("nowhere.npy", "there is no file"),
        (tmp_path / "bad.npy", "is no .npy file of plain values"),
        (pandas.Series(["a", None], dtype=object), r"X\[1\] has no value"),
        (3.5, "X must be an array"),
        ({"a": 1}, r"X must be an array \[N, ...\], a DataFrame"),
    ):
        with pytest.raises(PoolError, match=message):
            Pool(X, initial=1)
    with pytest.raises(PoolError, match="labels: X is a sparse"):
        Pool(np.eye(2), labels=(sparse.csr_matrix(np.eye(2)), [0, 1]))
    for X in (sparse.csr_matrix(np.eye(2)), masked):
        with pytest.raises(PoolError, match="holdout X_test"):
            Pool(np.eye(2), initial=1, holdout=(X, [0, 1]))


def test_tensors_are_arrays() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6.0, requires_grad=True).reshape(3, 2)
    pool = Pool(tensor, initial=2, features=tensor, holdout=(tensor, torch.tensor([[1.0], [2.0], [3.0]])),
                labels=(tensor[:1], torch.tensor([1.5])))  # fmt: skip
    assert type(pool.X) is np.ndarray
    assert pool.known == {0: 1.5}
    assert pool.holdout is not None
    assert pool.holdout[1].tolist() == [1.0, 2.0, 3.0]
    parts = Pool(list(torch.arange(6.0).reshape(3, 2)), initial=1)
    assert parts.digest(1) == Pool([torch.tensor([0.0, 0.0]), torch.tensor([2.0, 3.0])], initial=1).digest(1)


def test_labels_of_a_hold_out() -> None:
    pandas = pytest.importorskip("pandas")
    X = np.zeros((3, 1))

    def y(given: Any) -> np.ndarray:
        holdout = Pool(X, initial=1, holdout=(X, given)).holdout
        assert holdout is not None
        return holdout[1]

    assert y([[1.0], [2.0], [3.0]]).shape == (3,)
    assert y(np.ones((3, 2))).shape == (3, 2)
    for texts in (["a", "b", "c"], pandas.Series(["a", "b", "c"]), pandas.Series(["a", "b", "c"], dtype="category"),
                  pandas.DataFrame({"y": ["a", "b", "c"]}), np.array(["a", "b", "c"], dtype=object)):  # fmt: skip
        assert y(texts).dtype.kind == "U"
        assert y(texts).tolist() == ["a", "b", "c"]
    assert y([Decimal(1), Decimal(2), 3]).dtype == np.float64
    for bad, message in (
        ([1.0, NAN, 2.0], "NaN or inf"),
        (["a", None, "b"], "None"),
        (pandas.Series(["a", None, "b"]), "NaN or inf"),
        ([1, "a", 2], r"several kinds \(int, str\)"),
        (np.array([1, "a", 2], dtype=object), r"several kinds \(int, str\)"),
        (np.ma.masked_array([1, 2, 3], [0, 1, 0]), "masked"),
        (2.0, "single value|one label"),
        ([1, 2], "3 and 2 rows"),
    ):
        with pytest.raises(PoolError, match=message):
            y(bad)
    with pytest.raises(PoolError, match="allow_nan=1 must be"):
        Pool(X, initial=1, allow_nan=1)  # type: ignore[arg-type]
    with pytest.raises(PoolError, match="features"):
        Pool(X, initial=1, features=[[0.0], [NAN], [1.0]], allow_nan=True)


def test_labels_of_extra_samples_are_of_one_form() -> None:
    X = np.arange(6.0)[:, None]
    with pytest.raises(PoolError, match="extra: label 2 is a list, and label 0 a int: give single values"):
        Pool(X, initial=1, extra=(X[:3], [1, 2, [3]]))
    with pytest.raises(PoolError, match=r"extra: label 1 has None at \[1\]"):
        Pool(X, initial=1, extra=(X[:2], [[1.0, 2.0], [1.0, None]]))


def test_a_hold_out_table_has_the_types_of_the_pools() -> None:
    frame, y = table(), [0, 1]

    def tested(**columns: Any) -> Any:
        holdout = Pool(frame, initial=1, holdout=(table().iloc[:2].assign(**columns), y)).holdout
        assert holdout is not None
        return holdout[0]

    assert tested(kind=["a", "c"])["kind"].dtype == frame["kind"].dtype
    assert tested(count=[0.5, 1.0])["count"].tolist() == [0.5, 1.0]
    for columns, value in (({"kind": ["a", "z"]}, "'z'"), ({"size": ["a", "b"]}, "'a'"), ({"name": ["n", 7]}, "7"),
                           ({"count": ["x", "y"]}, "'x'")):  # fmt: skip
        with pytest.raises(PoolError, match=f"holdout X_test.*{value}"):
            tested(**columns)
