"""Make tables that can be read without a script, and copied as CSV with one."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from rose.watch.facts.answer import figure
from rose.watch.terminal import clean

MOST = 300  # rows of a table; of longer ones every n-th is shown

Cell = str | int | float | h.Element | None


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> h.Element:
    """Return a table with a button that copies it; of many rows, the first, the last and some between."""
    shown, note = rows, ""
    if len(rows) > MOST:
        places = sorted({round(i * (len(rows) - 1) / (MOST - 1)) for i in range(MOST)})
        shown, note = [rows[i] for i in places], f" ({MOST} of {len(rows):,} rows)"
    return h.figure(".table")[
        h.figcaption[h.span[caption + note], h.button(".copy", type="button", hidden=True)["copy as CSV"]],
        h.div(".scroll", tabindex="0", role="region", aria_label=caption)[
            h.table[
                h.thead[h.tr[(h.th(scope="col")[one] for one in headings)]],
                h.tbody[(h.tr[(_cell(one) for one in row)] for row in shown)],
            ]
        ],
    ]


def folded(title: str, *content: h.Node) -> h.Element:
    """Return content that is shown when its title is clicked."""
    return h.details[h.summary[title], content]


def safe(text: object) -> str:
    """Return a text of the run's as it is shown: control characters are written out."""
    return clean(str(text))


def _cell(value: Cell) -> h.Element:
    if value is None or isinstance(value, (int, float)):
        return h.td(".number")[figure(value)]
    return h.td[value if isinstance(value, h.Element) else safe(value)]
