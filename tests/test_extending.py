"""Every block of docs/extending.md and docs/programs.md runs, and what they add keeps its contract."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rose.acquisition import ACQUISITIONS
from rose.engine.registry import ENGINES
from rose.learners.tracking import TRACKERS
from rose.scoring import METRICS
from tests.plugged import fresh

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = [
    (section.partition("\n")[0], block)
    for section in PAGE.read_text().split("\n## ")
    for block in re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
]


@pytest.fixture
def added() -> Iterator[dict[str, Any]]:
    """What the blocks define, one after the other."""
    names: dict[str, Any] = {}
    with fresh(METRICS, ACQUISITIONS, ENGINES, TRACKERS):
        for heading, block in BLOCKS:
            own: dict[str, Any] = dict(names) if heading == "Is it right?" else {"__name__": "page"}
            exec(compile(block, f"{PAGE.name}: {heading}", "exec"), own)
            names.update(own)
        yield names


def test_the_page_runs_and_its_examples_keep_their_contracts(added: dict[str, Any]) -> None:
    headings = [heading for heading, _ in BLOCKS]
    assert headings[:4] == ["A metric", "An acquisition", "An engine", "A tracker"]
    assert PAGE.read_text().count("```python") == len(BLOCKS)
    for contract in (added["TestLeastSureMember"](), added["TestUncertainHalf"](), added["TestBestSoFar"]()):
        for name, test in inspect.getmembers(contract, inspect.ismethod):
            if name.startswith("test_") and not inspect.signature(test).parameters:
                try:
                    test()
                except pytest.skip.Exception:
                    continue
    added["TestAudited"]().test_returns_what_the_function_returns()


def test_programs_of_ones_own_run() -> None:
    page = PAGE.with_name("programs.md")
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == page.read_text().count("```python") >= 4
    for block in blocks:
        exec(compile(block, page.name, "exec"), {"__name__": "page"})
