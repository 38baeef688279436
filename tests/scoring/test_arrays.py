"""Every public entrance of scoring takes every kind of array, or says clearly that it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pytest

from rose.arrays import as_array, as_numbers, as_vector, two_columns
from rose.errors import ConfigurationError, PredictionError, RoseError
from rose.scoring import (
    METRICS,
    UQ_REGISTRY,
    UQScorer,
    check_predictions,
    get_metric,
    most_uncertain,
    register_metric,
    score,
    top_k,
)
from rose.scoring.calibration import (
    brier_decomposition,
    coverage,
    error_correlation,
    expected_calibration_error,
    miscalibration_area,
    reliability_curve,
    risk_coverage_curve,
    sharpness,
)
from rose.scoring.calibration.conformal import conformal_intervals, conformal_sets
from rose.scoring.calibration.temperature import temperature_scaling
from tests.scoring.conftest import probabilities, values

# All numbers are eighths or sixteenths, which bfloat16 holds exactly: every kind must give the same result.
P = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]])
P = np.stack([np.tile(P, (5, 1)), np.tile(P[::-1], (5, 1)), np.tile(P[[1, 0, 3, 2]], (5, 1))])  # [3, 20, 3]
X = np.round(values(3, 20) * 2) / 2
V = np.round(np.abs(values(3, 20, seed=1)) * 2) / 2 + 0.5
Y = np.arange(20) % 3


class Duck:
    """An array of a library that nobody has heard of."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array


class FromDevice:
    """CuPy's two ways to tell what it is."""

    __cuda_array_interface__: ClassVar[dict[str, Any]] = {}

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.dtype, self.shape = array, array.dtype, array.shape

    def get(self) -> np.ndarray:
        return self._array


def torch(dtype: str, gradients: bool = False) -> Callable[[np.ndarray], Any]:
    def make(array: np.ndarray) -> Any:
        library = pytest.importorskip("torch")
        tensor = library.from_numpy(array.copy())
        if array.dtype.kind == "f":
            tensor = tensor.to(getattr(library, dtype))
            tensor.requires_grad_(gradients)
        return tensor

    return make


def parameter(array: np.ndarray) -> Any:
    """A tensor of a class of its own, as frameworks derive."""
    library = pytest.importorskip("torch")
    kind = type("Mine", (library.Tensor,), {"__module__": "my_framework.tensors"})
    return library.from_numpy(array.copy()).as_subclass(kind)


def frame(array: np.ndarray) -> Any:
    """A DataFrame (of members: a list of them), a Series of one axis."""
    pandas = pytest.importorskip("pandas")
    if array.ndim == 3:
        return [frame(member) for member in array]
    return pandas.Series(array, index=range(7, 7 + len(array))) if array.ndim == 1 else pandas.DataFrame(array)


def column(array: np.ndarray) -> Any:
    return pytest.importorskip("pandas").DataFrame({"y": array}) if array.ndim == 1 else frame(array)


def nullable(array: np.ndarray) -> Any:
    given = frame(array)
    kind = "Float64" if array.dtype.kind == "f" else "Int64"
    return [one.astype(kind) for one in given] if isinstance(given, list) else given.astype(kind)


