"""What a label may be, when two are equal, and which make an array together."""

import dataclasses
import math
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from rose.store import as_label, not_finite, same_label, stacked

NAN, INF = math.nan, math.inf


@dataclasses.dataclass
class Measured:
    energy: float
    forces: np.ndarray


class Slotted:
    __slots__ = ("__error", "unset", "value")

    def __init__(self, value, error):
        self.value, self.__error = value, error


Pair = namedtuple("Pair", "one other")
HIDDEN = [
    (NAN, "nan"),
    (np.float32(INF), "inf"),
    (complex(1, NAN), "(1+nanj)"),
    (Decimal("NaN"), "NaN"),
    (Decimal("-Infinity"), "-Infinity"),
    ([1.0, NAN], "nan at [1]"),
    ((1, (2, INF)), "inf at [1][1]"),
    ({"a": 1, "b": {"c": [0.0, NAN]}}, "nan at ['b']['c'][1]"),
    (np.array([[0.0, 1.0], [2.0, NAN]]), "nan at [1, 1]"),
    (np.array([1 + 1j, complex(0, INF)]), "infj at [1]"),
    (np.array([1.0, "a", NAN], dtype=object), "nan at [2]"),
    (np.ma.masked_array([1.0, 2.0], [False, True]), "a masked entry at [1]"),
    (np.array([(1, NAN)], dtype=[("a", int), ("b", float)]), "nan at ['b'][0]"),
    (np.datetime64("NaT", "s"), "NaT"),
    (Measured(1.0, np.array([0.0, NAN])), "nan at .forces[1]"),
    (Pair(1.0, NAN), "nan at [1]"),
    ([Decimal(1), {"x": np.array([NAN])}], "nan at [1]['x'][0]"),
    (SimpleNamespace(a=1, b=[INF]), "inf at .b[0]"),
    (Slotted(1.0, NAN), "nan at ._Slotted__error"),
    ({(1.0, NAN): 1}, "nan at .keys()[0][1]"),
    ([1.0, None], "None at [1]"),
    (((1.0, 2.0), (None, None)), "None at [1][0]"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "found"), HIDDEN, ids=[found for _, found in HIDDEN])
def test_what_is_not_finite_is_found_wherever_it_is(value, found):
    assert (not_finite(value) or "").replace("0+", "") in (found, f"{found}")


def test_what_is_finite():
    own = [1.0]
    own.append(own)
    for value in (1, "nan", b"inf", True, None, 10**400, Fraction(1, 3), Decimal("1e999"), [], {}, own, object(),
                  np.array(["nan"]), np.arange(3), {"a": None}, Measured, np.datetime64("2020-01-01"), ["a", None],
                  Pair(1.0, None), SimpleNamespace(a=None), range(10**12), math):  # fmt: skip
        assert not_finite(value) is None
    assert not_finite([NAN, Decimal("NaN"), np.array([NAN])], allow_nan=True) is None
    assert not_finite([NAN, INF], allow_nan=True) == "inf at [1]"


def test_objects_that_hold_each_other_and_what_is_no_data():
    class Model:
        def __init__(self):
            self.best = -INF

        def fit(self, X, y):
            return self

    first = last = SimpleNamespace(model=Model(), kind=Model, do=Model.fit)
    for _ in range(20_000):
        last.next = SimpleNamespace(first=first)
        last = last.next
    assert not_finite(first) is None
    last.energy = NAN
    assert not_finite(first).endswith(".next.energy")


def test_models_of_pydantic():
    pydantic = pytest.importorskip("pydantic")
    made = pydantic.create_model("Made", energy=(float, 1.0), other=(float | None, None))
    assert not_finite(made()) is None
    assert not_finite(made(energy=INF)) == "inf at .energy"


def test_arrays_of_other_libraries():
    torch = pytest.importorskip("torch")
    pandas = pytest.importorskip("pandas")
    assert not_finite({"y": torch.tensor([1.0, NAN], requires_grad=True)}) == "nan at ['y'][1]"
    assert not_finite(torch.tensor([INF], dtype=torch.bfloat16)) == "inf at [0]"
    assert not_finite([pandas.NA]) == "<NA> at [0]"
    assert not_finite(pandas.Series([1.0, None])) == "nan at [1]"
    label = as_label(torch.tensor(2.5, requires_grad=True))
    assert (label, type(label)) == (2.5, float)
    assert as_label({"y": [torch.ones(2)]})["y"][0].tolist() == [1.0, 1.0]
    assert isinstance(as_label(torch.ones(2)), np.ndarray)


def test_labels_that_are_equal():
    equal = [(1, 1.0), (np.int64(1), 1.0), (np.float32(0.1), float(np.float32(0.1))), ([1, 2], np.array([1.0, 2.0])),
             ({"a": [1]}, {"a": np.array([1])}), (Measured(1.0, np.ones(2)), Measured(1.0, np.ones(2))),
             ("a", np.str_("a")), (Decimal(1), 1), ((1, "a"), [1, "a"])]  # fmt: skip
    assert all(same_label(*pair) for pair in equal)
    other = [(1, "1"), ([1], 1), ([1, 2], [1]), ({"a": 1}, {"b": 1}), (np.ones(2), np.ones((2, 1))),
             (Measured(1.0, np.ones(2)), Measured(1.0, np.zeros(2))), (0.1, np.float32(0.2))]  # fmt: skip
    assert not any(same_label(*pair) for pair in other)


def test_objects_that_do_not_say_what_makes_them_equal():
    class Result:
        def __init__(self, energy):
            self.energy = energy

    assert same_label(Result(1.0), Result(1.0))
    assert not same_label(Result(1.0), Result(2.0))


def test_what_makes_an_array_together():
    for values, wanted in (
        ([1, 2.5, np.float32(3)], np.array([1, 2.5, 3])),
        ([True, np.bool_(False)], np.array([True, False])),
        (["a", np.str_("bc")], np.array(["a", "bc"])),
        ([[1, 2], (3, 4.5)], np.array([[1, 2], [3, 4.5]])),
        ([np.ones(2), [1, 2]], np.array([[1.0, 1], [1, 2]])),
        ([["a", "b"]], np.array([["a", "b"]])),
        ([], np.array([])),
    ):
        found = stacked(values)
        assert found is not None
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    for values in ([1, "a"], [True, 2], [np.ones(2), np.ones(3)], [[1, "a"]], [1, [1]], [{"a": 1}], [None, 1],
                   [np.ones(1), np.array(["a"])], [10**400, 1], [b"a\0", b"b"]):  # fmt: skip
        assert stacked(values) is None
