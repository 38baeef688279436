"""Banks of experiences: what they hold, their files, what cannot be kept, and how they are merged."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rose.dataflow.bank import banks_left, merge_banks
from rose.errors import BankError, ConfigurationError
from rose.reinforcement_learning import Experience, ExperienceBank
from rose.reinforcement_learning.experience import create_experience


def bank_of(*states: Any, **options: Any) -> ExperienceBank:
    """Return a bank of steps between these states."""
    bank = ExperienceBank(**options)
    bank.add_batch(Experience(state, i, float(i), state, False) for i, state in enumerate(states))
    return bank


def states(bank: Any) -> list[Any]:
    return [one.state for one in bank]


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are alike to the last bit, and of one type and shape."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (np.ndarray, np.generic)):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Experience):
        return all(same(getattr(one, name), getattr(other, name)) for name in vars(one))
    return bool(one == other or (one != one and other != other))


TYPES = st.sampled_from(["?", "i1", "u1", ">i4", "i8", "u8", "f2", "<f4", "f8", "c8", "c16"]).map(np.dtype)
ARRAYS = TYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0)))
INTEGERS = st.integers(-(2**63), 2**64 - 1)
LISTS = st.one_of(
    *(st.lists(one, max_size=4) for one in (st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans()))
)
NUMBERS = st.one_of(
    ARRAYS, ARRAYS.map(lambda array: array.ravel()[0] if array.size else None), INTEGERS, st.floats(), st.booleans()
)
VALUES = st.one_of(NUMBERS, LISTS, LISTS.map(tuple), st.lists(st.lists(st.floats(), min_size=2, max_size=2)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
EXPERIENCES = st.builds(
    Experience,
    VALUES,
    VALUES,
    st.floats(allow_nan=True),
    VALUES | st.none(),
    st.booleans(),
    st.none() | st.dictionaries(st.text(), JSON, max_size=3),
)


@pytest.mark.hypothesis
@given(st.lists(EXPERIENCES, max_size=4))
def test_what_is_saved_comes_back(tmp_path_factory: pytest.TempPathFactory, experiences: list[Experience]) -> None:
    bank = ExperienceBank(session_id="walk")
    bank.add_batch(experiences)
    loaded = ExperienceBank.load(bank.save(tmp_path_factory.getbasetemp()))
    assert loaded.session_id == "walk"
    assert len(loaded) == len(experiences)
    for one, other in zip(experiences, loaded, strict=True):
        for name in ("state", "action", "reward", "next_state", "done"):
            assert same(getattr(one, name), getattr(other, name)), name
        assert repr(one.info) == repr(other.info)


@pytest.mark.hypothesis
@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=4), st.none() | st.integers(1, 8))
def test_merging_is_appending(tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]], size: Any) -> None:
    whole = [state for part in parts for state in part]
    merged = ExperienceBank(size)
    for part in parts:
        before = states(merged)
        new = merged.merge(bank_of(*part))
        assert states(merged) == before
        merged.merge_inplace(bank_of(*part))
        assert (states(new), new.max_size) == (states(merged), size)
    assert states(merged) == whole[-size if size else 0 :]
    banks = [bank_of(*part) for part in parts]
    if banks:
        folder = str(tmp_path_factory.mktemp("merged"))
        assert states(ExperienceBank.load(merge_banks(folder, {}, banks))) == whole


def test_a_bank_is_a_sequence_of_bounded_length() -> None:
    bank = bank_of(*range(5), max_size=3)
    assert (len(bank), states(bank), bank[0].state, bank[-1].state, states(bank[:2])) == (3, [2, 3, 4], 2, 4, [2, 3])
    assert states(bank.get_recent(2)) == [3, 4]
    assert states(bank.get_recent(9)) == [2, 3, 4]
    assert bank.get_recent(0) == []
    bank.merge_inplace(bank)
    assert states(bank) == [2, 3, 4]
    larger = bank.merge(bank_of(7, 8, max_size=4))  # as in ROSE
    assert (larger.max_size, states(larger)) == (4, [3, 4, 7, 8])
    bank.clear()
    bank.add(create_experience(1, 2, 3.0, 4, True))
    assert bank[0] == Experience(1, 2, 3.0, 4, True, {})
    assert bank[0] != Experience(np.ones(2), 2, 3.0, 4, True, {})
    assert ExperienceBank().session_id != ExperienceBank().session_id


def test_samples_can_be_drawn_again() -> None:
    bank = bank_of(*range(50))
    assert states(bank.sample(20, seed=1)) == states(bank.sample(20, seed=1)) != states(bank.sample(20, seed=2))
    assert sorted(states(bank.sample(50, replace=False))) == list(range(50))
    assert len(bank.sample(99)) == 99
    assert ExperienceBank().sample(3) == []
    with pytest.raises(ValueError, match="Cannot sample 51 experiences without replacement from bank of size 50"):
        bank.sample(51, replace=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: ExperienceBank(max_size=0), "max_size=0 must be a whole number of 1 or more"),
        (lambda: bank_of(1).get_recent(-1), "n=-1 must be"),
        (lambda: bank_of(1).sample(-1), "batch_size=-1 must be"),
        (lambda: ExperienceBank().add((1, 2)), r"takes experiences, got \(1, 2\)"),  # type: ignore[arg-type]
    ],
)
def test_what_a_bank_refuses(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "north"}, "experience 1: state cannot be kept: 'north' is no number"),
        ({"state": {"x": 1}}, "experience 1: state .*info"),
        ({"action": [[1], [1, 2]]}, "experience 1: action cannot be kept"),
        ({"next_state": [2**63 + 1, -1]}, "experience 1: next_state .* no float is equal to"),
        ({"state": 2**70}, "experience 1: state"),
        ({"reward": None}, "experience 1: reward .* is not one real number"),
        ({"reward": np.ones(2)}, "experience 1: reward"),
        ({"info": {"a": {1: 2}}}, r"experience 1: info\['a'\] cannot be kept: the key 1"),
        ({"info": {"a": [object()]}}, r"experience 1: info\['a'\]\[0\] cannot be kept: JSON"),
    ],
)
def test_what_cannot_be_kept_is_named_and_the_file_stays(tmp_path: Path, change: Any, message: str) -> None:
    bank = bank_of(1, session_id="bank")
    path = bank.save(tmp_path)
    bank.add(Experience(**{"state": 1, "action": 1, "reward": 1, "next_state": 1, "done": False, **change}))
    with pytest.raises(BankError, match=message):
        bank.save(tmp_path)
    assert states(ExperienceBank.load(path)) == [1]
    assert os.listdir(tmp_path) == ["bank.npz"]


def test_infos_take_arrays_as_lists(tmp_path: Path) -> None:
    bank = ExperienceBank()
    bank.add(create_experience(1, 1, 1.0, None, True, {"p": np.array([1, 2]), "q": np.float32(0.5), "t": (1, "x")}))
    loaded = ExperienceBank.load(bank.save(tmp_path, "own name.pkl"), max_size=1)
    assert loaded[0].info == {"p": [1, 2], "q": 0.5, "t": [1, "x"]}
    assert (loaded.max_size, loaded[0].next_state) == (1, None)


def test_saving_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bank_of(1, session_id="bank").save(tmp_path)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space left"):
        bank_of(2, session_id="bank").save(tmp_path)
    assert states(ExperienceBank.load(path)) == [1]
    assert os.listdir(tmp_path) == ["bank.npz"]
    with pytest.raises(FileNotFoundError):
        bank_of(1).save(tmp_path / "nowhere")


def test_what_is_no_bank(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ExperienceBank.load(tmp_path / "none.npz")
    whole = Path(bank_of(*range(9)).save(tmp_path, "bank.npz")).read_bytes()
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    (tmp_path / "text.npz").write_text("no bank")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bent.npz").write_bytes(whole.replace(b"\x93NUMPY", b"\x93NIMPY"))
    for name in ("array.npy", "arrays.npz", "text.npz", "empty.npz", "cut.npz", "bent.npz"):
        with pytest.raises(BankError, match=f"{name} is no bank of experiences, or is damaged"):
            ExperienceBank.load(tmp_path / name)
    assert [os.path.basename(path) for path in ExperienceBank.list_saved_banks(tmp_path)] == ["bank.npz"]
    assert states(ExperienceBank.load(tmp_path / "bank.pkl")) == list(range(9))  # as ROSE's programs ask for it


def test_pickles_are_read_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rose:  # pickled as by ROSE: a plain object of that name
        def __init__(self) -> None:
            self.__dict__ = {"state": [1, 2], "action": 0, "reward": 1.0, "next_state": 5, "done": False, "info": None}

    Rose.__module__, Rose.__qualname__ = "rose.reinforcement_learning.experience", "Experience"
    theirs = ModuleType("theirs")
    theirs.Experience = Rose  # type: ignore[attr-defined]
    path = tmp_path / "experience_bank_1.pkl"
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "rose.reinforcement_learning.experience", theirs)
        path.write_bytes(pickle.dumps([Rose()]))
    with pytest.raises(BankError, match=r"is a pickle.*whatever code its writer.*allow_pickle=True"):
        ExperienceBank.load(path)
    bank = ExperienceBank.load(path, allow_pickle=True)
    assert list(bank) == [Experience([1, 2], 0, 1.0, 5, False)]
    assert list(ExperienceBank.load(bank.save(tmp_path))) == list(bank)
    for wrong in ({"a": 1}, [3]):
        path.write_bytes(pickle.dumps(wrong))
        with pytest.raises(BankError, match=r"no bank of experiences|holds no experiences"):
            ExperienceBank.load(path, allow_pickle=True)
    path.write_bytes(b"\x80\x04garbage")
    with pytest.raises(BankError, match="cannot be unpickled"):
        ExperienceBank.load(path, allow_pickle=True)


def test_merging_takes_what_is_new_and_touches_nothing_else(tmp_path: Path) -> None:
    bank_of(1).save(tmp_path, "experience_bank_old.npz")
    bank_of(2).save(tmp_path, "experience_bank_changed.npz")
    (tmp_path / "experience_bank_broken.npz").write_text("of somebody else")
    before = banks_left(str(tmp_path))
    bank_of(3).save(tmp_path, "experience_bank_changed.npz")
    bank_of(4, 5).save(tmp_path, "experience_bank_a.pkl")
    bank_of(6).save(tmp_path, "other.npz")
    returned = bank_of(7, session_id="experience_bank_both")
    returned.save(tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    path = merge_banks(str(tmp_path), before, [returned])
    assert path == str(tmp_path / "experience_bank.npz")
    assert states(ExperienceBank.load(path)) == [7, 4, 5, 3]
    assert states(ExperienceBank.load(merge_banks(str(tmp_path), before, [returned]))) == [7, 4, 5, 3]
    os.remove(path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    with pytest.raises(BankError, match=r"no environment has left experiences: .* as experience_bank_NAME.npz"):
        merge_banks(str(tmp_path), banks_left(str(tmp_path)), [])
    with pytest.raises(BankError, match=r"experience_bank_broken.npz is no bank"):
        merge_banks(str(tmp_path), {}, [])


def test_what_is_no_path_and_no_bank(tmp_path: Path) -> None:
    bank = ExperienceBank()
    for ask in (
        lambda: ExperienceBank.load(3),  # type: ignore[arg-type]
        lambda: bank.save(3),  # type: ignore[arg-type]
        lambda: bank.save(tmp_path, 3),  # type: ignore[arg-type]
        lambda: bank.merge(3),  # type: ignore[arg-type]
        lambda: bank.merge_inplace(3),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match=r"=3 of a bank must be a path|got 3"):
            ask()
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(BankError, match="does not begin as an") as caught:
        ExperienceBank.load(tmp_path / "text.npz")
    assert "allow_pickle" not in str(caught.value)
