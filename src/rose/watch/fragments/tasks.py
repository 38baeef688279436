"""Show the tasks that numbers lead to: all of a small run, of a large one those that are linked and the longest."""

from __future__ import annotations

import htpy as h
import numpy as np
from markupsafe import Markup, escape

from rose.watch.facts.tasks import TaskTable
from rose.watch.fragments.links import Links
from rose.watch.fragments.tables import safe

MOST = 1_500  # tasks that are shown
_OF_EACH = 3  # tasks of each linked iteration of a large run: its longest


def tasks_section(table: TaskTable, begun: float, links: Links, path: str) -> h.Element:
    """Return the tasks; those that `links` names are there, as far as there is room."""
    columns = table.columns()
    rows = _shown(table, links)
    anchors = {table.rows[key]: anchor for key, anchor in links.tasks.items() if key in table.rows}
    pending = dict(links.iterations)
    shown = []
    seconds = columns.ended - columns.start
    for row in rows:
        own = (table.workflows.listed[columns.workflow[row]], int(columns.iteration[row]))
        key = escape(safe(table.keys[row]))
        if own in pending:
            key = Markup(f'<a id="{pending.pop(own)}"></a>{key}')
        cells = (
            key,
            table.states.listed[columns.state[row]],
            _number(columns.start[row] - begun),
            _number(columns.start[row] - columns.queued[row]),
            _number(seconds[row]),
            escape(safe(table.workers.listed[columns.worker[row]])) if columns.worker[row] >= 0 else "",
            columns.attempt[row] if columns.attempt[row] != 1 else "",
        )
        anchor = f' id="{anchors[row]}"' if row in anchors else ""
        shown.append(f"<tr{anchor}>" + "".join(f"<td>{cell}" for cell in cells))
    heads = ("task", "state", "began (s)", "waited (s)", "ran (s)", "worker", "attempt")
    what = (
        "all"
        if len(rows) == len(table)
        else f"{len(rows):,} of {len(table):,}: those that numbers lead to, and the longest"
    )
    return h.section("#tasks")[
        h.h2["Tasks"],
        h.p[f"{what}. One with its prints and its traceback: ", h.code[safe(f"rose task {path} TASK")]],
        h.figure(".table.long")[
            h.figcaption[h.span["tasks"], h.button(".copy", type="button", hidden=True)["copy as CSV"]],
            h.div(".scroll", tabindex="0", role="region", aria_label="tasks")[
                h.table[h.thead[h.tr[(h.th(scope="col")[one] for one in heads)]], h.tbody[Markup("".join(shown))]]
            ],
        ],
    ]


def _shown(table: TaskTable, links: Links) -> list[int]:
    """Return the rows that are shown, those of one iteration together."""
    columns, count = table.columns(), len(table)
    if count <= MOST:
        chosen = np.arange(count)
    else:
        seconds = np.nan_to_num(columns.ended - columns.start)
        wanted = [table.rows[key] for key in links.tasks if key in table.rows]
        order = np.lexsort((-seconds, columns.iteration, columns.workflow))
        pairs = np.stack([columns.workflow[order], columns.iteration[order]])
        first = np.flatnonzero(np.concatenate([[True], (np.diff(pairs, axis=1) != 0).any(axis=0)]))
        numbers = {name: number for number, name in enumerate(table.workflows.listed)}
        groups = {(int(w), int(i)): at for at, w, i in zip(first, *pairs[:, first], strict=True)}
        ends = dict(zip(first.tolist(), [*first[1:].tolist(), count], strict=True))
        starts = [groups.get((numbers.get(name, -1), iteration)) for name, iteration in links.iterations]
        for place in range(_OF_EACH):  # the longest task of each, then the second
            wanted += [int(order[at + place]) for at in starts if at is not None and at + place < ends[int(at)]]
        longest = np.argsort(-seconds, kind="stable")[: MOST // 5]
        chosen = np.array(list(dict.fromkeys([*wanted, *longest.tolist()]))[:MOST], dtype=np.int64)
    order = np.lexsort((columns.queued[chosen], columns.iteration[chosen], columns.workflow[chosen]))
    found: list[int] = chosen[order].tolist()
    return found


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"
