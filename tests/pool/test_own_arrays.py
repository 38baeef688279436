"""What a task is given is its own: torch does not warn of it, and changing it in place changes nobody else's."""

import gc
import warnings
from pathlib import Path

import numpy as np
import pytest

from rose import Pool, SeqUQLearner
from rose.engine.shipping.array_files import mapped_again
from rose.stages.shared import own, private
from tests.programs import blobs, teach

WIDE = 300  # columns: 120 rows are 288 kB, which travels as a mapped file


def wide(n=120, kind="array"):
    X, y = blobs(n)
    X = np.hstack([X, np.zeros((n, WIDE - 2))])
    return (list(X) if kind == "list" else X), y


def spoiling(engine, kind="array", block=65536, use=np.asarray):
    """A learner whose tasks note how far what they are given has been changed by others, and change all of it."""
    X, y = wide(kind=kind)
    X_test, y_test = wide(90, kind)
    pool = Pool(X, initial=20, seed=0, holdout=(X_test, y_test.astype(float)), block=block)
    learner = SeqUQLearner(engine, pool=pool)

    def spoil(samples):
        samples = [samples] if isinstance(samples, np.ndarray) else samples
        changed = max(float(use(one)[..., 2:].max()) for one in samples)
        for one in samples:
            use(one)[..., 2:] += 1.0
        return changed

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        return float(y[index])

    @learner.training_task(as_executable=False)
    def train(X, y, seed, previous_model=None):
        changed = max(spoil(X), float(y.max()) - 1.0, 0.0 if previous_model is None else float(previous_model.max()))
        use(y)[:] += 1.0
        if previous_model is not None:
            use(previous_model)[:] += 1.0
        return np.full(10_000, changed)

    @learner.prediction_task(as_executable=False)
    def predict(model, X, seed):
        changed = max(float(model.max()), spoil(X))
        use(model)[:] += 1.0
        return changed + np.random.default_rng(seed).normal(scale=1e-3, size=len(X))

    @learner.as_stop_criterion("changed", threshold=-1.0, operator="<", as_executable=False)
    def criterion(models, X, y):
        changed = max(spoil(X), float(y.max()) - 1.0, *(float(model.max()) for model in models))
        for one in (y, *models):
            use(one)[:] += 1.0
        return changed

    learner.uncertainty_quantification("predictive_variance", query_size=3)
    return learner, X


@pytest.mark.parametrize("kind", ["array", "list"])
@pytest.mark.parametrize("block", [65536, 32])
def test_tasks_may_change_what_they_are_given(either_engine, kind, block):
    learner, X = spoiling(either_engine, kind, block)
    result = teach(learner, ["a", "b"], num_predictions=2, max_iter=3)
    assert [one["metric"] for one in result.iterations] == [0.0, 0.0, 0.0]
    assert all(one["uncertainty"] < 0.1 for one in result.iterations)  # 0.25 where one has seen another's changes
    X = np.stack(X)
    assert not X[:, 2:].any(), "the user's own candidates were changed"
    assert np.abs(result.predict(X).mean).max() < 0.1
    assert not X[:, 2:].any(), "what `predict` was given was changed"


def test_torch_does_not_warn(either_engine):
    torch = pytest.importorskip("torch")

    def as_tensor(array):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return torch.from_numpy(array) if array.dtype.kind == "f" else torch.as_tensor(array)

    learner, _ = spoiling(either_engine, use=as_tensor)
    result = teach(learner, ["a", "b"], max_iter=2)
    assert [one["metric"] for one in result.iterations] == [0.0, 0.0]


def test_a_mapped_array_is_mapped_again_and_not_copied(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((1000, 100)))
    shared = np.load(tmp_path / "X.npy", mmap_mode="r")[100:900]
    mine, other = own(shared), own(shared)
    before = _copied(mine)
    mine[3] += 1.0
    assert _copied(mine) - before <= 8 * 1024
    assert mine.sum() == 100.0
    assert not other.any()
    assert not shared.any()
    assert type(mine) is np.ndarray
    changed = np.load(tmp_path / "X.npy", mmap_mode="c")
    changed += 1.0
    assert mapped_again(changed) is None  # its file does not hold what it does
    assert (own(changed[:0:-1]) == 1.0).all()
    del mine, other
    gc.collect()


def _copied(array: np.ndarray) -> int:
    """Bytes of this array's mapping that are copies."""
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip("no /proc")
    address, inside = array.__array_interface__["data"][0], False
    for line in smaps.read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            start, stop = (int(end, 16) for end in first.split("-"))
            inside = start <= address < stop
        elif inside and first == "Anonymous:":
            return int(line.split()[1]) * 1024
    raise AssertionError("not mapped")


def test_other_things_are_private_too():
    shared = np.arange(3)
    shared.setflags(write=False)
    objects = np.empty(2, dtype=object)
    objects[:] = [shared, "text"]
    given = {"a": [shared], "b": (shared, 1), "c": objects}
    mine = private(given)
    mine["a"][0][:] = 7
    mine["b"][0][:] = 7
    own(objects)[0][:] = 7
    assert shared.tolist() == [0, 1, 2]
    assert private("text") == "text"
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1.0, 2.0]})
    other = own(table)
    other.loc[0, "a"] = 9.0
    assert table["a"].tolist() == [1.0, 2.0]
