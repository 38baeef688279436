"""Show learning curves and the uncertainty: drawn here as SVG, and again by the page's script, to be looked into."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import htpy as h
from markupsafe import Markup

from rose.watch.facts.curves import Curve, Point, is_higher_better, main_measure, measures
from rose.watch.fragments import _svg as svg
from rose.watch.fragments.links import Links
from rose.watch.fragments.tables import folded, safe, spread, table

COLOURS = 8  # workflows that can be told apart; the ninth looks like the first
_POINTS = 1_000  # of a curve that are drawn
_ROWS = 800  # of the tables of all workflows
_CHARTS = 12  # figures of the hold-out that are drawn
_SIMULATED = "seconds of simulation"


def curves_section(curves: Sequence[Curve], links: Links) -> h.Element:
    """Return how good each workflow was after so many labels, so much time, so much simulation."""
    main, known = main_measure(curves), measures(curves)
    if not any(curve.points for curve in curves):
        return h.section("#curves")[h.h2["Learning curves"], h.p["No iteration is complete."]]
    others = [name for name in known if name != main][: _CHARTS - 1]
    return h.section("#curves")[
        h.h2["Learning curves"],
        workflow_legend([curve.workflow for curve in curves]),
        _choice(),
        h.div(".charts")[
            main and _chart(curves, main, "wide"),
            [_chart(curves, name) for name in others],
        ],
        not main
        and h.p["How good the models are was not measured: the pool has no hold-out, and there is no stop criterion."],
        folded("the numbers", *(_numbers(curve, known, links, max(_ROWS // len(curves), 12)) for curve in curves)),
        data_of(curves, [*known, "uncertainty"]),
    ]


def uncertainty_section(curves: Sequence[Curve], links: Links) -> h.Element:
    """Return the uncertainty after each iteration."""
    told = [curve for curve in curves if curve.last("uncertainty") is not None]
    return h.section("#uncertainty")[
        h.h2["Uncertainty"],
        h.p["The mean score of the candidates that come first: what a threshold is compared with."],
        [workflow_legend([c.workflow for c in curves]), h.div(".charts")[_chart(curves, "uncertainty", "wide")]]
        if told
        else h.p["No iteration has told one."],
    ]


def workflow_legend(names: Sequence[str]) -> h.Element:
    """Return which colour and dash is which workflow."""
    return h.ul(".legend")[(h.li[h.span(class_=f"swatch {colour(i)}"), safe(name)] for i, name in enumerate(names))]


def colour(number: int) -> str:
    """Return the class of a workflow's colour."""
    return f"c{number % COLOURS}"


def data_of(curves: Sequence[Curve], names: Sequence[str]) -> h.Element:
    """Return what the script draws curves from."""
    told = []
    for number, curve in enumerate(curves):
        points = _thinned(curve.points)
        values = {name: _thinned(curve.values(name)) for name in names}
        told.append(
            {
                "name": safe(curve.workflow),
                "colour": number % COLOURS,
                "iteration": [point.iteration for point in points],
                "labels": [point.labels for point in points],
                "seconds": [round(point.seconds, 3) for point in points],
                "cost": [round(point.cost, 3) for point in points],
                "values": {name: [_short(value) for value in of_one] for name, of_one in values.items()},
            }
        )
    text = json.dumps(told).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return h.script("#curve-data", type="application/json")[Markup(text)]


def _choice() -> h.Element:
    choices = [("labels", "labels"), ("time", "seconds"), ("cost", "cost")]
    return h.div(".choice", role="group", aria_label="horizontal axis", hidden=True)[
        (h.button(type="button", data_x=of, aria_pressed=str(of == "labels").lower())[said] for said, of in choices)
    ]


def _chart(curves: Sequence[Curve], measure: str, kind: str = "") -> h.Element:
    """Return a chart of one figure, against labels (iterations where they are the user's)."""
    counted = all(point.labels is not None for curve in curves for point in curve.points) and measure != "uncertainty"
    lines = []
    for curve in curves:
        pairs = zip(_thinned(curve.points), _thinned(curve.values(measure)), strict=True)
        lines.append([(_x(point, counted), math.nan if value is None else value) for point, value in pairs])
    frame = svg.Frame(
        svg.Axis.of("labels" if counted else "iteration", *([x for x, _ in one] for one in lines)),
        svg.Axis.of(safe(measure), *([y for _, y in one] for one in lines)),
        *((840, 340) if kind else ()),
    )
    marks: list[h.Node] = []
    for number, points in enumerate(lines):
        marks.append(svg.line(frame, points, f"{colour(number)} dash{number // COLOURS % 3}"))
        if len(points) <= 60:
            marks.append(svg.dots(frame, points, colour(number), 2.5))
    better = "" if measure == "uncertainty" else f" ({'higher' if is_higher_better(measure) else 'lower'} is better)"
    return h.figure(class_=f"curve {kind}".strip(), data_measure=measure)[
        h.figcaption[safe(measure) + better], svg.chart(frame, safe(f"{measure} of each workflow"), marks)
    ]


def _x(point: Point, counted: bool) -> float:
    return float(point.labels if counted and point.labels is not None else point.iteration)


def _numbers(curve: Curve, names: Sequence[str], links: Links, most: int) -> h.Element:
    columns = [curve.values(name) for name in names]
    rows = [
        (
            links.iteration(curve.workflow, point.iteration),
            point.labels,
            round(point.seconds, 3),
            round(point.cost, 3),
            *(column[number] for column in columns),
            point.uncertainty,
            ", ".join(map(str, point.chosen[:20])) + (", ..." if len(point.chosen) > 20 else ""),
        )
        for number in spread(len(curve.points), most)
        for point in [curve.points[number]]
    ]
    heads = ("iteration", "labels", "seconds", _SIMULATED, *map(safe, names), "uncertainty", "chosen next")
    return table(heads, rows, safe(f"{curve.workflow}: iterations"), len(curve.points))


def _thinned(listed: Sequence[Any]) -> list[Any]:
    """Return as many as can be drawn, the first and the last among them."""
    return [listed[i] for i in spread(len(listed), _POINTS)]


def _short(value: float | None) -> float | None:
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None
