"""Show how well an ensemble knows what it does not know, and its predictions against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import htpy as h
import numpy as np

from rose.watch.facts.calibration import Calibration
from rose.watch.fragments import _svg as svg
from rose.watch.fragments.curves import colour, workflow_legend
from rose.watch.fragments.links import Links
from rose.watch.fragments.tables import folded, safe, table

_MOST = 8  # workflows of which there are pictures of their own
_OUTPUTS = 4  # of vectors that are drawn
_RELIABILITY = ("reliability: is it as often right as it says?", "confidence", "share right")
_COVERAGE = ("coverage: do its intervals hold what they say?", "interval's level", "share inside")
_DIAGONAL = [(0.0, 0.0), (1.0, 1.0)]


def calibration_section(
    found: Sequence[Calibration], numbers: Mapping[str, int], names: Sequence[str], links: Links
) -> h.Element:
    """Return calibration, error against uncertainty, and predicted against true, on the hold-out.

    `numbers` are those of the workflows' colours, and `names` what those are called.
    """
    if not found:
        return h.section("#calibration")[
            h.h2["Calibration"],
            h.p["Not recorded: the pool has no hold-out, or the run is older."],
        ]
    classes = [one for one in found if one.task == "classification"]
    values = [one for one in found if one.task != "classification"]
    return h.section("#calibration")[
        h.h2["Calibration"],
        h.p["On the hold-out, after the last iteration: ", _after(found, links), "."],
        [h.p[safe(text)] for one in found[:_MOST] if (text := _conformal(one))],
        workflow_legend(names),
        h.div(".charts")[
            _diagonal(classes, numbers, *_RELIABILITY) if classes else None,
            _diagonal(values, numbers, *_COVERAGE) if values else None,
            _errors(found, numbers),
            [
                _predicted(one, output, numbers)
                for one in values[:_MOST]
                for output in range(min(one.truth.shape[1], _OUTPUTS))
            ],
        ],
        h.div(".confusions")[(_confusion(one) for one in classes[:_MOST] if one.confusion.size)],
        folded("the numbers", *(_numbers(one) for one in found)),
    ]


def _conformal(one: Calibration) -> str:
    """Say how wide intervals, or how large label sets, at 90 % are, and what share of the hold-out they hold."""
    sets = one.task == "classification"
    held = one.conformal.get("set_coverage_90" if sets else "coverage_90")
    width = one.conformal.get("set_size_90" if sets else "interval_width_90")
    if width is None:
        return ""
    inside = "" if held is None else f", and hold {100 * held:.1f} % of the hold-out (cross-validated)"
    if sets:
        return f"{one.workflow}: conformal label sets at 90 % have {width:.3g} classes on average{inside}."
    return f"{one.workflow}: conformal intervals at 90 % are {width:.3g} wide on average{inside}."


def _after(found: Sequence[Calibration], links: Links) -> list[h.Node]:
    told: list[h.Node] = []
    for one in found:
        told += [", " if told else "", safe(f"{one.workflow} "), links.task(one.key, str(one.iteration))]
    return told


def _diagonal(found: Sequence[Calibration], numbers: Mapping[str, int], title: str, x: str, y: str) -> h.Element:
    frame = svg.Frame(svg.Axis(x, 0.0, 1.0), svg.Axis(y, 0.0, 1.0), height=320)
    marks: list[h.Node] = [svg.line(frame, _DIAGONAL, "ideal")]
    for one in found:
        points = list(zip(one.claimed.tolist(), one.found.tolist(), strict=True))
        kind = colour(numbers.get(one.workflow, 0))
        marks += [svg.line(frame, points, kind), svg.dots(frame, points, kind)]
    return h.figure[h.figcaption[title], svg.chart(frame, title, marks)]


def _errors(found: Sequence[Calibration], numbers: Mapping[str, int]) -> h.Node:
    told = [one for one in found if len(one.unsure)]
    if not told:
        return None
    # Workflows may have different metrics: what they share is the order, so the groups are what is along.
    frame = svg.Frame(
        svg.Axis("tenth of the samples, the surest first", 0.5, 10.5),
        svg.Axis.of("mean error", *(one.errors for one in told), zero=True),
        height=320,
    )
    marks: list[h.Node] = []
    for one in told:
        places = np.linspace(1, 10, len(one.errors)) if len(one.errors) > 1 else np.array([1.0])
        points = list(zip(places.tolist(), one.errors.tolist(), strict=True))
        kind = colour(numbers.get(one.workflow, 0))
        marks += [svg.line(frame, points, kind), svg.dots(frame, points, kind)]
    title = "error against uncertainty: does it err where it is unsure?"
    return h.figure[h.figcaption[title], svg.chart(frame, title, marks)]


def _predicted(one: Calibration, output: int, numbers: Mapping[str, int]) -> h.Element:
    truth, mean = one.truth[:, output], one.mean[:, output]
    axis = svg.Axis.of("", truth, mean)
    frame = svg.Frame(
        svg.Axis("true value", axis.low, axis.high), svg.Axis("predicted value", axis.low, axis.high), height=320
    )
    marks: list[h.Node] = [svg.line(frame, [(axis.low, axis.low), (axis.high, axis.high)], "ideal")]
    kind = colour(numbers.get(one.workflow, 0))
    if one.std.shape == one.mean.shape:
        spread = one.std[:, output]
        bars = "".join(_bar(frame, *each) for each in zip(truth.tolist(), mean.tolist(), spread.tolist(), strict=True))
        marks.append(h.Element("path")(class_=f"line bars {kind}", d=bars))
    marks.append(svg.dots(frame, zip(truth.tolist(), mean.tolist(), strict=True), kind, 2.2))
    which = f", output {output}" if one.truth.shape[1] > 1 else ""
    title = safe(f"{one.workflow}{which}: predicted against true, with one standard deviation")
    return h.figure[h.figcaption[title], svg.chart(frame, title, marks)]


def _bar(frame: svg.Frame, x: float, y: float, spread: float) -> str:
    at, low = frame.at(x, max(y - spread, frame.y.low))
    _, high = frame.at(x, min(y + spread, frame.y.high))
    return f"M{at:.1f} {low:.1f}V{high:.1f}"


def _confusion(one: Calibration) -> h.Element:
    names = [safe(name)[:24] for name in one.classes]
    most = one.confusion.max() or 1.0
    rows = [
        h.tr[h.th(scope="row")[name], (h.td(class_=f"heat{round(9 * float(v) / most)}")[f"{v:.0f}"] for v in row)]
        for name, row in zip(names, one.confusion, strict=True)
    ]
    return h.figure(".table.confusion")[
        h.figcaption[h.span[safe(f"{one.workflow}: true class (down) and predicted class (across)")]],
        h.div(".scroll", tabindex="0", role="region", aria_label="confusion matrix")[
            h.table[h.thead[h.tr[h.td, (h.th(scope="col")[name] for name in names)]], h.tbody[rows]]
        ],
    ]


def _numbers(one: Calibration) -> h.Element:
    heads = (
        ("confidence", "share right", "samples")
        if one.task == "classification"
        else ("level", "share inside", "samples")
    )
    rows = list(zip(*(column.tolist() for column in (one.claimed, one.found, one.counts)), strict=True))
    figures = [(name, f"{value:.4g}") for name, value in one.conformal.items()]
    groups = list(zip(one.unsure.tolist(), one.errors.tolist(), strict=True))
    return h.div[
        table(heads, rows, safe(f"{one.workflow}: calibration")),
        figures and table(("at 90 %", "is"), figures, safe(f"{one.workflow}: conformal intervals or sets")),
        groups and table(("mean uncertainty", "mean error"), groups, safe(f"{one.workflow}: error by uncertainty")),
    ]
