"""Adding methods of one's own, by hand and by entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from rose.acquisition import (
    Acquisition,
    Problem,
    acquire,
    acquisitions,
    get_acquisition,
    register_acquisition,
    registry,
)
from rose.errors import ConfigurationError, UnknownAcquisitionError


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(registry, "_aliases", dict(registry._aliases))


def last(problem: Problem, *, skip: int = 0) -> Any:
    """The highest indices."""
    return problem.available[::-1][skip : skip + problem.k]


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


def test_names_are_taken_once() -> None:
    with pytest.raises(ConfigurationError, match="'top_k' is already registered; say replace=True"):
        register_acquisition("top_k")(last)
    with pytest.raises(ConfigurationError, match="'coreset' is already registered"):
        register_acquisition("mine", aliases=("coreset",))(last)
    register_acquisition("top_k", replace=True)(last)
    assert acquire([3, 2, 1], 1, method="top_k").tolist() == [2]


def test_needs_are_known() -> None:
    with pytest.raises(ConfigurationError, match="wants 'feature'; did you mean 'features'"):
        Acquisition("mine", last, needs=("scores|feature",))


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


def plugin(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    point = EntryPoint(name, value, registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.ENTRY_POINTS else [])


DECLARED = Acquisition("from_elsewhere", last, needs=("scores",))


@pytest.mark.parametrize("attribute", ["DECLARED", "last"])
def test_installed_packages_are_loaded_when_asked_for(monkeypatch: pytest.MonkeyPatch, attribute: str) -> None:
    plugin(monkeypatch, "from-elsewhere", f"{__name__}:{attribute}")
    assert "from_elsewhere" not in registry._methods
    assert "from_elsewhere" in acquisitions()
    assert acquire([1, 2, 3], 1, method="from_elsewhere").tolist() == [2]


def test_a_broken_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(monkeypatch, "broken", "no_such_module:thing")
    with pytest.raises(UnknownAcquisitionError, match="did you mean 'broken'"):
        get_acquisition("brokn")  # looking for another one does not load it
    with pytest.raises(ConfigurationError, match=r"'broken' \(no_such_module:thing\) cannot be loaded"):
        get_acquisition("broken")
