"""`rose engines`, and the self-test behind it."""

from __future__ import annotations

import asyncio
import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from rose.cli import main
from rose.engine import Capabilities, ThreadEngine
from rose.engine.registry import ENGINES, MEANINGS, capability_names, get_kind
from rose.engine.selfcheck import check
from rose.errors import ConfigurationError


def test_lists_what_there_is_and_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines"]) == 0
    printed = capsys.readouterr().out
    for kind in ENGINES.things():
        assert kind.given in printed
    assert set(MEANINGS) == set(capability_names())
    row = next(line for line in printed.splitlines() if line.startswith(MEANINGS["survives_crash"]))
    assert row.split()[-5:] == ["yes", "no", "yes", "yes", "yes"]


def test_says_how_to_install_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else find(name))
    assert main(["engines"]) == 0
    assert "not installed: pip install 'rose-uq[dask]'" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match=r"needs distributed, .*: pip install 'rose-uq\[dask\]'"):
        get_kind("dask")


def test_declared_capabilities_are_those_of_the_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # AsyncFlow leaves a directory

    async def body() -> None:
        for kind in ENGINES.things():
            if kind.name != "dask" and kind.is_installed:  # a cluster takes seconds; its contract tests look
                async with kind.open() as engine:
                    assert engine.capabilities == kind.capabilities, kind.name

    asyncio.run(body())


def test_a_check_tells_ok_from_declared_absent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "--check", "threads"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ThreadEngine(workers=2)"
    states = {line[8:32].strip(): line[:8].strip() for line in lines[1:-1]}
    assert states["results"] == states["cancelling a command"] == "ok"
    assert states["cancelling a function"] == states["a crash"] == "absent"
    assert lines[-1] == "it does what it declares"


def test_a_check_finds_an_engine_out_that_declares_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # Dask sets it, if its tests ran before

    class Boasting(ThreadEngine):
        capabilities: Capabilities = replace(ThreadEngine.capabilities, stops_work=True, limits_threads=True)

    async def body() -> dict[str, str]:
        async with Boasting(2) as engine:
            return {finding.name: finding.error async for finding in check(engine) if finding.error}

    assert asyncio.run(body()) == {
        "cancelling a function": "UnmetError: the work goes on",
        "a function's threads": "UnmetError: expected '1', got None",
    }


def test_an_engine_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "--check", "tread"]) == 1
    assert "no engine is called 'tread'; did you mean 'threads'" in capsys.readouterr().out


def test_a_cluster_that_does_not_answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from rose.engine import DaskEngine

    monkeypatch.setitem(DaskEngine.__init__.__kwdefaults__, "patience", 0.5)
    assert main(["engines", "--check", "tcp://127.0.0.1:9"]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().out
