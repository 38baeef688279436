"""Draw single pictures of a run for papers, by matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import MissingPackageError
from rose.watch.facts import Facts
from rose.watch.facts.calibration import Calibration
from rose.watch.facts.curves import Curve, measures
from rose.watch.facts.selection import PoolMap
from rose.watch.facts.time import Gantt
from rose.watch.terminal import clean

# Okabe and Ito (2008): colours that people who confuse colours tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_ROLES = {"simulate": 1, "train": 0, "predict": 5, "score": 2}
_DPI = 200


def write_pictures(facts: Facts, folder: Path, only: Collection[str] = ()) -> list[Path]:
    """Write a PNG for each picture that there is something for, or `only` those of these names; return where they are.

    Raises:
        MissingPackageError: if matplotlib is not installed.
        OSError: if the disk refuses.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("pictures need matplotlib: pip install 'rose-uq[plot]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in _pictures(facts):
        if only and name not in only:
            continue
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.grid(alpha=0.3)
        draw(axes)
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], dpi=_DPI)
    return written


def _pictures(facts: Facts) -> Iterator[tuple[str, Callable[[Any], None]]]:
    curves, found, places, gantt = facts.curves(), facts.calibrations(), facts.pool_map(), facts.time().gantt
    for measure in (*measures(curves), "uncertainty"):
        if any(curve.last(measure) is not None for curve in curves):
            yield f"curve-{_file(measure)}", lambda axes, measure=measure: _curve(axes, curves, measure)  # type: ignore[misc]
    if places is not None:
        yield "map", lambda axes: _map(axes, places)
    if found:
        yield "calibration", lambda axes: _calibration(axes, found)
    for one in found:
        if one.truth.size:
            name = f"predicted-{_file(one.workflow)}"
            yield name, lambda axes, one=one: _predicted(axes, one)  # type: ignore[misc]
    if gantt is not None:
        yield "workers", lambda axes: _gantt(axes, gantt)


def _curve(axes: Any, curves: Sequence[Curve], measure: str) -> None:
    counted = measure != "uncertainty" and all(p.labels is not None for curve in curves for p in curve.points)
    for number, curve in enumerate(curves):
        x = [point.labels if counted else point.iteration for point in curve.points]
        y = [np.nan if value is None else value for value in curve.values(measure)]
        axes.plot(x, y, "o-", markersize=3, color=_colour(number), label=_said(curve.workflow))
    axes.set(xlabel="labels" if counted else "iteration", ylabel=_said(measure))
    axes.legend()


def _map(axes: Any, places: PoolMap) -> None:
    single = len(places.axes) == 1
    axes.scatter(places.background[:, 0], places.background[:, -1] * (not single), s=3, color="0.75")
    for number, (name, chosen) in enumerate(places.chosen.items()):
        at = [(one.place[0], one.iteration if single else one.place[1]) for one in chosen if one.place]
        if at:
            axes.scatter(*zip(*at, strict=True), s=12, color=_colour(number), label=_said(name))
    axes.set(xlabel=_said(places.axes[0]), ylabel="iteration" if single else _said(places.axes[1]))
    axes.legend()


def _calibration(axes: Any, found: Sequence[Calibration]) -> None:
    axes.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1)
    for number, one in enumerate(found):
        axes.plot(one.claimed, one.found, "o-", markersize=3, color=_colour(number), label=_said(one.workflow))
    classes = found[0].task == "classification"
    axes.set(
        xlabel="confidence" if classes else "interval's level", ylabel="share right" if classes else "share inside"
    )
    axes.legend()


def _predicted(axes: Any, one: Calibration) -> None:
    for output in range(one.truth.shape[1]):
        truth, mean, std = (column[:, output] for column in (one.truth, one.mean, one.std))
        label = f"output {output}" if one.truth.shape[1] > 1 else None
        axes.errorbar(truth, mean, std, fmt="o", markersize=2, linewidth=0.5, color=_colour(output), label=label)
    ends = [float(one.truth.min()), float(one.truth.max())]
    axes.plot(ends, ends, "--", color="0.5", linewidth=1)
    axes.set(xlabel="true value", ylabel="predicted value")
    if one.truth.shape[1] > 1:
        axes.legend()


def _gantt(axes: Any, gantt: Gantt) -> None:
    for role in dict.fromkeys(bar.role for bar in gantt.bars):
        bars = [bar for bar in gantt.bars if bar.role == role]
        axes.barh(
            [bar.lane for bar in bars],
            [bar.end - bar.start for bar in bars],
            left=[bar.start for bar in bars],
            color=COLOURS[_ROLES.get(role, 3)],
            label=_said(role),
        )
    axes.set(xlabel="seconds since the run began", ylim=(len(gantt.lanes) - 0.5, -0.5))
    axes.set_yticks(range(len(gantt.lanes)), [_said(name)[-24:] for name in gantt.lanes], fontsize=6)
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.1))


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _said(text: str) -> str:
    """Return a text that matplotlib shows as it is: between dollar signs it would be mathematics."""
    shown = clean(text).replace("$", r"\$")
    return shown if not shown.startswith("_") else " " + shown


def _file(name: str) -> str:
    """Return a name that is safe for a file."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:80]
