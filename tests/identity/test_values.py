"""A value's digest follows from what it holds: in every process, for every Python, however it is held."""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import datetime
import decimal
import fractions
import json
import os
import pathlib
import subprocess
import sys
import threading
import types
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from rose.errors import NoIdentityError
from rose.identity import value_digest
from tests.identity import vectors
from tests.pythons import ROOT, python

KEPT = Path(__file__).with_name("vectors.json")


def digest(value: Any, functions: Any = None) -> bytes:
    return value_digest(value, "v", functions)


def test_digests_are_those_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = json.loads(KEPT.read_text())
    assert vectors.digests() == kept
    # As the libraries of Dask do for all exceptions once they are imported.
    monkeypatch.setitem(copyreg.dispatch_table, ValueError, lambda error: (str, ("otherwise",)))
    assert vectors.digests() == kept


@pytest.mark.parametrize("what", ["hash seed 0", "3.12", "3.13"])
def test_digests_are_the_same_in_another_process(what: str) -> None:
    interpreter = sys.executable if what.startswith("hash") else python(what)
    seed = {"3.12": "1", "3.13": "2"}.get(what, "0")
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "src")}
    program = str(Path(__file__).with_name("vectors.py"))
    done = subprocess.run([interpreter, program], env=environment, capture_output=True, text=True, check=False)
    if "No module named" in done.stderr:
        pytest.skip(f"this Python {what} lacks something: {done.stderr.splitlines()[-1]}")
    assert json.loads(done.stdout) == json.loads(KEPT.read_text()), done.stderr


@dataclasses.dataclass
class Tagged:
    tags: set[str]
    size: Any = None


class Model(BaseModel):
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)
    T: float = 300.0
    solver: Any = None


class Solver:
    def __init__(self, handle: Any = None) -> None:
        self.handle = handle


def cycle() -> list[Any]:
    made: list[Any] = [1]
    made.append({"up": made})
    return made


A = np.arange(6.0).reshape(2, 3)
SAME: dict[str, list[Any]] = {
    "numbers": [310, 310.0, np.float64(310), np.int16(310), np.float32(310)],
    "zeros": [0, -0.0, 0.0],
    "not a number": [float("nan"), np.float32("nan"), -float("nan")],
    "truth": [True, np.bool_(True)],
    "order of a dict": [{"a": 1, "b": 2}, {"b": 2, "a": 1}, types.MappingProxyType({"a": 1, "b": 2})],
    "sequences": [[1, 2], (1, 2)],
    "sets": [{"a", "b"}, frozenset("ba")],
    "strings that are one object or two": [["fast", "fast"], ["".join("fast"), "fas" + chr(116)]],
    "dataclasses with sets": [Tagged({"a", "b", "c"}), Tagged(set("cba"))],
    "fields set or not": [Model(), Model(T=300), Model.model_construct(solver=None, T=300.0)],
    "memory order": [A, np.asfortranarray(A), A[::-1][::-1], A.astype(">f8"), np.repeat(A, 2, axis=1)[:, ::2]],
    "objects": [np.array([{"a", "b"}], object), np.array([set("ba")], object)],
    "paths": [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("a\\b"), pathlib.Path("a/./b")],
    "decimals": [decimal.Decimal("1.0"), decimal.Decimal("1.00"), decimal.Decimal("10e-1")],
    "UTC": [
        datetime.datetime(2020, 1, 1, tzinfo=zone) for zone in (datetime.UTC, zoneinfo.ZoneInfo("UTC"))
    ],
    "estimators": [make_pipeline(Ridge(2)), make_pipeline(Ridge(2.0))],
    "generators": [np.random.default_rng(1), np.random.default_rng(1)],
    "cycles": [cycle(), cycle()],
    "shared or copied": [[A, A], [A, A.copy()]],
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_the_same(name: str) -> None:
    assert len({digest(value) for value in SAME[name]}) == 1
    assert len({digest([{"x": value}]) for value in SAME[name]}) == 1


def units(unit: str) -> np.ndarray:
    class Quantity(np.ndarray):
        pass

    made = np.arange(3.0).view(Quantity)
    made.unit = unit  # type: ignore[attr-defined]
    return made


X, Y = np.arange(8.0)[:, None], np.arange(8.0)
OTHER: dict[str, list[Any]] = {
    "kinds of values": [1, True, "1", b"1", 1j, decimal.Decimal(1), fractions.Fraction(1), [1], {1}, {1: 1}, None, A],
    "numbers": [0.1, np.float32(0.1), 2**53, 2**53 + 1, -1, 1, float("inf"), -float("inf")],
    "dtype, shape, elements": [A, A.astype("f4"), A.reshape(3, 2), A.T, A + 1, A.tolist(), -A * 0, A * 0],
    "structured": [np.zeros(2, [("a", "f8")]), np.zeros(2, [("b", "f8")]), np.zeros(2, [("a", "f8"), ("b", "f8")])],
    "masks": [np.ma.masked_array([1, 2], m) for m in ([0, 0], [0, 1])] + [np.array([1, 2])],
    "units": [units("m"), units("km")],
    "long arrays": [np.arange(5000), np.where(np.arange(5000) == 2500, 0, np.arange(5000))],
    "ordered": [collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)],
    "factories": [collections.defaultdict(list), collections.defaultdict(int)],
    "classes": [Tagged(set()), Model(), Solver(), types.SimpleNamespace(tags=set(), size=None)],
    "fields": [Tagged({"a"}), Tagged({"b"}), Tagged({"a"}, 1)],
    "models": [Model(), Model(T=310), Model(extra=1), Model(solver=Solver(1)), Model(solver=Solver(2))],
    "estimators": [Ridge(), Ridge(2), make_pipeline(Ridge(2)), make_pipeline(Ridge(3)), Ridge().fit(X, Y)],
    "what was learned": [RandomForestRegressor(2, random_state=0).fit(X, y) for y in (Y, -Y)],
    "generators": [np.random.default_rng(1), np.random.default_rng(2), np.random.RandomState(1)],
    "functions": [np.sin, np.cos, len, int, Solver, json, os],
    "nesting": [[1, [2]], [[1], 2], [1, 2], [[1, 2]]],
    "cycles": [cycle(), [1, {"up": [1]}]],
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_another(name: str) -> None:
    assert len({digest(value) for value in OTHER[name]}) == len(OTHER[name])


def test_tensors_are_the_arrays_that_they_hold() -> None:
    torch = pytest.importorskip("torch")
    assert digest(torch.arange(6.0, dtype=torch.float64, requires_grad=True).reshape(2, 3)) == digest(A)
    with pytest.raises(NoIdentityError, match=r"v\['a'\], a Tensor, .*sparse"):
        digest({"a": torch.eye(2).to_sparse()})


def test_tables_are_their_values() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"n": [1, 2], "s": ["x", None]})
    assert digest(frame) == digest(frame.astype({"s": object})) == digest(frame[["n", "s"]].copy())
    others = [
        frame,
        frame.set_index("n"),
        frame.rename(columns={"n": "m"}),
        frame.astype({"n": float}),
        frame.iloc[::-1],
    ]
    others += [frame.astype({"s": "category"}), frame["n"], frame["n"].rename("m")]
    assert len({digest(one) for one in others}) == len(others)
    assert digest(pd.RangeIndex(3)) == digest(pd.Index([0, 1, 2]))


