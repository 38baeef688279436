"""Show learning curves and the uncertainty: drawn here as SVG, and again by the page's script, to be looked into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import htpy as h
import numpy as np
from markupsafe import Markup

from rose.watch.facts.curves import Curve, direction, main_measure, measures
from rose.watch.facts.repeats import Drawn, drawn
from rose.watch.fragments import _svg as svg
from rose.watch.fragments.links import Links
from rose.watch.fragments.tables import folded, safe, spread, table

COLOURS = 8  # workflows that can be told apart; the ninth has the first one's colour, dashed
_POINTS = 1_000  # of a curve that are drawn
_ROWS = 800  # of the tables of all workflows
_CHARTS = 12  # figures of the hold-out that are drawn
_BANDS = "Lines are means over repeats with other seeds, bands go from the least to the largest."
_DOTTED = 60  # points of a curve up to which each is marked

Groups = Mapping[str, Sequence[Curve]]  # workflows by name; repeats of one with other seeds together


def curves_section(curves: Sequence[Curve], groups: Groups, links: Links, data: bool = True) -> h.Element:
    """Return how good each workflow was after so many labels, so much time, so much simulation.

    Args:
        curves, groups: of the workflows.
        links: lead to the tasks of an iteration.
        data: whether what the page's script draws from is in it.
    """
    main, known = main_measure(curves), measures(curves)
    if not any(curve.points for curve in curves):
        return h.section("#curves")[h.h2["Learning curves"], h.p["No iteration is complete."]]
    others = [name for name in known if name != main][: _CHARTS - 1]
    lines = drawn(groups, [*known, "uncertainty"])
    most = max(_ROWS // len(curves), 12)
    return h.section("#curves")[
        h.h2["Learning curves"],
        h.p[_BANDS] if any(one.low for one in lines) else None,
        workflow_legend(list(groups)),
        _choice(),
        h.div(".charts")[
            _chart(lines, main, direction(main, curves), "wide") if main else None,
            [_chart(lines, name, direction(name, curves)) for name in others],
        ],
        None if main else h.p["How good the models are was not measured: there is no hold-out, and no stop criterion."],
        folded("the numbers", *(_numbers(curve, known, links, most) for curve in curves)),
        data_script(lines) if data else None,
    ]


def uncertainty_section(curves: Sequence[Curve], groups: Groups) -> h.Element:
    """Return the uncertainty after each iteration."""
    told = any(curve.last("uncertainty") is not None for curve in curves)
    chart = [
        workflow_legend(list(groups)),
        h.div(".charts")[_chart(drawn(groups, ["uncertainty"]), "uncertainty", "", "wide")],
    ]
    return h.section("#uncertainty")[
        h.h2["Uncertainty"],
        h.p["The mean score of the candidates that come first: what a threshold is compared with."],
        chart if told else h.p["No iteration has told one."],
    ]


def workflow_legend(names: Sequence[str]) -> h.Element:
    """Return which colour is which workflow."""
    return h.ul(".legend")[(h.li[h.span(class_=f"swatch {colour(i)}"), safe(name)] for i, name in enumerate(names))]


def colour(number: int) -> str:
    """Return the class of a workflow's colour."""
    return f"c{number % COLOURS}"


def curve_data(lines: Sequence[Drawn]) -> list[dict[str, Any]]:
    """Return what the page's script draws curves from, in plain JSON."""
    told = []
    for number, one in enumerate(lines):
        at = spread(len(one.iteration), _POINTS)
        several = {"low": _rounded_each(one.low, at), "high": _rounded_each(one.high, at)} if one.low else {}
        told.append(
            {
                "name": safe(one.name),
                "colour": number % COLOURS,
                **{name: _rounded(getattr(one, name)[at]) for name in ("iteration", "labels", "seconds", "cost")},
                "values": _rounded_each(one.values, at),
                **several,
            }
        )
    return told


def data_script(lines: Sequence[Drawn]) -> h.Element:
    """Return the same as part of a page, where nothing in it can end the script."""
    text = json.dumps(curve_data(lines)).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return h.script("#curve-data", type="application/json")[Markup(text)]


def _choice() -> h.Element:
    choices = [("labels", "labels"), ("time", "seconds"), ("cost", "cost")]
    return h.div(".choice", role="group", aria_label="horizontal axis", hidden=True)[
        (h.button(type="button", data_x=of, aria_pressed=str(of == "labels").lower())[said] for said, of in choices)
    ]


def _chart(lines: Sequence[Drawn], measure: str, better: str, kind: str = "") -> h.Element:
    """Return a chart of one figure, `better` so, against labels (iterations where they are the user's)."""
    counted = measure != "uncertainty" and all(np.isfinite(one.labels).all() for one in lines)
    shown = [
        (one.labels if counted else one.iteration, [of[measure] for of in (one.values, one.low, one.high) if of])
        for one in lines
    ]
    frame = svg.Frame(
        svg.Axis.of("labels" if counted else "iteration", *(x for x, _ in shown)),
        svg.Axis.of(safe(measure), *(column for _, columns in shown for column in columns)),
        *((840, 340) if kind else ()),
    )
    marks: list[h.Node] = []
    for number, (x, columns) in enumerate(shown):
        line, *edges = (_pairs(x, column) for column in columns)
        if edges:
            marks.append(svg.band(frame, edges[0], edges[1], colour(number)))
        marks.append(svg.line(frame, line, f"{colour(number)} dash{number // COLOURS % 3}"))
        if len(x) <= _DOTTED:
            marks.append(svg.dots(frame, line, colour(number), 2.5))
    return h.figure(class_=f"curve {kind}".strip(), data_measure=measure)[
        h.figcaption[safe(measure) + (f" ({better})" if better else "")],
        svg.chart(frame, safe(f"{measure} of each workflow"), marks),
    ]


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
    heads = ("iteration", "labels", "seconds", "seconds of simulation", *map(safe, names), "uncertainty", "chosen next")
    return table(heads, rows, safe(f"{curve.workflow}: iterations"), len(curve.points))


def _pairs(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """Return the points of a line, as many as can be drawn."""
    at = spread(len(x), _POINTS)
    return list(zip(x[at].tolist(), y[at].tolist(), strict=True))


def _rounded_each(columns: Mapping[str, np.ndarray], at: Sequence[int]) -> dict[str, list[float | None]]:
    return {name: _rounded(column[at]) for name, column in columns.items()}


def _rounded(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]
