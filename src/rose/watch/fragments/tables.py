"""Make tables that can be read without a script, and copied as CSV with one."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h
from markupsafe import Markup, escape

from rose.watch.facts.curves import figure
from rose.watch.terminal import clean

MOST = 300  # rows of tables

Cell = str | int | float | h.Element | None


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str, of: int | None = None) -> h.Element:
    """Return a table with a button that copies it; `of` is how many rows there are, where not all are shown."""
    shown, note = rows, "" if of is None or of == len(rows) else f" ({len(rows)} of {of:,} rows)"
    return h.figure(".table")[
        h.figcaption[h.span[caption + note], h.button(".copy", type="button", hidden=True)["copy as CSV"]],
        h.div(".scroll", tabindex="0", role="region", aria_label=caption)[
            h.table[
                h.thead[h.tr[(h.th(scope="col")[one] for one in headings)]],
                h.tbody[Markup("".join("<tr>" + "".join(map(_cell, row)) for row in shown))],
            ]
        ],
    ]


def folded(title: str, *content: h.Node) -> h.Element:
    """Return content that is shown when its title is clicked."""
    return h.details[h.summary[title], content]


def safe(text: object) -> str:
    """Return a text of the run's as it is shown: control characters are written out."""
    return clean(str(text))


def spread(count: int, most: int = MOST) -> list[int]:
    """Return which of so many rows are shown: the first, the last and some between."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _cell(value: Cell) -> str:
    """Return a cell in HTML: as text, since there may be many, and elements take a while."""
    if value is None or isinstance(value, (int, float)):
        return f'<td class="number">{figure(value)}</td>'
    return f"<td>{value if isinstance(value, h.Element) else escape(safe(value))}</td>"