def test_what_is_computed_and_kept_is_no_part_of_it() -> None:
    own = vectors.Own()
    before = digest(own)
    assert own.cost == 5
    assert digest(own) == before


class Refusing:
    def __reduce__(self) -> Any:
        raise RuntimeError("not today")


class Holder:
    def __init__(self) -> None:
        self.event = threading.Event()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "lock": (
        lambda: {"params": Model(solver=Solver(threading.Lock()))},
        r"v\['params'\]\.solver\.handle, a lock, has no value that identifies it \(TypeError: cannot pickle .*define "
        r"__rose_identity__\(self\) in Solver, which returns the plain values",
    ),
    "event": (lambda: [Holder()], r"v\[0\]\.event\._cond\._lock, a lock.*in Holder"),
    "file": (lambda: (1, sys.__stdout__), r"v\[1\], a TextIOWrapper, .*Give plain values in its place$"),
    "generator": (lambda: {"x": (i for i in [1])}, r"v\['x'\], a generator.*an iterator gives its values once"),
    "lambda": (lambda: Tagged(set(), lambda: 0), r"v\.size, a function.*no name of its own"),
    "its own word": (lambda: {3: Refusing()}, r"v\[3\], a Refusing, .*RuntimeError: not today.*in Refusing"),
    "element": (lambda: {("a", threading.RLock())}, r"v \(one of the set\)\[1\], a RLock"),
    "class of a library": (lambda: threading.local(), "v, a _local"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_identity_says_where_it_is_and_what_to_define(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(NoIdentityError, match=message):
        digest(make())


def test_what_is_nested_too_deeply_says_so() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NoIdentityError, match="it is nested too deeply"):
        digest(deep)
    while deep:  # which Python could not end otherwise
        deep = deep.pop()


def test_an_object_may_say_what_it_is() -> None:
    class Says(Solver):
        def __rose_identity__(self) -> Any:
            return {"names": {"a", "b"}}

    assert digest(Says(threading.Lock())) == digest(Says())
    assert digest(Says()) not in (digest(Solver()), digest({"names": {"a", "b"}}))
    assert digest(Says) == digest(Says)  # the class itself is its name


def test_functions_are_what_the_caller_knows_of_them() -> None:
    met = []

    def known(function: Any) -> bytes | None:
        met.append(function)
        return b"f" if isinstance(function, types.FunctionType) else None

    assert digest({"f": lambda x: x}, known) == digest({"f": lambda x: x + 1}, known) != digest({"f": print}, known)
    assert digest(Solver(4).__init__, known) != digest(Solver(5).__init__, known)
    assert len(met) == 4
    assert digest(Solver, known) == digest(Solver)
