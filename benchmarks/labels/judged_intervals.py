"""Judge 90 % intervals and label sets of the default's last models: what they cover, and what they cost in width.

Half of the test set calibrates, the other half judges; and from the labels alone, by cross-validation ("intervals-cv").
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from rose.errors import RoseError

LEVEL = 0.9


def judged(problem: Any, result: Any, crossed: bool) -> Iterator[dict[str, Any]]:
    """Yield a record of a way to calibrate, where this ROSE has intervals; `crossed`: by ten refits instead."""
    if "level" not in inspect.signature(result.predict).parameters:
        return
    calibration = problem.X_test[::2], problem.y_test[::2]
    ways: dict[str, dict[str, Any]] = {"intervals": {"calibration": calibration}}
    if crossed:
        ways = {"intervals-cv": {"pool": problem.X}}
    for name, options in ways.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = result.predict(problem.X_test[1::2], LEVEL, **options)
                kept = {"method": name, **_judged(found, problem.y_test[1::2])}
                if name == "intervals" and found.sets is None:
                    plain = result.predict(calibration[0]).mean
                    kept["plain"] = _plain(plain, calibration[1], found.mean, problem.y_test[1::2])
        except RoseError as error:
            kept = {"method": name, "failed": f"{type(error).__name__}: {error}"[:200]}
        yield kept


def _judged(found: Any, y: np.ndarray) -> dict[str, float]:
    if found.sets is None:
        inside = (found.lower <= y) & (y <= found.upper)
        return {"coverage": float(inside.mean()), "score": interval_score(found.lower, found.upper, y)}
    names = np.arange(found.sets.shape[1]) if found.classes is None else np.asarray(found.classes)
    return {
        "coverage": float((found.sets & (names[None] == y[:, None])).any(axis=1).mean()),
        "size": float(found.sets.sum(axis=1).mean()),
    }


def interval_score(lower: np.ndarray, upper: np.ndarray, y: np.ndarray) -> float:
    """The mean width, and by 2 / (1 - level) how far outside the truth is (Gneiting and Raftery 2007)."""
    outside = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    return float(np.mean(upper - lower + 2 / (1 - LEVEL) * outside))


def _plain(mean: np.ndarray, truth: np.ndarray, new: np.ndarray, y: np.ndarray) -> float:
    """The score of intervals that are as wide everywhere: split conformal prediction of |error|."""
    place = min(len(truth), int(np.ceil((len(truth) + 1) * LEVEL))) - 1
    half = np.sort(np.abs(truth - mean))[place]
    return interval_score(new - half, new + half, y)
