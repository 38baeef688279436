"""Say where the chosen candidates lie, and what they look like where they are images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.watch.facts.curves import Curve
from rose.watch.facts.remembered import Record

GALLERY = 32  # images of each workflow, the first and the last it chose
_BACKGROUND = 2_000  # candidates that are shown beside the chosen ones
_MARKED = 4_000  # chosen ones that are shown, of all workflows
_FIRST = 500  # those labelled first
_EDGE = 96  # pixels that an image is shown with, at most


@dataclass(frozen=True)
class Chosen:
    """Hold a chosen candidate: its place on the map (None: not known), and in which iteration it was chosen."""

    candidate: int
    iteration: int
    place: tuple[float, ...] | None


@dataclass(frozen=True)
class PoolMap:
    """Hold a map of the candidates.

    Attributes:
        axes: the names of one or two coordinates.
        background: `[n, 1 or 2]` places of candidates, of large pools of some.
        initial: those labelled first, for all workflows.
        chosen: by workflow, in the order of choosing.
        dropped: those that could not be simulated.
        count: how many candidates there are.
        unplaced: how many chosen ones have no place here: they are large, and the pool too.
    """

    axes: Sequence[str]
    background: np.ndarray
    initial: Sequence[Chosen]
    chosen: Mapping[str, Sequence[Chosen]]
    dropped: Sequence[Chosen]
    count: int
    unplaced: int


@dataclass(frozen=True)
class Image:
    """Hold a chosen candidate that is an image: `[height, width]` or `[height, width, 3]` uint8."""

    candidate: int
    iteration: int
    pixels: np.ndarray


def pool_map(
    reader: Record, note: Mapping[str, Any], curves: Sequence[Curve], initial: Sequence[int]
) -> PoolMap | None:
    """Return the map of a pool, of which `note` says where candidates lie; None: it does not."""
    if not note.get("places"):
        return None
    places = np.asarray(note["places"], dtype=np.float64)
    known = {int(index): tuple(place) for index, place in zip(note["indices"], places.tolist(), strict=True)}
    chosen = {curve.workflow: [(c, p.iteration) for p in curve.points for c in p.chosen] for curve in curves}
    dropped = {c: p.iteration for curve in curves for p in curve.points for c in p.dropped}
    most = max(_MARKED // max(len(chosen), 1), 100)
    chosen = {name: _some(of_one, most) for name, of_one in chosen.items()}
    asked = {c for of_one in chosen.values() for c, _ in of_one} | set(dropped) | set(initial)
    known |= _projected(reader, note.get("projection"), asked - known.keys())
    rows = np.unique(np.linspace(0, len(places) - 1, min(len(places), _BACKGROUND)).astype(np.int64))
    return PoolMap(
        axes=[str(axis) for axis in note["axes"]],
        background=places[rows],
        initial=[Chosen(c, -1, known.get(c)) for c in _some(list(initial), _FIRST)],
        chosen={name: [Chosen(c, i, known.get(c)) for c, i in of_one] for name, of_one in chosen.items()},
        dropped=[Chosen(c, i, known.get(c)) for c, i in dropped.items()],
        count=int(note["count"]),
        unplaced=len(asked - known.keys()),
    )


def gallery(reader: Record, curves: Sequence[Curve], most: int = GALLERY) -> dict[str, list[Image]]:
    """Return what workflows have chosen where candidates are images: arrays `[h, w]`, or flat ones that look so."""
    wanted: dict[str, list[tuple[int, int]]] = {}
    for curve in curves:
        chosen = [(c, point.iteration) for point in curve.points for c in point.chosen]
        wanted[curve.workflow] = chosen if len(chosen) <= most else chosen[: most // 2] + chosen[-most // 2 :]
    samples = reader.samples({c for of_one in wanted.values() for c, _ in of_one})
    arrays = {c: one for c, one in samples.items() if isinstance(one, np.ndarray) and one.dtype.kind in "fiub"}
    shape = _image_shape(list(arrays.values()))
    if shape is None:
        return {}
    values = np.concatenate([one.ravel() for one in arrays.values()]).astype(np.float64)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    found = {
        name: [Image(c, i, _pixels(arrays[c].reshape(shape), low, high)) for c, i in of_one if c in arrays]
        for name, of_one in wanted.items()
    }
    return {name: images for name, images in found.items() if images}


def _some(listed: list[Any], most: int) -> list[Any]:
    return listed if len(listed) <= most else [listed[i] for i in np.linspace(0, len(listed) - 1, most).astype(int)]


def _projected(
    reader: Record, projection: Mapping[str, Any] | None, candidates: set[int]
) -> dict[int, tuple[float, ...]]:
    """Return the places of labelled candidates whose places are not noted, from what they are themselves."""
    if projection is None or not candidates:
        return {}
    centre, scale, components = (np.asarray(projection[name]) for name in ("centre", "scale", "components"))
    found = {}
    for candidate, x in reader.samples(candidates).items():
        row = np.asarray(x).ravel()
        if row.shape == centre.shape and row.dtype.kind in "fiub":
            place = np.nan_to_num((row.astype(np.float64) - centre) / scale) @ components
            found[candidate] = tuple(float(value) for value in place)
    return found


def _image_shape(arrays: Sequence[np.ndarray]) -> tuple[int, ...] | None:
    """Return the shape in which all these are images: `[h, w]` or `[h, w, channels]`; None: they are not."""
    shapes = {one.shape for one in arrays}
    if len(arrays) < 2 or len(shapes) != 1:
        return None
    (shape,) = shapes
    if len(shape) == 2 and min(shape) >= 4:
        return shape
    if len(shape) == 3 and min(shape[:2]) >= 4 and shape[2] in (1, 3, 4):
        return shape
    if len(shape) == 3 and min(shape[1:]) >= 4 and shape[0] == 1:
        return shape[1:]
    edge = math.isqrt(shape[0]) if len(shape) == 1 else 0
    if edge * edge != (shape[0] if shape else 0) or edge < 7:
        return None
    return (edge, edge) if _neighbours_are_alike(np.stack(arrays).reshape(-1, edge, edge)) else None


def _neighbours_are_alike(images: np.ndarray) -> bool:
    """Return whether pixels differ much less from their neighbours than from any other, both ways."""
    values = images.astype(np.float64)
    flat = values.reshape(len(values), -1)
    others = np.abs(flat - np.roll(flat, 3 * values.shape[1] + 3, axis=1)).mean()  # three rows and columns away
    across = np.abs(np.diff(values, axis=2)).mean()
    down = np.abs(np.diff(values, axis=1)).mean()
    return bool(others > 0 and across < 0.85 * others and down < 0.85 * others)


def _pixels(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return an image as grey or coloured pixels, its lowest value of all black, made smaller where it is large."""
    step = max(1, -(-max(image.shape[:2]) // _EDGE))
    image = image[::step, ::step].astype(np.float64)
    if image.ndim == 3:
        image = image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3]
    return (np.nan_to_num((image - low) / ((high - low) or 1.0)) * 255).clip(0, 255).astype(np.uint8)
