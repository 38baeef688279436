"""Write `docs/data.md` to standard output: `python -m tests.data.document`."""

from __future__ import annotations

from collections.abc import Iterator

from .rows import SECTIONS, Row


def lines() -> Iterator[str]:
    yield "# What pools, labels, models and predictions may be"
    yield ""
    yield "Each line of these tables is a test (`tests/data`); this page is made from them by `make docs`."
    for section in SECTIONS:
        yield from ("", f"## {section.title}", "", section.text, "", "| what | for example | |", "|---|---|---|")
        yield from map(_line, section.rows)


def _line(row: Row) -> str:
    outcome = f"refused: `{row.refused}`" if row.refused else "works"
    code = row.code.replace("__import__('scipy.sparse').sparse", "scipy.sparse").replace("|", "\\|")
    return f"| {row.what} | `{code}` | {outcome} |"


if __name__ == "__main__":
    print("\n".join(lines()))
