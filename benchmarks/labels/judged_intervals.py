"""Judge 90 % intervals and label sets of the default's last models: what they cover, and what they cost in width.

Half of the test set calibrates, the other half judges; and from the labels alone, by cross-validation ("intervals-cv").
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from rose.errors import RoseError
from rose.scoring.calibration.conformal import conformal_intervals
from rose.scoring.calibration.holdout import interval_score

LEVEL = 0.9


def judged(problem: Any, result: Any, crossed: bool) -> Iterator[dict[str, Any]]:
    """Yield a record of a way to calibrate; `crossed`: by ten refits instead."""
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
        score = interval_score(y, found.lower, found.upper, LEVEL).mean()
        return {"coverage": float(inside.mean()), "score": float(score)}
    names = np.arange(found.sets.shape[1]) if found.classes is None else np.asarray(found.classes)
    return {
        "coverage": float((found.sets & (names[None] == y[:, None])).any(axis=1).mean()),
        "size": float(found.sets.sum(axis=1).mean()),
    }


def _plain(mean: np.ndarray, truth: np.ndarray, new: np.ndarray, y: np.ndarray) -> float:
    """The score of intervals that are as wide everywhere: split conformal prediction of |error|."""
    lower, upper = conformal_intervals(truth, mean, level=LEVEL)(new)
    return float(interval_score(y, lower, upper, LEVEL).mean())
