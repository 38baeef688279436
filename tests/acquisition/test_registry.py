"""Adding methods of one's own, by hand and by entry points."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
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
from rose.cli import main
from rose.errors import ConfigurationError, UnknownAcquisitionError


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(registry, "_aliases", dict(registry._aliases))


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


def installed(folder: Path, name: str, module: str, entry_points: str) -> None:
    """Lay out a package as pip would."""
    (folder / f"{name}.py").write_text(module)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)


LAB = """
import numpy as np
from rose.acquisition import Acquisition, register_acquisition
from rose.scoring import register_metric

@register_acquisition("lab_last")
def lab_last(problem, *, skip=0):
    "The highest indices."
    return np.sort(problem.available)[::-1][skip : skip + problem.k]

def plain(problem):
    return np.sort(problem.available)[: problem.k]

declared = Acquisition("whatever", plain, needs=("features",), aliases=("lab_alias",))

@register_metric("lab_spread", task="regression", direction="higher")
def lab_spread(p):
    "Largest minus smallest."
    return p.max(axis=0) - p.min(axis=0)
"""
POINTS = """
[rose.acquisitions]
lab-last = lab
lab_plain = lab:plain
lab_declared = lab:declared
lab_forgotten = lab
lab_number = lab:__doc__
lab_twice = lab:plain

[rose.metrics]
lab_spread = lab
"""
USE = """
import numpy as np
from rose.acquisition import acquire, acquisitions
from rose.errors import ConfigurationError
from rose.scoring import get_metric, score

assert {"lab_last", "lab_plain", "lab_declared"} <= set(acquisitions())
assert acquire([1, 2, 3], 1, method="lab_last", skip=1).tolist() == [1]
assert acquire([3, 2, 1], 1, method="lab_plain").tolist() == [0]
assert acquire(features=[[0.0], [1.0]], k=1, method="lab_declared").tolist() == [0]
assert acquire(features=[[0.0], [1.0]], k=1, method="lab_alias").tolist() == [0]
for name in ("lab_forgotten", "lab_number", "lab_twice"):
    try:
        acquire([1.0], 1, method=name)
    except ConfigurationError as error:
        print(error)
assert get_metric("lab_spread").direction == "higher"
assert score(np.array([[0.0, 1.0], [3.0, 1.0]]), "lab_spread").tolist() == [3.0, 0.0]
"""


def test_packages_installed_for_real(tmp_path: Path) -> None:
    installed(tmp_path, "lab", LAB, POINTS)
    installed(tmp_path, "other", "from lab import lab_last", "[rose.acquisitions]\nlab_twice = other:lab_last\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE], env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    forgotten, number, twice = done.stdout.splitlines()
    assert "'lab_forgotten' (lab) is a module, and importing it registered no method of that name" in forgotten
    assert "'lab_number' (lab:__doc__) is a NoneType" in number
    assert twice == "several installed packages offer acquisition 'lab_twice': lab:plain, other:lab_last"
