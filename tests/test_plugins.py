"""What installed packages bring: found by name, loaded once, and listed; a broken one hides no other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rose.acquisition import ACQUISITIONS, acquire, get_acquisition, register_acquisition
from rose.cli import main
from rose.engine import ThreadEngine
from rose.engine.registry import ENGINES, get_kind, register_engine
from rose.errors import ConfigurationError, PluginError, UnknownAcquisitionError, UnknownMetricError, UnknownNameError
from rose.learners.tracking import TRACKERS
from rose.plugins import Registry
from rose.scoring import METRICS, get_metric, register_metric, score
from tests.plugged import fresh, install

LAB = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from rose.acquisition import Acquisition, register_acquisition
from rose.engine import ThreadEngine
from rose.scoring import register_metric
from rose.tracking import TrackerBase

@register_acquisition("lab_last")
def lab_last(problem, *, skip=0):
    "The highest indices."
    return np.sort(problem.available)[::-1][skip : skip + problem.k]

def plain(problem):
    "The lowest indices."
    return np.sort(problem.available)[: problem.k]

declared = Acquisition("whatever", plain, needs=("features",), aliases=("lab_alias",))

@register_metric("lab_spread", task="regression", direction="higher")
def lab_spread(p):
    "Largest minus smallest."
    return p.max(axis=0) - p.min(axis=0)

class LabEngine(ThreadEngine):
    "Threads of the lab."

class LabTracker(TrackerBase):
    pass
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
margin = lab

[rose.engines]
lab_threads = lab:LabEngine

[rose.trackers]
lab_tracker = lab:LabTracker
"""
BAD = """
[rose.acquisitions]
lab_twice = bad_lab:other
lab_gone = no_such_module:thing
lab_exits = bad_lab

[rose.metrics]
lab_gone = no_such_module

[rose.engines]
lab_gone = no_such_module:Engine
"""


@pytest.fixture(autouse=True)
def own_registries() -> Iterator[None]:
    with fresh(METRICS, ACQUISITIONS, ENGINES, TRACKERS):
        yield


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "lab", LAB, POINTS)
    install(tmp_path, "bad_lab", "raise SystemExit(3)", BAD)
    monkeypatch.syspath_prepend(tmp_path)


def test_what_packages_bring_is_loaded_when_asked_for(lab: None) -> None:
    get_metric("bald")
    assert acquire([0.0, 1.0], 1, method="top_k").tolist() == [1]
    assert "lab" not in sys.modules  # what is built in looks no further
    assert acquire([1, 2, 3], 1, method="Lab Last", skip=1).tolist() == [1]
    assert acquire([3, 2, 1], 1, method="lab_plain").tolist() == [0]
    assert acquire(features=[[0.0], [1.0]], k=1, method="lab_declared").tolist() == [0]
    assert acquire(features=[[0.0], [1.0]], k=1, method="lab_alias").tolist() == [0]
    assert score([[0.0, 1.0], [3.0, 1.0]], "lab_spread").tolist() == [3.0, 0.0]
    assert get_kind("lab_threads").given == "ParallelUQLearner(LabEngine(8))"
    assert type(TRACKERS.get("lab_tracker")()).__name__ == "LabTracker"
    assert get_acquisition("lab_plain").summary == "The lowest indices."


