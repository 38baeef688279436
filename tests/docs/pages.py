"""Pages as programs: the ```python blocks of a page, one after the other, are one script.

Comments in a page, which its readers do not see, say what is special about the block that follows:

    <!-- not run: it needs a Slurm -->
    <!-- run by tests/integrations/test_mlflow.py -->
    <!-- in tests: max_iter=20 → max_iter=2; 500 → 50 -->       replaces texts, each of which must be there
    <!-- before: code that runs before the block, on as many lines as it takes -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    str(file.relative_to(ROOT)): file
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "reference" not in file.relative_to(ROOT).parts  # made of docstrings by `make site`
}
_NOTE = r"(?:^<!-- (?P<note>(?:(?!-->).)*?) ?-->\n+)?"
_BLOCK = re.compile(_NOTE + r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, its text, the number of its first line, and what a comment says of it."""

    language: str
    text: str
    line: int
    note: str = ""

    @property
    def not_run(self) -> bool:
        return self.note.startswith("not run: ")

    @property
    def run_by(self) -> str:
        return self.note.removeprefix("run by ") if self.note.startswith("run by ") else ""

    @property
    def file(self) -> str:
        """The name of the file that it is, which its first line says in a comment."""
        named = re.match(r"# (\w+\.(?:py|yaml|csv|sh))\n", self.text)
        return named[1] if named else ""

    @property
    def code(self) -> str:
        """What runs of it: with what the comment replaces, or puts before it."""
        code = self.text
        if self.note.startswith("before:"):
            return self.note.removeprefix("before:").strip("\n") + "\n" + code
        if self.note.startswith("in tests: "):
            for cut in self.note.removeprefix("in tests: ").split("; "):
                long, _, short = cut.partition(" → ")
                assert long in code, f"{long!r} is not in the block at line {self.line}"
                code = code.replace(long, short)
        return code


def blocks_of(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = PAGES[page].read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(found["language"], found["text"], line, found["note"] or "")


def program_of(page: str) -> str:
    """The page as a script; lines have the numbers that they have in the page, but where a comment adds some."""
    lines: list[str] = []
    for block in blocks_of(page):
        if block.language == "python" and not (block.not_run or block.run_by or block.file):
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
    return "\n".join(lines) + "\n"
