"""Draw charts as SVG that follows the page's colours, prints sharply, and needs no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import htpy as h
import numpy as np

WIDTH, HEIGHT = 400, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 44


@dataclass(frozen=True)
class Axis:
    """Describe an axis: what it shows, from where to where."""

    label: str
    low: float
    high: float

    @classmethod
    def of(cls, label: str, *values: Iterable[float], zero: bool = False) -> Axis:
        """Return an axis on which all finite values have a place, with a little room."""
        found = np.concatenate([np.zeros(1 if zero else 0), *(np.asarray([*one], dtype=np.float64) for one in values)])
        found = found[np.isfinite(found)]
        low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
        room = (high - low) * 0.04 or abs(high) * 0.05 or 0.5
        return cls(label, 0.0 if zero and low == 0 else low - room, high + room)

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values on it.

        >>> Axis("", 0.0, 97.0).ticks()
        [0.0, 20.0, 40.0, 60.0, 80.0]
        """
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


@dataclass(frozen=True)
class Frame:
    """Hold the two axes of a chart, and turn values into places."""

    x: Axis
    y: Axis
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point."""
        inner = self.width - self.left - _RIGHT, self.height - _TOP - _BOTTOM
        return self.left + self.x.share(x) * inner[0], _TOP + (1 - self.y.share(y)) * inner[1]


def chart(frame: Frame, title: str, *marks: h.Node) -> h.Element:
    """Return a chart with its axes; `title` is what screen readers say."""
    return h.svg(".chart", viewBox=f"0 0 {frame.width} {frame.height}", role="img", aria_label=title)[
        _grid(frame), marks
    ]


def text(x: float, y: float, said: str, anchor: str = "start", kind: str = "") -> h.Element:
    """Return a text at a place."""
    return h.Element("text")(kind and f".{kind}", x=_n(x), y=_n(y), text_anchor=anchor)[said]


def line(frame: Frame, points: Sequence[tuple[float, float]], kind: str) -> h.Node:
    """Return a line through points; those that are not finite break it."""
    path, pen = [], "M"
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        px, py = frame.at(x, y)
        path.append(f"{pen}{_n(px)} {_n(py)}")
        pen = "L"
    return h.Element("path")(class_=f"line {kind}", d="".join(path))


def band(frame: Frame, low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]], kind: str) -> h.Node:
    """Return the area between two lines, where both are finite."""
    pairs = [(a, b) for a, b in zip(low, high, strict=True) if math.isfinite(a[1]) and math.isfinite(b[1])]
    places = [frame.at(*a) for a, _ in pairs] + [frame.at(*b) for _, b in reversed(pairs)]
    d = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in places) + "z" if places else ""
    return h.Element("path")(class_=f"fill band {kind}", d=d)


def dots(frame: Frame, points: Iterable[tuple[float, float]], kind: str, radius: float = 3.0) -> h.Node:
    """Return a round mark at each point, all as one shape."""
    r = _n(radius)
    path = []
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            px, py = frame.at(x, y)
            path.append(
                f"M{_n(px - radius)} {_n(py)}a{r} {r} 0 1 0 {_n(2 * radius)} 0a{r} {r} 0 1 0 {_n(-2 * radius)} 0"
            )
    return h.Element("path")(class_=f"dots {kind}", d="".join(path))


def crosses(frame: Frame, points: Iterable[tuple[float, float]], kind: str, radius: float = 3.5) -> h.Node:
    """Return a cross at each point, all as one shape."""
    r, path = radius, []
    for x, y in points:
        px, py = frame.at(x, y)
        path.append(
            f"M{_n(px - r)} {_n(py - r)}L{_n(px + r)} {_n(py + r)}M{_n(px - r)} {_n(py + r)}L{_n(px + r)} {_n(py - r)}"
        )
    return h.Element("path")(class_=f"line {kind}", d="".join(path))


def box(x: float, y: float, width: float, height: float, kind: str) -> h.Element:
    """Return a filled rectangle, in places."""
    return h.Element("rect")(class_=kind, x=_n(x), y=_n(y), width=_n(width), height=_n(height))


def boxes(rectangles: Iterable[tuple[float, float, float, float]], kind: str) -> h.Element:
    """Return rectangles (x, y, width, height; in places) as one shape."""
    d = "".join(f"M{_n(x)} {_n(y)}h{_n(w)}v{_n(v)}h{_n(-w)}z" for x, y, w, v in rectangles)
    return h.Element("path")(class_=f"fill {kind}", d=d)


def label(value: float) -> str:
    """Return a tick's text.

    >>> label(0.25), label(120000.0), label(3.0)
    ('0.25', '1.2e+05', '3')
    """
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e5 else f"{value:.4g}"


def _grid(frame: Frame) -> list[h.Node]:
    found: list[h.Node] = []
    left, bottom = frame.at(frame.x.low, frame.y.low)
    right, top = frame.at(frame.x.high, frame.y.high)
    for value in frame.y.ticks():
        _, y = frame.at(frame.x.low, value)
        found += [
            h.Element("path")(".grid", d=f"M{_n(left)} {_n(y)}H{_n(right)}"),
            text(left - 6, y + 4, label(value), "end"),
        ]
    for value in frame.x.ticks():
        x, _ = frame.at(value, frame.y.low)
        found += [
            h.Element("path")(".grid", d=f"M{_n(x)} {_n(top)}V{_n(bottom)}"),
            text(x, bottom + 16, label(value), "middle"),
        ]
    found.append(text((left + right) / 2, frame.height - 6, frame.x.label, "middle", "axis"))
    turned = f"rotate(-90 12 {_n((top + bottom) / 2)})"
    middle = h.Element("text")(".axis", x="12", y=_n((top + bottom) / 2), text_anchor="middle", transform=turned)
    return [*found, middle[frame.y.label]]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
