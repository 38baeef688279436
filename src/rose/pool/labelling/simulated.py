"""The labels in what a simulation gave: one that gives none has failed, and the policies of its stage apply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rose.engine import TaskKey
from rose.errors import TaskFailedError
from rose.pool.candidates.given_labels import rows_of
from rose.store import as_label, not_finite


def simulated_labels(result: Any, candidates: Sequence[int], batch: bool, key: TaskKey) -> list[Any]:
    """The labels in what a simulation gave.

    Raises:
        TaskFailedError: if there are not as many as candidates, or one is None or not finite: a simulation that gives
            none has failed.
    """
    if result is None:
        which = f"of candidate {candidates[0]}" if not batch else f"of {len(candidates)} candidates"
        raise TaskFailedError(f"the simulation {which} returned None; does it `return` its label?", str(key))
    try:
        rows = rows_of(result, "its result") if batch else [result]
        labels = [as_label(row) for row in rows]
    except Exception as error:
        wanted = f"a batch of {len(candidates)} candidates wants as many labels; " if batch else ""
        raise TaskFailedError(f"{wanted}what it returned cannot be used: {error}", str(key)) from error
    if len(labels) != len(candidates):
        raise TaskFailedError(
            f"a batch of {len(candidates)} candidates wants as many labels, got {len(labels)}", str(key)
        )
    for index, label in zip(candidates, labels, strict=True):
        if label is None:
            raise TaskFailedError(f"the simulation gave None as the label of candidate {index}", str(key))
        found = not_finite(label)
        if found is not None:
            what = f"{_short(label)}, which is not finite" + (f": it has {found}" if " at " in found else "")
            raise TaskFailedError(f"the simulation of candidate {index} returned {what}", str(key))
    return labels


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
