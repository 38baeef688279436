"""Show where the chosen samples lie, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import htpy as h

from rose.watch.facts.selection import Chosen, Image, PoolMap
from rose.watch.fragments import _svg as svg
from rose.watch.fragments._png import data_url
from rose.watch.fragments.curves import colour
from rose.watch.fragments.tables import safe

_BACKGROUND = "map-background"
_MOST = 8  # workflows of which there are pictures
_AGES = 4  # shades: the first quarter of what was chosen, ..., the last


def selection_section(
    found: PoolMap | None, gallery: Mapping[str, Sequence[Image]], numbers: Mapping[str, int]
) -> h.Element:
    """Return where the chosen candidates lie among all, and pictures of them; `numbers` are those of the colours."""
    return h.section("#selection")[
        h.h2["What was chosen"],
        h.p["Where candidates lie is not recorded: they are no numbers, or the run is older."]
        if found is None
        else _maps(found, numbers),
        [_images(name, images) for name, images in list(gallery.items())[:_MOST]],
    ]


def _maps(found: PoolMap, numbers: Mapping[str, int]) -> list[h.Node]:
    shown = len(found.background)
    some = "" if shown == found.count else f" ({shown:,} of {found.count:,} are shown)"
    more = f" {found.unplaced} chosen ones have no place here." if found.unplaced else ""
    frame = _frame(found)
    points = [(float(row[0]), 0.0 if len(found.axes) == 1 else float(row[1])) for row in found.background]
    background = h.Element("g")(id=_BACKGROUND)[svg.dots(frame, points, "candidate", 1.6)]  # once for all maps
    again = h.Element("use")(href=f"#{_BACKGROUND}")
    return [
        h.p[
            f"Grey: candidates{some}. Rings: labelled first. Crosses: dropped. "
            f"Colours: chosen, the later the stronger.{more}"
        ],
        h.div(".charts")[
            (
                _map(found, frame, again if place else background, numbers[name], name)
                for place, name in enumerate(list(found.chosen)[:_MOST])
            )
        ],
    ]


def _frame(found: PoolMap) -> svg.Frame:
    """Return the frame that the maps of all workflows have."""
    every = [*found.initial, *found.dropped, *(one for chosen in found.chosen.values() for one in chosen)]
    places = [one.place for one in every if one.place]
    y = svg.Axis.of("iteration", [0.0, 1.0 + max((one.iteration for one in every), default=0)])
    if len(found.axes) > 1:
        y = svg.Axis.of(safe(found.axes[1]), found.background[:, 1].tolist(), [place[1] for place in places])
    x = svg.Axis.of(safe(found.axes[0]), found.background[:, 0].tolist(), [place[0] for place in places])
    return svg.Frame(x, y, height=320)


def _map(found: PoolMap, frame: svg.Frame, background: h.Element, number: int, name: str) -> h.Element:
    chosen, single = found.chosen[name], len(found.axes) == 1
    last = max((one.iteration for one in chosen), default=0)
    first = [_point(one, single, 0.0) for one in found.initial if one.place]
    own = [(one, _point(one, single, one.iteration + 1.0)) for one in chosen if one.place]
    dropped = [_point(one, single, one.iteration + 1.0) for one in found.dropped if one.place]
    marks: list[h.Node] = [background, svg.dots(frame, first, "first", 3.5)]
    for age in range(_AGES):
        of_age = [point for one, point in own if min(_AGES * one.iteration // (last + 1), _AGES - 1) == age]
        marks.append(svg.dots(frame, of_age, f"{colour(number)} age{age}", 3.2))
    marks.append(svg.crosses(frame, dropped, "dropped"))
    return h.figure[
        h.figcaption[safe(f"{name}: {len(chosen)} chosen")],
        svg.chart(frame, safe(f"map of the candidates, with those that {name} has chosen"), marks),
    ]


def _point(one: Chosen, single: bool, height: float) -> tuple[float, float]:
    assert one.place is not None
    return one.place[0], height if single else one.place[1]


def _images(name: str, images: Sequence[Image]) -> h.Element:
    return h.figure(".gallery")[
        h.figcaption[safe(f"{name}: chosen candidates, the first and the last")],
        h.ul[
            (
                h.li[
                    h.img(src=data_url(one.pixels), alt=f"candidate {one.candidate}"),
                    h.span[f"{one.candidate}", h.br, f"it. {one.iteration}"],
                ]
                for one in images
            )
        ],
    ]
