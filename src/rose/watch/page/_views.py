"""Write the pages as HTML: every text of a run is escaped, for it may be anybody's."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import htpy as h
from markupsafe import Markup

from rose.store import TaskRecord
from rose.store.orders import SETTINGS
from rose.watch.facts.curves import Curve
from rose.watch.fragments.curves import curves_section
from rose.watch.fragments.links import Links
from rose.watch.fragments.tables import Cell, safe, table
from rose.watch.page._layout import page, since, task_link
from rose.watch.page.followed import Fragments, run_id
from rose.watch.runs import FoundRun
from rose.watch.task import TaskView, gist
from rose.watch.terminal import number, size

SHOWN = 1000  # tasks of a list


def runs(directory: Path, found: Sequence[FoundRun], whole: bool) -> h.Element:
    """Return the list of runs."""
    rows = [_run_row(directory, run) for run in found]
    headings = ("compare", "run", "state", "begun", "last heard of", "iterations", "labels", "metric", "size")
    listed = h.div("#runs", {"hx-get": "./", "hx-trigger": "every 5s", "hx-select": "#runs", "hx-swap": "outerMorph"})[
        table(headings, rows, "runs") if rows else h.p["There are no runs below this directory (yet)."]
    ]
    return page(
        str(directory),
        "",
        h.h1["Runs"],
        None if whole else h.p["Not all directories were searched, there are too many: show a smaller part."],
        h.form(action="compare", method="get")[listed, h.button["Compare"]],
    )


def _run_row(directory: Path, run: FoundRun) -> list[Cell]:
    name, summary = str(run.path.relative_to(directory)) if run.path != directory else run.path.name, run.summary
    where = run_id(run.path)
    if summary is None:
        return ["", name, run.state, "", since(run.seen), "", "", run.error, size(run.bytes)]
    reached = [workflow.iteration for workflow in summary.workflows if workflow.iteration is not None]
    values = [f"{w.name}: {w.metric_name} {number(w.metric)}" for w in summary.workflows if w.metric is not None]
    return [
        h.span[h.input(type="checkbox", name="run", value=where, aria_label=f"compare {name}")],
        h.a(href=f"runs/{where}/")[safe(name)],
        run.state,
        since(summary.begun),
        since(run.seen),
        str(max(reached) + 1) if reached else "",
        str(summary.labels or ""),
        h.ul[(h.li[safe(one)] for one in values[:4])] if values else "",
        size(run.bytes),
    ]


def run(path: Path, fragments: Fragments, mark: str) -> h.Element:
    """Return a run's page."""
    return page(
        path.name,
        "../../",
        h.h1[safe(path.name)],
        h.div(
            "#live",
            {"hx-sse:connect": "events?" + urlencode({"after": mark}), "hx-swap": "none"},
        )[(Markup(html) for html in fragments.values())],
        h.p[h.a(href="tasks?all=")["All tasks"]],
        _forms(),
    )


def _forms() -> h.Element:
    """Return what orders the driver about."""
    who = h.label["who ", h.input(name="who", value=_user(), maxlength="100")]
    workflow = h.label["workflow ", h.input(name="workflow", placeholder="all")]
    settings = h.select(name="name", aria_label="setting")[(h.option[name] for name in SETTINGS)]
    value = h.label["value ", h.input(name="value", required=True)]
    candidate = h.label["candidate ", h.input(name="candidate", inputmode="numeric", required=True)]
    owner = h.label["workflow ", h.input(name="workflow", required=True)]

    def form(kind: str, verb: str, *fields: h.Node) -> h.Element:
        return h.form(action="orders", method="post", class_="order")[
            h.input(type="hidden", name="kind", value=kind), h.fieldset[h.legend[verb], fields, who, h.button[verb]]
        ]

    return h.section("#tell")[
        h.h2["Tell the driver"],
        h.p["It obeys within a second, or refuses and says why; what it did is listed under Orders."],
        form("stop", "Stop", workflow),
        form("set", "Set", settings, value, workflow),
        form("label", "Give or correct a label", candidate, value, workflow),
        form("withdraw", "Do without a candidate", candidate, owner),
    ]


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user without a name
        return ""