def listed(make: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """A list of members, where there are several."""
    return lambda array: [make(row) for row in array] if array.ndim > 1 else make(array)


def strict(device: str) -> Callable[[np.ndarray], Any]:
    def make(array: np.ndarray) -> Any:
        library = pytest.importorskip("array_api_strict")
        return library.asarray(array, device=library.Device(device))

    return make


def matrix(array: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(array) if array.ndim == 2 else array


def read_only(array: np.ndarray) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "lists": np.ndarray.tolist,
    "a list of arrays": listed(np.asarray),
    "a tuple of lists": lambda a: tuple(a.tolist()),
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "objects": lambda a: a.astype(object),
    "decimals": lambda a: np.vectorize(Decimal, otypes=[object])(a.astype(float)) if a.dtype.kind == "f" else a,
    "a masked array without a mask": np.ma.asarray,
    "a matrix": matrix,
    "float32": lambda a: a.astype(np.float32) if a.dtype.kind == "f" else a.astype(np.int32),
    "float16": lambda a: a.astype(np.float16) if a.dtype.kind == "f" else a.astype(np.uint8),
    "pandas": frame,
    "pandas, one column": column,
    "pandas, nullable": nullable,
    "a list of pandas": listed(frame),
    "torch": torch("float32"),
    "torch with gradients": torch("float64", gradients=True),
    "torch bfloat16": torch("bfloat16"),
    "torch bfloat16 with gradients": torch("bfloat16", gradients=True),
    "a list of torch": listed(torch("bfloat16", gradients=True)),
    "a subclass of torch's": parameter,
    "CuPy": FromDevice,
    "a list of CuPy": listed(FromDevice),
    "__array__": Duck,
    "a list of __array__": listed(Duck),
    "array API": strict("CPU_DEVICE"),
    "array API, elsewhere": strict("device1"),
    "a list of array API": listed(strict("device1")),
}


def one_of(mc_preds: Any, make: Callable[[Any], Any]) -> Any:
    """The first member, made by itself."""
    return make(mc_preds[0])


def scores_of_a_users_metric(make: Callable[[Any], Any]) -> Any:
    register_metric("its_own", task="regression", direction="higher")(lambda x: make(x.max(axis=0)))
    try:
        return score(X, "its_own")
    finally:
        METRICS.remove("its_own")


CLASSES, NUMBERS = UQScorer("classification"), UQScorer("regression")
ENTRANCES: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
    "score": lambda m: score(m(P), ["bald", "brier", "total"], y_true=m(Y)),
    "score, values": lambda m: score(m(X), ["total_variance", "nll"], y_true=m(X[0]), variances=m(V)),
    "score of a user's metric": scores_of_a_users_metric,
    "top_k": lambda m: top_k(m(P), 3, "margin"),
    "check_predictions": lambda m: check_predictions(m(P), "classification"),
    "check_predictions, values": lambda m: check_predictions(m(X), "regression"),
    "most_uncertain": lambda m: most_uncertain(m(X[0]), 3),
    "Metric.order": lambda m: get_metric("margin").order(m(P[0, :, 0])),
    "UQScorer.compute_uncertainty": lambda m: CLASSES.compute_uncertainty(m(P), m(Y)),
    "UQScorer, values": lambda m: NUMBERS.compute_uncertainty(m(X), m(X[0])),
    "UQScorer.select_top_uncertain": lambda m: NUMBERS.select_top_uncertain(m(X), 3),
    "UQScorer.negative_log_likelihood": lambda m: CLASSES.negative_log_likelihood(m(P), m(Y)),
    "UQScorer._validate_inputs": lambda m: CLASSES._validate_inputs(m(P), m(Y)),
    "UQ_REGISTRY": lambda m: UQ_REGISTRY["predictive_variance"](NUMBERS, m(X)),
    "reliability_curve": lambda m: reliability_curve(one_of(P, m), m(Y)).accuracy,
    "expected_calibration_error": lambda m: expected_calibration_error(one_of(P, m), m(Y)),
    "brier_decomposition": lambda m: brier_decomposition(one_of(P, m), m(Y)),
    "coverage": lambda m: coverage(m(X[0]), m(X[1]), m(V[0]), m(np.array([0.5, 0.75]))),
    "miscalibration_area": lambda m: miscalibration_area(m(X[0]), m(X[1]), m(V[0])),
    "sharpness": lambda m: sharpness(m(V[0])),
    "error_correlation": lambda m: error_correlation(m(V[0]), m(V[1])),
    "risk_coverage_curve": lambda m: risk_coverage_curve(m(V[0]), m(V[1])).risk,
    "conformal_intervals": lambda m: conformal_intervals(m(X[0]), m(X[1]), m(V[0]), level=0.75)(m(X[2]), m(V[2])),
    "conformal_sets": lambda m: conformal_sets(one_of(P, m), m(Y), level=0.75)(one_of(P[1:], m)),
    "temperature_scaling": lambda m: temperature_scaling(one_of(P, m), m(Y))(one_of(P[1:], m)),
    "two_columns": lambda m: two_columns(m(P[0, :, 0])),
    "as_vector": lambda m: as_vector(m(X[0]), "x"),
}


