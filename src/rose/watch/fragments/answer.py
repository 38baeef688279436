"""Show the first screen: what it saved, where the time went, why it stopped."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from rose.watch.facts.answer import Answer, seconds
from rose.watch.facts.curves import Curve, counted, figure, main_measure
from rose.watch.facts.time import Time
from rose.watch.fragments.tables import safe

_SHOWN = 4  # sentences of an answer that are seen at once


def answer_section(found: Answer, curves: Sequence[Curve], spent: Time) -> h.Element:
    """Return the answers, with the figures they are about."""
    return h.section("#answer")[
        _figures(found, curves, spent),
        h.div(".answers")[
            _one("What did it save?", found.saved, "#curves"),
            _one("Where did the time go?", found.spent, "#time", _split(spent)),
            _one("Why did it stop?", found.stopped, "#failures"),
        ],
        found.unknown and h.p(".unknown")[h.b["Not known: "], safe("; ".join(found.unknown)), "."],
    ]


def _figures(found: Answer, curves: Sequence[Curve], spent: Time) -> h.Element:
    measure = main_measure(curves)
    told = [("labels", figure(found.labels), f"of {found.candidates:,} candidates" if found.candidates else "")]
    if not found.labels and any(curve.points and curve.points[-1].labels is None for curve in curves):
        told = []  # they are the user's files, which nobody counts
    if found.headline is not None:
        saved, share, name = found.headline
        told.append(("labels saved", figure(saved), f"{share:.0%} of the control's, by {name}"))
    ends = [(curve.last(measure), curve.workflow) for curve in curves] if measure else []
    for value, name in ends[:1]:
        told.append((str(measure), figure(value), f"at the end of {name}" if len(ends) > 1 else "at the end"))
    told.append(
        ("driven for", seconds(spent.worked), f"on {counted(spent.workers, 'worker')}" if spent.workers else "")
    )
    if spent.busy is not None:
        told.append(("workers busy", f"{spent.busy:.0%}", ""))
    return h.dl(".figures")[
        (h.div[h.dt[safe(name)], h.dd[value], h.dd(".small")[safe(more)]] for name, value, more in told)
    ]


def _one(question: str, sentences: Sequence[str], more: str, picture: h.Node = None) -> h.Element:
    shown, rest = sentences[:_SHOWN], sentences[_SHOWN:]
    return h.article[
        h.h2[question],
        h.ul[(h.li[safe(one)] for one in shown)],
        rest and h.details[h.summary[f"{len(rest)} more"], h.ul[(h.li[safe(one)] for one in rest)]],
        picture,
        h.p(".more")[h.a(href=more)["more"]],
    ]


def _split(spent: Time) -> h.Node:
    """Return one bar of where the tasks' time went."""
    parts = {role: amount for role, amount in spent.by_role.items() if amount > 0}
    total = sum(parts.values())
    if not total:
        return None
    rects, at = [], 0.0
    for role, amount in parts.items():
        width = 480 * amount / total
        rects.append(
            h.Element("rect")(
                class_=f"fill {role_class(role)}", x=f"{at:.1f}", y="0", width=f"{width:.1f}", height="14"
            )
        )
        at += width
    said = ", ".join(f"{role} {amount / total:.0%}" for role, amount in parts.items())
    bar = h.svg(".split", viewBox="0 0 480 14", preserveAspectRatio="none", role="img", aria_label=safe(said))[rects]
    return [bar, role_legend(list(parts))]


_ROLES = ("simulate", "train", "predict", "score", "idle", "driver")


def role_class(role: str) -> str:
    """Return the class that colours what time was spent on."""
    return f"role-{role if role in _ROLES else 'other'}"


def role_legend(roles: Sequence[str]) -> h.Element:
    """Return which colour is what."""
    return h.ul(".legend")[(h.li[h.span(class_=f"swatch {role_class(role)}"), safe(role)] for role in roles)]
