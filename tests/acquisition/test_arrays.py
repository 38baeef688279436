"""Every input from every library: what is chosen does not depend on whose array says it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from rose.acquisition import acquire
from rose.errors import ConfigurationError, PredictionError, RoseError
from tests.acquisition.test_contract import BUILT_IN

pytestmark = pytest.mark.filterwarnings("ignore::rose.acquisition.SaturatedBatchWarning")
N = 16
RNG = np.random.default_rng(0)
EIGHTHS = RNG.integers(0, 9, size=(4, N))  # four members: deviations are exact in every precision
GIVEN: dict[str, NDArray[Any]] = {
    "scores": RNG.integers(0, 8, size=N) / 8,
    "mc_preds": np.stack([EIGHTHS, 8 - EIGHTHS], axis=2) / 8,
    "features": RNG.integers(0, 8, size=(N, 3)) / 4,
    "cost": RNG.integers(1, 4, size=N) / 2,
    "labelled": np.array([3, 7]),
    "pending": np.array([0]),
    "ids": RNG.permutation(N),
}


class LikeJax:
    """An array that only knows how to become NumPy's."""

    def __init__(self, value: NDArray[Any]) -> None:
        self._value = value
        self.shape, self.ndim, self.dtype = value.shape, value.ndim, value.dtype

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.array(self._value, dtype=dtype)

    def __len__(self) -> int:
        return len(self._value)


class LikeCuPy(LikeJax):
    """An array on a device, which refuses to become NumPy's in silence."""

    __cuda_array_interface__: ClassVar[dict[str, Any]] = {}

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def get(self) -> NDArray[Any]:
        return self._value


def read_only(value: NDArray[Any]) -> NDArray[Any]:
    value = value.copy()
    value.setflags(write=False)
    return value


def frame(value: NDArray[Any]) -> Any:
    pandas = pytest.importorskip("pandas")
    if value.ndim == 3:
        return [pandas.DataFrame(member, columns=["no", "yes"]) for member in value]
    return pandas.Series(value, index=range(5, 5 + len(value))) if value.ndim == 1 else pandas.DataFrame(value)


def tensor(value: NDArray[Any]) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(value, requires_grad=value.dtype.kind == "f")


def bfloat16(value: NDArray[Any]) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(value, dtype=torch.bfloat16 if value.dtype.kind == "f" else None)


