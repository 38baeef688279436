"""Adding methods of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rose.acquisition import (
    ACQUISITIONS,
    Acquisition,
    Problem,
    acquire,
    acquisitions,
    get_acquisition,
    register_acquisition,
)
from rose.cli import main
from rose.errors import ConfigurationError
from tests.plugged import fresh


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    with fresh(ACQUISITIONS):
        yield


def last(problem: Problem, *, skip: int = 0) -> Any:
    """The highest indices."""
    return np.sort(problem.available)[::-1][skip : skip + problem.k]


def test_a_method_of_ones_own() -> None:
    register_acquisition("Last-Ones", aliases=("tail",))(last)
    assert acquire([1, 2, 3], 2, method="last_ones").tolist() == [2, 1]
    assert acquire([1, 2, 3], 1, method="tail", skip=1, labelled=[2]).tolist() == [0]
    declared = get_acquisition("TAIL")
    assert declared.summary == "The highest indices."
    assert declared.options == {"skip": 0}
    assert declared.wants("scores")
    assert not declared.wants("features")
    assert "last_ones" in acquisitions()


def test_a_declaration_can_be_given_instead_of_a_name() -> None:
    assert acquire([1, 2, 3], 1, method=Acquisition("mine", last)).tolist() == [2]


def test_needs_are_known() -> None:
    with pytest.raises(ConfigurationError, match="wants 'feature'; did you mean 'features'"):
        Acquisition("mine", last, needs=("scores|feature",))


def test_what_is_declared_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="task='regresion' of acquisition 'mine'; did you mean 'regression'"):
        register_acquisition("mine", task="regresion")(last)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="min_samples=0 must be 1 or more"):
        register_acquisition("mine", min_samples=0)(last)


BOTH = {"scores", "mc_preds"}
ALL = {*BOTH, "features"}


@pytest.mark.parametrize(
    ("method", "task", "samples", "there", "objection"),
    [
        ("badge", "regression", 5, ALL, "is for classification .*; for regression use 'maxdet' or 'lcmd'"),
        ("batchbald", "regression", 5, BOTH, "is for classification .*; for regression use 'maxdet' or 'lcmd'"),
        ("batchbald", "classification", 1, BOTH, "needs at least 2, not 1: add members or stochastic passes$"),
        ("batchbald", None, None, BOTH, None),
        ("badge", "classification", 1, ALL, None),
        ("badge", None, 3, BOTH, "needs features"),
        ("diverse", "regression", 1, BOTH, "at least 2, not 1: .* or give features .the candidates themselves, say.$"),
        ("diverse", "regression", 1, ALL, None),
        ("diverse", "regression", 2, BOTH, None),
        ("diverse", None, None, {"scores"}, "needs features or mc_preds"),
        ("maxdet", None, 1, {"features", "mc_preds"}, None),
        ("top_k", "regression", 1, BOTH, None),
        ("top_k", None, None, {"mc_preds"}, "needs scores .rose.scoring computes them"),
        ("random", None, None, set(), None),
        ("mine", "classification", 5, BOTH, "is for regression .*; for classification use 'badge' or 'batchbald'"),
        ("mine", "regression", 2, BOTH, "at least 3, not 2"),
    ],
)
def test_objections(method: str, task: Any, samples: Any, there: set[str], objection: str | None) -> None:
    register_acquisition("mine", needs=("mc_preds",), task="regression", min_samples=3)(last)
    found = get_acquisition(method).objection(task, samples, there)
    if objection is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(f"'{method}'.*{objection}", found)


def test_the_list_shows_what_is_declared(capsys: pytest.CaptureFixture[str]) -> None:
    register_acquisition("mine", needs=("mc_preds|features",), task="regression", min_samples=3)(last)
    assert main(["acquisitions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "mine  (regression; needs mc_preds (3 or more) or features)" in lines
    assert "batchbald, batch_bald  (classification; needs mc_preds (2 or more))" in lines
    assert "random, uniform  (needs nothing)" in lines


def test_unknown_options_are_refused_with_near_misses() -> None:
    register_acquisition("mine")(last)
    with pytest.raises(ConfigurationError, match="no option 'skp'; did you mean 'skip'"):
        acquire([1.0], 1, method="mine", skp=1)
    register_acquisition("open")(lambda problem, **options: problem.available[: problem.k])
    assert acquire([1.0], 1, method="open", anything=1).tolist() == [0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([0, 0], "duplicate or an unavailable candidate"),
        ([1], "duplicate or an unavailable candidate"),
        ([7], "duplicate or an unavailable candidate"),
        ([0, 2, 3], "at most 2 indices"),
        ([0.5], "at most 2 indices"),
    ],
)
def test_others_methods_are_held_to_the_contract(answer: list[float], message: str) -> None:
    register_acquisition("mine")(lambda problem: answer)
    with pytest.raises(ConfigurationError, match=message):
        acquire([1, 2, 3, 4], 2, method="mine", labelled=[1])
