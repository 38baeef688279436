"""Values whose digests are kept in vectors.json; run as a program it prints their digests, for any Python and seed."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import pathlib
import random
import re
import types
import uuid
import zoneinfo
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from pydantic import BaseModel, PrivateAttr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rose.identity import value_digest


class Phase(enum.Enum):
    LIQUID = "l"


class Flags(enum.Flag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: float
    y: float


class Settings(BaseModel):
    T: float = 300.0
    P: float = 1.0
    s: str = "fast"
    tags: set[str] = {"a", "bb", "ccc"}
    _hidden: frozenset[str] = PrivateAttr(default=frozenset({"x", "yy"}))


@dataclasses.dataclass(frozen=True, slots=True)
class Mesh:
    size: int
    parts: frozenset[str]
    inner: Settings


class Own:
    def __init__(self) -> None:
        self.names = {"q", "r", "s"}
        self.itself = self

    @functools.cached_property
    def cost(self) -> int:
        return 5


class Slots:
    __slots__ = ("a", "unset")

    def __init__(self) -> None:
        self.a = 1


class Said:
    def __init__(self) -> None:
        self.handle = iter([1])

    def __rose_identity__(self) -> Any:
        return {"solver": "fast"}


class Texts(list):  # type: ignore[type-arg]
    pass


def values() -> Iterator[tuple[str, Any]]:
    """Values by name."""
    a = np.arange(6.0).reshape(2, 3)
    yield "atoms", [None, True, 310, -(2**80), 0.1, 1e300, float("inf"), float("nan"), 1j, "é\udc80", b"\0", ...]
    yield "numpy scalars", [np.float32(0.1), np.int8(-3), np.bool_(True), np.datetime64("2020-01-01"), np.str_("x")]
    yield "long doubles", [np.longdouble(1) / 3 * 3, np.array([1, 0.5], np.longdouble)]
    yield "containers", {"a": [1, (2, 3)], 4: {5, 6.5, "x"}, ("k", 1): frozenset("abc"), None: range(3), "s": slice(2)}
    yield "collections", [
        collections.OrderedDict(b=1, a=2), collections.defaultdict(list, a=[1]), collections.Counter("abca"),
        collections.deque([1, 2], 5), Point(1.0, 2.0), types.SimpleNamespace(z=1, y={"s"}), Texts(["a"]),
    ]  # fmt: skip
    yield "array", a
    yield "arrays", [a[:, ::2], a.astype(">f4"), np.array(["a", "bcd"]), np.zeros((0, 3)), a > 2, np.array(5)]
    yield "structured", np.array([(1, 2.5)], np.dtype([("i", "i1"), ("f", "f8")], align=True))
    yield "objects", np.array([{"s", "t"}, "x", None], dtype=object)
    yield "masked", np.ma.masked_array([1.0, 2.0], [False, True])
    yield "sparse", scipy.sparse.csr_matrix([[0, 1], [2, 0]], dtype=np.float64)
    yield "frame", pd.DataFrame({"n": [1, 2], "s": ["x", None], "d": pd.to_datetime(["2020-01-01", None])})
    yield (
        "series",
        [pd.Series([1.0], name="q"), pd.Index([1, 2]), pd.Categorical(["a", "b"]), pd.array([1, None], "Int64")],
    )
    yield "times", [
        datetime.datetime(2020, 1, 2, 3, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), datetime.date(2020, 1, 1),
        datetime.timedelta(days=-1, microseconds=5), datetime.timezone(datetime.timedelta(hours=1)),
        datetime.time(1, 2),
    ]  # fmt: skip
    yield "exact", [decimal.Decimal("1.50"), decimal.Decimal("NaN"), fractions.Fraction(1, 3), uuid.UUID(int=5)]
    yield "paths", [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("a\\b"), re.compile("a.*", re.I)]
    yield "enum", [Phase.LIQUID, Flags.A | Flags.B]
    yield "fields", Mesh(3, frozenset({"p", "q", "rr"}), Settings(T=310, s="slow"))
    yield "object", [Own(), Slots(), Said(), ValueError("x")]
    yield "names", [len, np.sin, np.linalg.norm, dict, Settings, json, json.dumps, functools.partial(max, 1, key=abs)]
    yield "estimators", [
        make_pipeline(StandardScaler(), Ridge(alpha=2)), GaussianProcessRegressor(RBF(1.5) + WhiteKernel(0.1))
    ]  # fmt: skip
    yield (
        "generators",
        [np.random.default_rng(3), np.random.RandomState(3), random.Random(3), np.random.SeedSequence(3)],
    )


def digests() -> dict[str, str]:
    """The digest of each."""
    return {name: value_digest(value, name).hex() for name, value in values()}


if __name__ == "__main__":
    print(json.dumps(digests(), indent=1))