def test_the_lists_show_them_and_what_is_broken(lab: None, capsys: pytest.CaptureFixture[str]) -> None:
    for command, there in (
        ("metrics", "lab_spread"), ("acquisitions", "lab_declared, lab_alias"), ("engines", "lab_threads Threads of")
    ):  # fmt: skip
        assert main([command]) == 0
        shown = capsys.readouterr().out
        assert there in shown.replace(" " * 2, " ")
        assert "is brought by bad_lab 1.0 (no_such_module" in shown
        assert "ModuleNotFoundError: No module named 'no_such_module'" in shown
    assert main(["metrics"]) == 0
    shown = capsys.readouterr().out
    assert "metric 'margin' is brought by lab 1.0 (lab), but that is a module, and importing it registered no" in shown
    assert get_metric("margin").built_in


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lab_gone", r"acquisition 'lab_gone' is brought by bad_lab 1\.0 \(no_such_module:thing\), but ModuleNotFound"),
        ("lab_exits", r"bad_lab 1\.0 \(bad_lab\), but SystemExit: 3"),
        ("lab_forgotten", "that is a module, and importing it registered no acquisition of that name"),
        ("lab_number", r"lab 1\.0 \(lab:__doc__\), but that is a NoneType"),
        ("lab_twice", r"brought by (bad_)?lab 1\.0 .*, but so do(es)? (bad_)?lab 1\.0 .*; one must go"),
    ],
)
def test_what_is_broken_says_whose_it_is(lab: None, name: str, message: str) -> None:
    for _ in range(2):
        with pytest.raises(PluginError, match=message):
            get_acquisition(name)
    assert acquire([1, 2, 3], 1, method="lab_last").tolist() == [2]
    with pytest.raises(UnknownAcquisitionError, match=r"did you mean 'lab_last'.*No module named 'no_such_module'"):
        get_acquisition("lab_lst")
    with pytest.raises(UnknownMetricError, match="no metric is called 'spread'; did you mean 'lab_spread'"):
        get_metric("spread")


def test_entry_points_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    asked: list[str] = []

    def entry_points(group: str) -> list[Any]:
        asked.append(group)
        return []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    for _ in range(3):
        with pytest.raises(UnknownMetricError):
            get_metric("from nowhere")
    assert asked == ["rose.metrics"]


def test_names_belong_to_one_thing() -> None:
    things: Registry[str] = Registry("thing", "rose.things", lambda name, loaded: None)
    things.add("Built-In", "a", ("old name",))
    things.seal()
    things.add("mine", "b", ("ours",))
    things.add("MINE", "c")  # a notebook's cell runs twice
    assert (things.get("mine"), things.get("built_in"), things.get("OLD-NAME")) == ("c", "a", "a")
    assert "mine" in things
    assert "ours" not in things
    for name, aliases in (("built in", ()), ("old_name", ()), ("yours", ("old name",))):
        with pytest.raises(ConfigurationError, match=r"the name '\w+' belongs to a built-in thing"):
            things.add(name, "d", aliases)
    with pytest.raises(ConfigurationError, match="belongs to thing 'mine'"):
        things.add("yours", "d", ("mine",))
    with pytest.raises(ConfigurationError, match="'built in' is a built-in thing and cannot be removed"):
        things.remove("built in")
    with pytest.raises(ConfigurationError, match="a thing's name must be a non-empty string, not ' '"):
        things.add(" ", "d")
    with pytest.raises(ConfigurationError, match="aliases='ours' of thing 'mine' must be a tuple of names"):
        things.add("mine", "d", "ours")
    with pytest.raises(UnknownNameError, match="no thing is called 'min'; did you mean 'mine'"):
        things.get("min")
    with pytest.raises(UnknownNameError, match=r"no thing is called 'xyz'; known: built_in, mine$"):
        things.get("xyz")  # a list names each once
    with pytest.raises(UnknownNameError, match="did you mean 'old_name'"):
        things.get("old_nme")
    things.remove("mine")
    assert things.names() == ("built_in",)


def test_what_is_built_in_stays() -> None:
    with pytest.raises(ConfigurationError, match="the name 'top_k' belongs to a built-in acquisition"):
        register_acquisition("top_k")(lambda problem: problem.available)
    with pytest.raises(ConfigurationError, match="the name 'coreset' belongs to a built-in acquisition"):
        register_acquisition("mine", aliases=("coreset",))(lambda problem: problem.available)
    with pytest.raises(ConfigurationError, match="the name 'bald' belongs to a built-in metric"):
        register_metric("bald", task="any", direction="higher")(lambda p: p)
    with pytest.raises(ConfigurationError, match="the name 'threads' belongs to a built-in engine"):
        register_engine("threads")(ThreadEngine)
