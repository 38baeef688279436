"""How the house is built: sizes of folders, files and functions, no circles of imports, private files, docstrings.

Nothing is imported: all of it is read from the sources. `import-linter` holds the floors.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
FILES_A_FOLDER, LINES_A_FILE, LINES_A_FUNCTION = 16, 350, 60  # a function's without its docstring
REFUSED = {"What", "That", "The", "This", "These", "A", "An", "How", "Whether", "Where", "When", "Which", "Who", "Why"}

# Files that only their own folder uses, and where a reader begins all the same: a room's table of contents.
PUBLIC = {
    *("rose.learners.base", "rose.learners.registration", "rose.stages.capture"),
    *(f"rose.pool.{name}" for name in ("rounds", "scoring_rule", "selection")),
}


@functools.cache
def nodes(file: Path) -> list[ast.AST]:
    """Everything in a file."""
    return list(ast.walk(ast.parse(file.read_text())))


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of ROSE by its name; a package is its `__init__`."""
    found = {}
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path) -> set[str]:
    """The modules of ROSE that a file imports: anywhere in it, also for the type checker alone."""
    found = set()
    for node in nodes(file):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level or SOURCE not in file.parents, f"{file}: a relative import"
            submodules = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in modules() else node.module for name in submodules}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found & modules().keys()


@functools.cache
def imports() -> dict[str, set[str]]:
    """What each module of ROSE imports of it."""
    return {name: imported(file) - {name} for name, file in modules().items()}


def named(text: str) -> Iterator[str]:
    """The modules that a text names."""
    for name in re.findall(r"\brose(?:\.\w+)+", text):
        while name not in modules() and "." in name:
            name = name.rpartition(".")[0]
        yield name


@functools.cache
def users() -> dict[str, set[str]]:
    """Who uses each module: other modules, and files. A name in a text is a use: programs are run by their names."""
    found = defaultdict(set)
    for name, file in modules().items():
        texts = [n.value for n in nodes(file) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        for used in imports()[name] | {used for text in texts if " " not in text for used in named(text)} - {name}:
            found[used].add(name)
    for folder in ("tests", "benchmarks", "examples"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if any(part.startswith(".") for part in file.relative_to(ROOT).parts):
                continue  # what benchmarks have installed
            for used in imported(file) | set(named(file.read_text())):
                found[used].add(str(file.relative_to(ROOT)))
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "pyproject.toml"]:
        for used in named(file.read_text()):
            found[used].add(file.name)
    return found


def circles() -> Iterator[str]:
    """Yield each set of modules that import each other, directly or not (Tarjan, 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []

    def visit(name: str) -> Iterator[str]:
        number[name] = lowest[name] = len(number)
        path.append(name)
        for other in sorted(imports()[name]):
            if other not in number:
                yield from visit(other)
            if other in path:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == number[name]:
            at = path.index(name)
            circle, path[at:] = path[at:], []
            if len(circle) > 1:
                yield " <-> ".join(sorted(circle))

    for name in imports():
        if name not in number:
            yield from visit(name)


def crowded() -> Iterator[str]:
    """Folders, files and functions that are too large."""
    for top in (SOURCE, *(ROOT / name for name in ("tests", "benchmarks", "examples", "docs"))):
        for folder in [top, *top.rglob("*/")]:
            count = sum(f.is_file() for f in folder.iterdir())
            hidden = {part for part in folder.relative_to(ROOT).parts if part.startswith((".", "__"))}
            if count > FILES_A_FOLDER and not hidden and "results" not in folder.parts:
                yield f"{folder.relative_to(ROOT)}: {FILES_A_FOLDER} files"
    for name, file in modules().items():
        if len(file.read_text().splitlines()) > LINES_A_FILE:
            yield f"{name}: {LINES_A_FILE} lines"
        for node in nodes(file):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno
                said = node.body[0] if ast.get_docstring(node) else None
                documented = said.end_lineno - said.lineno + 1 if said and said.end_lineno else 0
                if node.end_lineno - node.lineno - documented >= LINES_A_FUNCTION:
                    yield f"{name}.{node.name}: {LINES_A_FUNCTION} lines"


def misnamed() -> Iterator[str]:
    """Private files used from outside, and public ones that nobody outside uses."""
    for name, file in modules().items():
        parts = name.split(".")
        for at, part in enumerate(parts):
            if part.startswith("_") and not part.startswith("__"):
                inside = ".".join(parts[:at])
                for user in sorted(users()[name]):
                    if user != inside and not user.startswith((f"{inside}.", "tests/")):
                        yield f"{name}: used by {user}"
        if file.name != "__init__.py" and not parts[-1].startswith("_") and name not in PUBLIC:
            folder = ".".join(parts[:-1])
            hidden = any(part.startswith("_") for part in parts)  # the folder is: no need to say it twice
            if len(parts) > 2 and not hidden and all(user.startswith(f"{folder}.") for user in users()[name]):
                yield f"{name}: only for its own folder"


def unplain() -> Iterator[str]:
    """Docstrings whose first line is no sentence that begins with a verb."""
    for name, file in modules().items():
        for node in nodes(file):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                first, *_ = (ast.get_docstring(node) or "Nothing.").splitlines()
                if not first.endswith(".") or re.split(r"\W", first)[0] in REFUSED:
                    yield f"{name}.{getattr(node, 'name', '')}: {first}"


@pytest.mark.parametrize("check", [crowded, circles])
def test_nothing_is_too_large_and_no_imports_go_in_circles(check: Callable[[], Iterator[str]]) -> None:
    wrong = set(check())
    assert not wrong, "\n" + "\n".join(sorted(wrong))


def test_a_file_is_private_if_only_its_own_folder_uses_it() -> None:
    wrong = sorted(misnamed())
    assert not wrong, "\n" + "\n".join(wrong)


def test_docstrings_begin_with_a_verb() -> None:
    wrong = sorted(unplain())
    assert not wrong, "\n" + "\n".join(wrong)