def tasks(path: Path, records: Sequence[TaskRecord], prefix: str, everything: bool) -> h.Element:
    """Return a list of tasks: those that failed, or all."""
    rows: list[list[Cell]] = [
        [task_link(one.key), one.state, "" if one.seconds is None else f"{one.seconds:.3g} s", gist(one.error, one.key)]
        for one in records[:SHOWN]
    ]
    left = len(records) - len(rows)
    return page(
        path.name,
        "../../",
        h.h1["Tasks"],
        h.p[h.a(href="./")["back to the run"]],
        h.form(action="tasks", method="get")[
            h.label["whose keys begin ", h.input(name="prefix", value=prefix)],
            h.label[h.input(type="checkbox", name="all", checked=everything), " also those that are well"],
            h.button["List"],
        ],
        table(("task", "state", "took", "error"), rows, "tasks") if rows else h.p["There are none."],
        h.p[f"and {left} more: say how their keys begin"] if left > 0 else None,
    )


def task(path: Path, view: TaskView) -> h.Element:
    """Return a task's page."""
    record = view.record
    facts: list[list[Cell]] = [
        ["state", f"{record.state}, attempt {record.attempt}"],
        ["queued", since(record.queued)],
    ]
    for name, moment in (("began", record.began), ("ended", record.ended)):
        if moment is not None:
            facts.append([name, since(moment)])
    if record.seconds is not None:
        facts.append(["took", f"{record.seconds:.3g} s"])
    facts += [[name, text] for name, text in (("worker", record.worker), ("result", view.value)) if text]
    return page(
        path.name,
        "../../",
        h.h1[safe(record.key)],
        h.p[h.a(href="./")["back to the run"]],
        table(("what", ""), facts, "the task"),
        [h.h2["Error"], h.pre(tabindex="0")[safe(record.error)]] if record.error else None,
        ([h.h2[stream], h.pre(tabindex="0")[safe(text)]] for stream, (text, _) in view.printed.items()),
    )


def compare(found: Sequence[tuple[Path, str, Fragments, Sequence[Curve]]]) -> h.Element:
    """Return several runs side by side, and their curves in the same charts."""
    names = [safe(path.name) for path, *_ in found]
    if len(set(names)) < len(names):
        names = [safe(path) for path, *_ in found]
    curves = [
        replace(curve, workflow=f"{name}: {curve.workflow}")
        for name, (*_, of_one) in zip(names, found, strict=True)
        for curve in of_one
    ]
    return page(
        "Compare",
        "./",
        h.h1["Compare"],
        h.div(".compare")[
            (
                h.article[
                    h.h2[h.a(href=f"runs/{where}/")[name]],
                    (
                        Markup(fragments[one].replace('id="', f'id="{where}-', 1))
                        for one in _COMPARED
                        if one in fragments
                    ),
                ]
                for name, (_, where, fragments, _) in zip(names, found, strict=True)
            )
        ]
        if found
        else h.p["Tick the runs to be compared in the list of runs."],
        curves_section(curves, {curve.workflow: [curve] for curve in curves}, _NoLinks()) if curves else None,
    )


_COMPARED = ("state", "workflows", "comparison")


class _NoLinks(Links):
    """Name tasks and iterations without leading there: they are of several runs."""

    def task(self, key: str, said: str | None = None) -> h.Element:
        return h.span[safe(key if said is None else said)]

    def iteration(self, workflow: str, iteration: int, said: str | None = None) -> h.Element:
        return h.span[str(iteration) if said is None else safe(said)]


def gone(why: str) -> h.Element:
    """Return what takes the place of a run's state when it cannot be read any more."""
    return h.section("#state", role="status")[h.p[h.strong(".state.bad")["not readable"], safe(f" {why}")]]


def problem(title: str, why: str, base: str) -> h.Element:
    """Return a page that says what is wrong."""
    return page(title, base, h.h1[title], h.p[safe(why)], h.p[h.a(href=base or "./")["to the runs"]])
