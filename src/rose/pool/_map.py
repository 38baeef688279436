"""Note where candidates lie, for those who look at a run: two coordinates of each, of large pools of some."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from rose.pool._coordinates import Coordinates
from rose.pool.pool import Pool
from rose.store import Run

NOTE = "pool map"

_SHOWN = 5_000  # candidates whose place is noted; of larger pools, that of the labelled ones is found by projecting
_FITTED = 500  # candidates that the principal components are those of
_NUMBERS = 4_000_000  # that are looked at, at most: wide candidates are fewer
_PROJECTED = 4_096  # numbers in a candidate for which the projection itself is noted


async def note_map(run: Run, pool: Pool) -> None:
    """Note the map of a pool, once for each size that it has."""
    near = pool.near
    if run.temporary or near is None or (await run.journal.meta(NOTE) or {}).get("count") == len(pool):
        return
    await run.journal.note(NOTE, await asyncio.to_thread(pool_map, pool, near))


def pool_map(pool: Pool, near: Coordinates) -> dict[str, Any]:
    """Return the map in plain JSON.

    `axes` are the names of the coordinates, `indices` the candidates and `places` theirs, `[n, 2]` (`[n, 1]` where a
    candidate is one number). `projection` gives the places of others: `((x - centre) / scale) @ components`.
    `shape` is that of a candidate.
    """
    own = pool.features is None
    width = near.of(np.array([0])).shape[1]
    shown = _spread(len(pool), min(_SHOWN, max(_NUMBERS // width, 10)))
    rows = np.asarray(near.of(shown), dtype=np.float64)
    axes, components, middle = _axes(rows[_spread(len(rows), _FITTED)], "candidate" if own else "feature")
    told: dict[str, Any] = {
        "count": len(pool),
        "axes": axes,
        "indices": shown.tolist(),
        "places": _rounded((rows - middle) @ components),
        "shape": list(getattr(pool.X, "shape", (0,)))[1:],
    }
    if own and width <= _PROJECTED and len(shown) < len(pool) and near.centre is not None and near.scale is not None:
        centre = near.centre + middle * near.scale
        told["projection"] = {
            "centre": centre.tolist(),
            "scale": near.scale.tolist(),
            "components": components.tolist(),
        }
    return told


def _axes(rows: np.ndarray, what: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the names of the coordinates, what they are of the columns `[F, 2]`, and the origin."""
    width = rows.shape[1]
    if width <= 2:
        return [f"{what}'s column {i + 1}" if width > 1 else what for i in range(width)], np.eye(width), np.zeros(width)
    middle = rows.mean(axis=0)
    _, values, vectors = np.linalg.svd(rows - middle, full_matrices=False)
    shares = values**2 / max(float((values**2).sum()), 1e-300)
    components = np.zeros((width, 2))
    components[:, : len(vectors[:2])] = vectors[:2].T
    components *= np.where(components[np.abs(components).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    names = [f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares[:2])]
    return names, components, middle


def _spread(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _rounded(places: np.ndarray) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in row] for row in places.tolist()]