def flat(result: Any) -> list[Any]:
    """The numbers of a result, whatever holds them."""
    if isinstance(result, dict):
        return [n for value in result.values() for n in flat(value)]
    if isinstance(result, tuple):
        return [n for value in result for n in flat(value)]
    if hasattr(result, "brier"):
        return list(vars(result).values())
    return [] if result is None else np.asarray(result, dtype=float).ravel().tolist()


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_takes_every_kind(entrance: str) -> None:
    call = ENTRANCES[entrance]
    expected = flat(call(np.asarray))
    missing = set()
    for kind, make in KINDS.items():
        try:
            found = flat(call(make))
        except pytest.skip.Exception as why:  # a library that is not here
            missing.add(str(why))
            continue
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9, err_msg=kind)
    if missing:
        pytest.skip("; ".join(sorted(missing)))


def sparse(array: np.ndarray) -> Any:
    return pytest.importorskip("scipy.sparse").csr_array(np.atleast_2d(array) if array.ndim < 3 else array[0])


def sparse_tensor(array: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(array.copy()).to_sparse()


def masked(array: np.ndarray) -> Any:
    mask = np.zeros(array.shape, dtype=bool)
    mask[..., -1] = True
    return np.ma.array(array, mask=mask)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (sparse, r"is a sparse csr_array; give it as a dense array, .*\.toarray\(\)"),
        (listed(sparse), "is a sparse csr_array"),
        (sparse_tensor, r"is a sparse tensor; give it as a dense one, .*\.to_dense\(\)"),
        (listed(sparse_tensor), "is a sparse tensor"),
        (masked, r"has masked entries, the first at \["),
        (listed(masked), r"has masked entries, the first at \["),
    ],
)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_refuses_what_is_no_dense_array(
    entrance: str, make: Callable[[np.ndarray], Any], message: str
) -> None:  # fmt: skip
    with pytest.raises((PredictionError, ConfigurationError), match=message):
        ENTRANCES[entrance](make)


def test_missing_values_of_a_table_are_named() -> None:
    pandas = pytest.importorskip("pandas")
    for missing in (None, pandas.NA, np.nan):
        table = pandas.DataFrame({"a": [1.0, 2.0], "b": [1.5, missing]}, dtype=object)
        with pytest.raises(PredictionError, match="member 1, candidate 1: the prediction is nan"):
            score(table, "variance")
        assert np.isnan(as_numbers(table, "table")[1, 1])


def test_members_in_different_places_and_of_different_kinds() -> None:
    library = pytest.importorskip("torch")
    given = [P[0], library.from_numpy(P[1].copy()).float(), frame(P[2])]
    assert (score(given, "margin") == score(P, "margin")).all()
    assert (score([X[0].tolist(), X[1], X[2]], "variance") == score(X, "variance")).all()


def test_ragged_lists_and_words_are_no_arrays() -> None:
    with pytest.raises(ConfigurationError, match="X is no array"):
        as_array([[1.0], [1.0, 2.0]], "X")
    with pytest.raises(PredictionError, match="mc_preds must be numbers; there are others among them"):
        score(np.array([["a", 1.0], [2.0, 3.0]], dtype=object), "variance")
    with pytest.raises(RoseError, match="X must be real numbers, not complex128"):
        as_numbers([1j], "X")


def test_a_tensor_of_no_memory_is_refused() -> None:
    library = pytest.importorskip("torch")
    with pytest.raises(PredictionError, match="mc_preds is no array"):
        score(library.ones(2, 3, device="meta"), "variance")


def test_large_probabilities_of_narrow_tensors_use_the_kernels_too(path: str) -> None:
    library = pytest.importorskip("torch")
    p = probabilities(4, 50, 3, np.float32)
    np.testing.assert_allclose(score(library.from_numpy(p), "bald"), score(p, "bald"))
