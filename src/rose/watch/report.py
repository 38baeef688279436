"""Write one HTML file that says all about a run: readable by itself, printable, without the internet."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import htpy as h
from markupsafe import Markup

from rose.store import RunReader
from rose.store.files.fsync import create_aside
from rose.watch.facts import Facts
from rose.watch.facts.remembered import Remembered
from rose.watch.fragments.answer import answer_section
from rose.watch.fragments.calibration import calibration_section
from rose.watch.fragments.curves import curves_section, uncertainty_section
from rose.watch.fragments.failures import failures_section
from rose.watch.fragments.links import Links
from rose.watch.fragments.paired import paired_section
from rose.watch.fragments.provenance import provenance_section
from rose.watch.fragments.selection import selection_section
from rose.watch.fragments.tables import safe
from rose.watch.fragments.tasks import tasks_section
from rose.watch.fragments.time import time_section

NAME = "report.html"  # in the run directory

_SECTIONS = {
    "curves": "Learning curves",
    "uncertainty": "Uncertainty",
    "selection": "What was chosen",
    "calibration": "Calibration",
    "time": "Time",
    "failures": "Failures",
    "provenance": "Provenance",
    "tasks": "Tasks",
}


@dataclass(frozen=True)
class Report:
    """Hold a report; a notebook shows it where it is the value of a cell.

    Attributes:
        html: the whole page.
    """

    html: str

    def save(self, path: str | Path) -> Path:
        """Write it to a file, in one step, and return where."""
        path = Path(path).expanduser()
        descriptor, aside = create_aside(path.parent, ".report-")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(self.html)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        return path

    def _repr_html_(self) -> str:
        frame = h.iframe(srcdoc=self.html, width="100%", height="900", sandbox="allow-scripts", title="ROSE report")
        return str(frame)

    def __repr__(self) -> str:
        return f"<report of {len(self.html.encode()) // 1024} KiB: `.save(path)` writes it>"


def report(run_dir: str | Path) -> Report:
    """Return the report of a run, living or dead.

    Raises:
        RunDirectoryError: if there is no run, or of another format.
        CorruptRunError: if what it recorded is damaged.
    """
    with RunReader(run_dir) as reader:
        facts = Facts(reader)
        facts.update()
        return Report(page(facts))


def report_of(results: Mapping[str, Mapping[str, Any]]) -> Report:
    """Return the report of a run that had no directory: what its results remember (see `facts.remembered`)."""
    facts = Facts(Remembered(results))
    facts.update()
    return Report(page(facts))


def write_report(run_dir: str | Path, path: str | Path | None = None) -> Path:
    """Write the report of a run to a file, by default `report.html` in its directory; return where."""
    return report(run_dir).save(Path(run_dir) / NAME if path is None else path)


def page(facts: Facts) -> str:
    """Return the whole page."""
    summary, links, spent = facts.summary(), Links(), facts.time()
    curves, groups, path = facts.curves(), facts.groups(), str(facts.reader.path)
    found = facts.answer(spent)
    numbers = {curve.workflow: number for number, of_one in enumerate(groups.values()) for curve in of_one}
    sections = [
        curves_section(curves, groups, links),
        paired_section(facts.paired()),
        uncertainty_section(curves, groups),
        selection_section(facts.pool_map(), facts.gallery(), numbers),
        calibration_section(facts.calibrations(), numbers, list(groups), links),
        time_section(spent, links),
        failures_section(facts.failures(), summary.begun, links),
        provenance_section(facts.provenance(), path),
    ]
    name = safe(Path(path).name or path)
    script, style = (
        asset("uplot/uPlot.iife.min.js") + "\n" + asset("page.js"),
        asset("uplot/uPlot.min.css") + asset("page.css"),
    )
    made = time.strftime("%Y-%m-%d %H:%M:%S")
    document = h.html(lang="en")[
        h.head[
            h.meta(charset="utf-8"),
            h.meta(name="viewport", content="width=device-width, initial-scale=1"),
            h.meta(name="color-scheme", content="light dark"),
            h.meta(http_equiv="Content-Security-Policy", content=_policy(script, style)),
            h.title[f"{name}: ROSE report"],
            h.style[Markup(style)],
        ],
        h.body[
            h.header[
                h.h1[name],
                h.p[safe(f"{found.state}; this report was made {made}")],
                h.nav(aria_label="sections")[(h.a(href=f"#{anchor}")[title] for anchor, title in _SECTIONS.items())],
            ],
            h.main[
                answer_section(found, curves, spent), sections, tasks_section(facts.table, summary.begun, links, path)
            ],
            h.script[Markup(script)],
        ],
    ]
    return str(document)


def asset(name: str) -> str:
    """Return one of the files that pages are made with."""
    return (files("rose.watch") / "assets" / name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """Return a content security policy under which nothing runs but our own script, and nothing is fetched."""
    digests = [_digest(text) for text in (script, style)]
    return f"default-src 'none'; img-src data:; script-src '{digests[0]}'; style-src '{digests[1]}'"


def _digest(text: str) -> str:
    import base64

    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