KINDS: dict[str, Any] = {
    "lists": lambda value: value.tolist(),
    "tuples": lambda value: tuple(value.tolist()) if value.ndim == 1 else tuple(tuple(row) for row in value.tolist()),
    "list of arrays": lambda value: list(value),
    "objects": lambda value: value.astype(object) if value.dtype.kind == "f" else value,
    "Decimal": lambda value: [Decimal(float(x)) for x in value] if value.ndim == 1 and value.dtype != int else value,
    "float16": lambda value: value.astype(np.float16) if value.dtype.kind == "f" else value.astype(np.int8),
    "float32": lambda value: value.astype(np.float32) if value.dtype.kind == "f" else value.astype(np.uint16),
    "longdouble": lambda value: value.astype(np.longdouble) if value.dtype.kind == "f" else value,
    "big-endian": lambda value: value.astype(value.dtype.newbyteorder(">")),
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "strided": lambda value: np.repeat(value, 2, axis=0)[::2],
    "masked, nothing is": np.ma.masked_array,
    "pandas": frame,
    "torch": tensor,
    "torch bfloat16": bfloat16,
    "like JAX": LikeJax,
    "like CuPy": LikeCuPy,
    "list of like CuPy": lambda value: [LikeCuPy(row) for row in value] if value.ndim > 1 else LikeCuPy(value),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", BUILT_IN)
def test_the_choice_is_that_of_numpy_arrays(method: str, kind: str) -> None:
    usual = acquire(k=4, method=method, **GIVEN)
    given = {name: KINDS[kind](value) for name, value in GIVEN.items()}
    assert acquire(k=4, method=method, **given).tolist() == usual.tolist()
    if method != "badge":
        given.pop("features")
        without = {name: value for name, value in GIVEN.items() if name != "features"}
        assert acquire(k=4, method=method, **given).tolist() == acquire(k=4, method=method, **without).tolist()


@pytest.mark.parametrize("kind", ["lists", "torch", "torch bfloat16", "like CuPy", "like JAX", "pandas"])
def test_predictions_as_the_first_argument(kind: str) -> None:
    for given in (GIVEN["mc_preds"], GIVEN["mc_preds"][:, :, 0]):
        assert acquire(KINDS[kind](given), 3, method="lcmd").tolist() == acquire(given, 3, method="lcmd").tolist()


@pytest.mark.parametrize("kind", ["lists", "pandas", "torch", "like CuPy", "objects", "nullable"])
def test_masks(kind: str) -> None:
    mask = np.arange(N) % 3 == 0
    if kind == "nullable":
        given = pytest.importorskip("pandas").Series(mask, dtype="boolean")
    else:
        given = mask.astype(object) if kind == "objects" else KINDS[kind](mask)
    chosen = acquire(GIVEN["scores"], 4, method="top_k", labelled=given)
    assert chosen.tolist() == acquire(GIVEN["scores"], 4, method="top_k", labelled=mask).tolist()


@pytest.mark.parametrize("name", ["scores", "mc_preds", "features", "cost", "labelled", "pending", "ids"])
def test_sparse_and_masked_are_refused_by_name(name: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    value = GIVEN[name][0] if name == "mc_preds" else GIVEN[name]
    matrix = sparse.csr_array(np.atleast_2d(value))
    masked = np.ma.masked_array(value, mask=np.zeros_like(value))
    masked[(1,) * value.ndim if value.size > 1 else 0] = np.ma.masked
    for wrong, message in ((matrix, "sparse"), (masked, "masked entries")):
        shown = "mc_preds" if name in ("scores", "mc_preds") and wrong is matrix else name  # two axes: predictions
        given = {n: v for n, v in GIVEN.items() if n != "mc_preds" or name != "scores"}
        question = {**given, name: [masked, masked] if name == "mc_preds" and wrong is masked else wrong}
        with pytest.raises(RoseError, match=rf"{shown}.*{message}|{message}.*{shown}"):
            acquire(k=1, method="random", **question)


@pytest.mark.parametrize("value", ["text", 5.0, {}, object(), [], [[]], np.zeros((2, 3, 4, 5)), [np.zeros(3), "a"]])
def test_what_is_no_prediction(value: Any) -> None:
    with pytest.raises(RoseError, match="mc_preds"):
        acquire([0.1] * 3, 1, mc_preds=value, method="random")


def test_text_and_complex_numbers_are_no_predictions() -> None:
    for wrong in (np.full((2, 3), "a"), np.ones((2, 3), complex)):
        with pytest.raises(PredictionError, match=r"mc_preds\[0\] must be real numbers"):
            acquire(wrong, 1, method="kcenter")


@pytest.mark.parametrize(
    ("dtype", "fine", "wrong"), [("float64", 1e-6, 1e-4), ("float32", 5e-5, 1e-3), ("float16", 4e-3, 5e-2)]
)
def test_probabilities_are_right_to_the_precision_they_came_in(dtype: str, fine: float, wrong: float) -> None:
    p = np.array([[[1.0, 0.0], [0.25, 0.75]], [[0.0, 1.0], [0.75, 0.25]]])
    for sign in (-1, 1):
        acquire((p + sign * np.array([fine, 0])).astype(dtype), 1, method="batchbald")
        for off in (np.array([wrong, 0]), np.array([wrong, -wrong])):  # the sum is off; the sum is right
            with pytest.raises(PredictionError, match="which are no probabilities"):
                acquire((p + sign * off).astype(dtype), 1, method="batchbald")


def test_bfloat16_is_not_held_to_the_digits_of_float32() -> None:
    torch = pytest.importorskip("torch")
    logits = torch.tensor(RNG.normal(size=(4, 50, 10)), requires_grad=True)
    p = logits.softmax(dim=2).to(torch.bfloat16)
    assert float((p.float().sum(dim=2) - 1).abs().max().detach()) > 1e-4
    for given in (p, list(p)):
        assert len(acquire(given, 3, method="batchbald")) == 3


@pytest.mark.parametrize("k", [np.int64(2), np.uint8(2), np.array(2)])
def test_k_may_be_any_whole_number(k: Any) -> None:
    assert acquire(GIVEN["scores"], k, method="top_k").tolist() == acquire(GIVEN["scores"], 2, method="top_k").tolist()


@pytest.mark.parametrize(
    "k", [float("inf"), float("nan"), 5.0, "5", [5], np.float64(5), np.array([5, 5]), np.True_, {}]
)
def test_k_is_a_whole_number(k: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"k=.* is no whole number"):
        acquire(GIVEN["scores"], k, method="top_k")
