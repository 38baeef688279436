"""Every block of docs/spec.md runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from rose.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "spec.md").read_text()
BLOCKS = re.findall(r"^```(?:python|yaml)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    named = {block.partition("\n")[0].removeprefix("# "): block for block in BLOCKS if block.startswith("# ")}
    for name, block in named.items():
        Path(name).write_text(block)
    grid = np.random.default_rng(0).uniform(size=(60, 3))
    np.savetxt("grid.csv", grid, delimiter=",", header="temperature,pressure,note", comments="")
    assert list(named) == ["tasks.py", "active.yaml", "surface.yaml", "solve.py"]
    for name in ("active.yaml", "surface.yaml"):
        assert main(["run", name, "--local", "--backend", "threads", "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert "SequentialActiveLearner: criterion_met after 3 iterations, model_accuracy 1.1" in printed
    assert "variance: budget_spent after 2 iterations" in printed
    for block in BLOCKS:
        if not block.startswith("# "):
            exec(compile(block, "spec.md", "exec"), {"__name__": "page"})
    del sys.modules["tasks"]
