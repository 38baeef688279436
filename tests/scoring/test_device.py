"""Arrays of other libraries: viewed where NumPy can read them, computed on their device where it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rose.errors import PredictionError
from rose.scoring import UQScorer, device, inputs, metrics, score, top_k
from tests.scoring.conftest import probabilities, values

P, X = probabilities(5, 300, 4), values(6, 300)
Y = np.arange(300) % 4
FITTING = [m for m in metrics("regression") if "variances" not in m.needs and m.uses]


def library(name: str) -> Any:
    return pytest.importorskip(name)


def foreign(name: str, array: Any) -> Any:
    xp = library(name)
    return xp.from_numpy(array.copy()) if name == "torch" else xp.asarray(array)


@pytest.fixture(params=["array_api_strict", "torch"])
def far(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make arrays of a library, and take their memory for one that NumPy cannot read."""
    name = request.param
    library(name)
    monkeypatch.setattr(inputs, "lives_elsewhere", lambda a: type(a).__module__.split(".")[0] == name)
    return lambda array: foreign(name, array)


@pytest.mark.parametrize("name", ["array_api_strict", "torch"])
def test_arrays_in_ordinary_memory_are_viewed(name: str) -> None:
    assert (score(foreign(name, P), "bald") == score(P, "bald")).all()
    assert (score([foreign(name, row) for row in P], "bald") == score(P, "bald")).all()
    assert not device.lives_elsewhere(foreign(name, P))


def test_torch_tensors_may_want_gradients() -> None:
    torch = library("torch")
    assert (score(torch.from_numpy(P.copy()).requires_grad_(), "margin") == score(P, "margin")).all()
    half = torch.from_numpy(X).to(torch.bfloat16)
    assert score(half, "variance").shape == (300,)


def test_classification_is_computed_there(far: Any) -> None:
    found = score(far(P), metrics("classification"), y_true=Y)
    for name, scores in score(P, metrics("classification"), y_true=Y).items():
        np.testing.assert_allclose(found[name], scores, atol=1e-12, err_msg=name)
        assert isinstance(found[name], np.ndarray)


def test_regression_is_computed_there(far: Any) -> None:
    found = score(far(X), FITTING, y_true=X[0])
    for name, scores in score(X, FITTING, y_true=X[0]).items():
        np.testing.assert_allclose(found[name], scores, atol=1e-12, rtol=1e-9, err_msg=name)


def test_exact_certainty_there(far: Any) -> None:
    sure = np.zeros((7, 10, 3))
    sure[..., 1] = 1.0
    for name, scores in score(far(sure), [m for m in metrics("classification") if "targets" not in m.needs]).items():
        assert (scores == (1.0 if name == "margin" else 0.0)).all(), name


def test_lists_of_members_and_blocks(far: Any) -> None:
    expected = score(P, "margin")
    np.testing.assert_allclose(score([far(row) for row in P], "margin", block_size=17), expected, atol=1e-14)
    assert top_k(far(P), 5, "margin")[0].tolist() == top_k(P, 5, "margin")[0].tolist()


def test_what_cannot_be_computed_there_comes_in_blocks(far: Any) -> None:
    np.testing.assert_allclose(score(far(X), "crps", y_true=X[0]), score(X, "crps", y_true=X[0]))
    v = np.ones_like(X)
    np.testing.assert_allclose(
        score(far(X), "total_variance", variances=v, block_size=100), score(X, "total_variance", variances=v)
    )


def test_wrong_numbers_are_named_from_there(far: Any) -> None:
    p = P.copy()
    p[3, 123, 2] = np.nan
    with pytest.raises(PredictionError, match="member 3, candidate 123, column 2: the prediction is nan"):
        score(far(p), "margin")
    assert score(far(p), "margin", nan="omit")[123] == pytest.approx(score(p[[0, 1, 2, 4]], "margin")[123])
    with pytest.raises(PredictionError, match=r"must be \[S, N\] or \[S, N, C\]"):
        score(far(p[0, 0]), "margin")


def test_a_library_nobody_knows() -> None:
    class Odd:
        pass

    with pytest.raises(PredictionError, match="cannot compute with a Odd on its device"):
        device.namespace(Odd())


def test_integers_there_are_values(far: Any) -> None:
    whole = np.round(X).astype(np.int64)
    np.testing.assert_allclose(score(far(whole), "variance"), score(whole, "variance"))


def test_total_uncertainty_there(far: Any) -> None:
    np.testing.assert_allclose(score(far(P), "total"), score(P, "total"), atol=1e-14)
    np.testing.assert_allclose(score(far(X), "total"), score(X, "total"), atol=1e-14)


def test_members_there_that_cannot_be_stacked(far: Any) -> None:
    mixed = [far(row.astype(np.float32) if i else row) for i, row in enumerate(P)]
    np.testing.assert_allclose(score(mixed, "bald"), score(P, "bald"), atol=1e-6)
    with pytest.raises(PredictionError, match=r"member 1 has shape \(299, 4\), but member 0 has \(300, 4\)"):
        score([far(P[0]), far(P[1, :299])], "bald")


def test_last_axes_there(far: Any) -> None:
    scorer = UQScorer("regression")
    assert (scorer.predictive_variance(far(X[..., None])) == scorer.predictive_variance(far(X))).all()
    assert scorer.predictive_variance([far(row[:, None]) for row in X]).shape == (300,)
    with pytest.raises(PredictionError, match=r"must be \[S, N\], not of shape \(1, 6, 300\)"):
        scorer.predictive_variance(far(X[None]))


def test_narrow_tensors_there(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = library("torch")
    monkeypatch.setattr(inputs, "lives_elsewhere", lambda a: isinstance(a, torch.Tensor))
    soft = torch.softmax(torch.from_numpy(np.log(P + 1e-3)).to(torch.bfloat16), dim=-1).requires_grad_()
    here = soft.detach().float().numpy()
    np.testing.assert_allclose(score(soft, "bald"), score(here, "bald", check=False), atol=1e-6)
    with pytest.raises(PredictionError, match="is a sparse tensor"):
        score(soft.detach().to_sparse(), "bald")
