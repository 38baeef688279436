"""What the README and docs/ show is so: their programs run, their commands can be given, their links lead somewhere."""

from __future__ import annotations

import asyncio
import inspect
import re
import shlex
import sys
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rose
from rose.acquisition import ACQUISITIONS
from rose.cli import main, make_parser
from rose.engine import as_engine
from rose.engine.registry import ENGINES
from rose.learners.tracking import TRACKERS
from rose.scoring import METRICS
from rose.stages.kinds import KINDS
from tests.docs.pages import PAGES, ROOT, blocks_of, program_of
from tests.docs.reference import write
from tests.warm import WarmEngine

# What is not run, by page: each says why where it stands.
NOT_RUN = {"docs/slurm.md": 6}
PROGRAMS = [page for page in PAGES if program_of(page).strip()]
NEEDS = {"docs/results.md": "matplotlib", "docs/guide/torch.md": "torch"}


@pytest.fixture(scope="module")
def engine() -> Iterator[WarmEngine]:
    """One worker process for all pages (imports cost seconds); what a script shared stays there, as long as it does."""
    engine = WarmEngine(1)
    yield engine
    asyncio.run(engine.end())


@pytest.fixture
def script(engine: WarmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A script's `__main__`, in a directory of its own; learners that ask for so many workers get the warm ones."""

    def warm(given: Any = None, **options: Any) -> Any:
        return engine if given is None or isinstance(given, int) else as_engine(given, **options)

    monkeypatch.setattr("rose.learners.base.as_engine", warm)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    kinds = dict(KINDS)
    registries = {registry: dict(vars(registry)) for registry in (METRICS, ACQUISITIONS, ENGINES, TRACKERS)}
    for registry in registries:
        vars(registry).update(_entries=dict(registry._entries), _aliases=dict(registry._aliases))
    yield module
    for registry, was in registries.items():
        vars(registry).update(was)
    KINDS.clear()
    KINDS.update(kinds)


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_page_runs(page: str, script: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if page in NEEDS:
        pytest.importorskip(NEEDS[page])
    for block in blocks_of(page):
        if block.file:
            Path(block.file).write_text(block.text)
    if page == "docs/spec.md":
        run_files(capsys)
    program = tmp_path / "page.py"
    program.write_text(program_of(page))
    script.__file__ = str(program)
    exec(compile(program.read_text(), str(program), "exec"), script.__dict__)
    if page == "docs/extending.md":
        check_contracts(vars(script))


def run_files(capsys: pytest.CaptureFixture[str]) -> None:
    """Run the programs of docs/spec.md that are files."""
    grid = np.random.default_rng(0).uniform(size=(60, 3))
    np.savetxt("grid.csv", grid, delimiter=",", header="temperature,pressure,note", comments="")
    for name in ("active.yaml", "surface.yaml"):
        assert main(["run", name, "--local", "--backend", "threads", "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert "SequentialActiveLearner: criterion_met after 3 iterations, model_accuracy 1.1" in printed
    assert "variance: budget_spent after 2 iterations" in printed


def check_contracts(added: dict[str, Any]) -> None:
    """What docs/extending.md adds keeps its contracts."""
    for contract in (added["TestLeastSureMember"](), added["TestUncertainHalf"](), added["TestBestSoFar"]()):
        for name, test in inspect.getmembers(contract, inspect.ismethod):
            if name.startswith("test_") and not inspect.signature(test).parameters:
                try:
                    test()
                except pytest.skip.Exception:
                    continue
    added["TestAudited"]().test_returns_what_the_function_returns()


def test_what_does_not_run_here_says_why() -> None:
    blocks = {page: list(blocks_of(page)) for page in PAGES}
    for page, found in blocks.items():
        assert PAGES[page].read_text().count("```") == 2 * len(found), f"{page}: a block that is not closed"
    assert Counter(page for page, found in blocks.items() for block in found if block.not_run) == NOT_RUN
    for page, found in blocks.items():
        for elsewhere in {block.run_by for block in found} - {""}:
            assert "read_page" in (ROOT / elsewhere).read_text(), f"{page}: {elsewhere} does not run it"


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every `rose` and `make` that a reader would type, and where it stands."""
    for page in PAGES:
        for block in blocks_of(page):
            if block.language in ("console", "sh", "bash") and not block.not_run:
                for number, line in enumerate(block.text.splitlines(), block.line):
                    if line.startswith("$ ") or block.language != "console":
                        words = shlex.split(line.removeprefix("$ "), comments=True)
                        if words and words[0] in ("rose", "make"):
                            yield f"{page}:{number}", words


def test_commands_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    seen = list(commands())
    for where, (program, *rest) in seen:
        try:
            if program == "rose":
                make_parser().parse_args(rest)
            else:
                assert all(re.search(rf"^{target}( [\w .-]+)?:", makefile, re.MULTILINE) for target in rest)
        except (SystemExit, AssertionError):
            pytest.fail(f"{where}: {program} {' '.join(rest)}: {capsys.readouterr().err}")
    assert len(seen) > 10


def slugs(page: Path) -> set[str]:
    """What headings can be linked by."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_links_lead_somewhere(tmp_path: Path) -> None:
    write(tmp_path)
    lost = []
    for page, file in PAGES.items():
        for target, at in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", file.read_text()):
            there = file.parent / target if target else file
            if target.startswith("reference/"):
                there = tmp_path / target.removeprefix("reference/")
            if not there.exists() or (at and at not in slugs(there)):
                lost.append(f"{page}: {target}#{at}")
    assert not lost, "\n".join(lost)


def test_files_that_pages_name_are_there() -> None:
    named = re.compile(r"`((?:tests|examples|benchmarks)/[\w./*-]+)`")
    lost = [f"{page}: {path}" for page, file in PAGES.items() for path in named.findall(file.read_text())
            if not any(ROOT.glob(path.rstrip("/"))) and "results" not in path]  # fmt: skip
    assert not lost, "\n".join(lost)


def test_the_site_has_all_pages_and_a_reference_of_all_names(tmp_path: Path) -> None:
    listed = re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text())
    pages = [page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")]
    assert sorted(listed) == sorted([*pages, "reference/index.md"])
    write(tmp_path)
    written = (tmp_path / "rose.md").read_text()
    assert all(f"\n## {name}\n" in written for name in rose.__all__)
    assert "\n### run\n" in written
    assert "## rose status" in (tmp_path / "commands.md").read_text()
