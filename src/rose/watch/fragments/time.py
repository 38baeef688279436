"""Show where the time went: a Gantt chart of the workers, stages, the critical path."""

from __future__ import annotations

import htpy as h

from rose.watch.facts.answer import seconds
from rose.watch.facts.curves import counted
from rose.watch.facts.time import CriticalPath, Gantt, Time
from rose.watch.fragments import _svg as svg
from rose.watch.fragments.answer import role_class, role_legend
from rose.watch.fragments.links import Links
from rose.watch.fragments.tables import folded, safe, table

_LANE = 16


def time_section(spent: Time, links: Links) -> h.Element:
    """Return where the time went."""
    cost = spent.cost_per_label
    facts = [
        f"Driven for {seconds(spent.worked)}; tasks ran for {seconds(spent.all_running)} in all",
        spent.busy is not None and f"; {counted(spent.workers, 'worker')} busy {spent.busy:.0%} of the time",
        cost is not None and f"; a label cost {seconds(cost)} of simulation ({counted(spent.labels, 'label')})",
        ".",
    ]
    rows = [
        (
            one.stage,
            one.role,
            one.tasks,
            round(one.running, 3),
            round(one.waiting, 3),
            one.running / one.tasks,
            links.task(one.longest_key, f"{one.longest:.3g} s: {one.longest_key}"),
        )
        for one in spent.stages
    ]
    heads = ("stage", "what", "tasks", "seconds on workers", "seconds waiting", "mean seconds", "the longest")
    return h.section("#time")[
        h.h2["Time"],
        h.p["".join(part for part in facts if part)],
        _gantt(spent.gantt) if spent.gantt else h.p["The engine does not say on which workers tasks run."],
        _path(spent.path, links) if spent.path else None,
        table(heads, rows, "where the time went, by stage") if rows else None,
    ]


def _gantt(gantt: Gantt) -> h.Element:
    lanes = len(gantt.lanes)
    height = lanes * _LANE + 56
    frame = svg.Frame(svg.Axis("seconds", 0.0, gantt.end or 1.0), svg.Axis("", 0.0, 1.0), 960, height, 130)
    bottom, top = height - 44, 12
    marks: list[h.Node] = []
    for number, name in enumerate(gantt.lanes):
        y = top + number * (bottom - top) / lanes
        shown = safe(name) if len(name) <= 20 else "..." + safe(name)[-17:]
        marks.append(svg.text(124, y + _LANE * 0.7, shown, "end"))
    for value in frame.x.ticks(8):
        x, _ = frame.at(value, 0)
        marks.append(h.Element("path")(".grid", d=f"M{x:.1f} {top}V{bottom}"))
        marks.append(svg.text(x, bottom + 16, svg.label(value), "middle"))
    marks.append(svg.text(545, height - 6, "seconds since the run began", "middle", "axis"))
    by_kind: dict[str, list[tuple[float, float, float, float]]] = {}
    tall = (bottom - top) / lanes
    for bar in gantt.bars:
        start, _ = frame.at(bar.start, 0)
        end, _ = frame.at(bar.end, 0)
        place = (start, top + bar.lane * tall + 1, max(end - start, 0.4), tall - 2)
        by_kind.setdefault(role_class(bar.role) + (" failed" if bar.failed else ""), []).append(place)
    marks += [svg.boxes(places, kind) for kind, places in by_kind.items()]
    roles = list(dict.fromkeys(bar.role for bar in gantt.bars))
    how = "each bar is a task" if gantt.exact else "a bar's colour is what took most of that time"
    more = f"; {gantt.hidden} workers that did least are not shown" if gantt.hidden else ""
    return h.figure(".gantt")[
        h.figcaption[f"what each worker did: {how}{more}"],
        role_legend(roles),
        h.div(".scroll", tabindex="0", role="region", aria_label="what each worker did")[
            h.svg(".chart", viewBox=f"0 0 960 {height}", role="img", aria_label="Gantt chart of the workers")[marks]
        ],
    ]


def _path(path: CriticalPath, links: Links) -> h.Element:
    parts = sorted(path.by_role.items(), key=lambda item: -item[1])
    total = path.seconds or 1.0
    told = ", ".join(f"{amount / total:.0%} {role}" for role, amount in parts if amount / total >= 0.005)
    rows = [
        (links.task(one.key), one.role, round(one.driver, 4), round(one.waiting, 4), round(one.running, 4))
        for one in path.longest
    ]
    heads = ("task", "what", "after the one before", "waiting", "running")
    return h.div[
        h.h3["Critical path"],
        h.p[
            safe(
                f"{counted(path.tasks, 'task')} of {path.workflow}, each asked for when the one before had ended, took "
            ),
            f"{seconds(path.seconds)}: {safe(told)}. Only what makes these shorter ends the run earlier.",
        ],
        folded("its longest steps", table(heads, rows, "the longest steps of the critical path, in seconds")),
    ]
