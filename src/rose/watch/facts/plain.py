"""Turn what is known of a run into plain JSON, for programs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rose.store import Driver
from rose.watch.facts import Facts
from rose.watch.facts.curves import main_measure, measures
from rose.watch.summary import to_dict


def to_plain(facts: Facts) -> dict[str, Any]:
    """Return what a report says, in plain JSON: times in seconds, since the run began where they are in pictures."""
    spent, curves, places, compared = facts.time(), facts.curves(), facts.pool_map(), facts.paired()
    return {
        "summary": to_dict(facts.summary()),
        "answer": _plain(facts.answer(spent)),
        "worth": [one.to_dict() for one in facts.worth()],
        "measure": main_measure(curves),
        "measures": measures(curves),
        "curves": _plain(curves),
        "comparison": None if compared is None else compared.to_dict(),
        "map": _plain(places),
        "calibration": _plain(facts.calibrations()),
        "time": {**_plain(spent), "by_role": _plain(spent.by_role), "cost_per_label": spent.cost_per_label},
        "failures": _plain(facts.failures()),
        "provenance": _plain(facts.provenance()),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Driver):
        return vars(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
