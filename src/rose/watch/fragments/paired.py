"""Show by how much ways to choose differ."""

from __future__ import annotations

import htpy as h

from rose.watch.facts.paired import EXPLAINED, Paired
from rose.watch.fragments.tables import safe, table


def paired_section(found: Paired | None) -> h.Element:
    """Return the table of a comparison; nothing is in it where the run is none."""
    if found is None:
        return h.section("#comparison", hidden=True)
    lines = found.table()
    return h.section("#comparison")[
        h.h2["Comparison"],
        h.p[safe(found.told()) + "."],
        table(lines[0], lines[1:], "ways to choose, compared") if lines else None,
        h.p[EXPLAINED + "."] if lines else None,
    ]
