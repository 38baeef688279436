"""The labels in what a simulation gave: one that gives none has failed, and the policies of its stage apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rose.engine import TaskKey
from rose.errors import TaskFailedError
from rose.pool.candidates.given_labels import rows_of
from rose.pool.corrections import is_label
from rose.store import RETRIED, Run, as_label, not_finite


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


async def with_retried(
    run: Run,
    workflow: str,
    iteration: int,
    asked: np.ndarray,
    dropped: Mapping[int, bytes],
    is_dropped: Callable[[bytes], bool],
) -> tuple[np.ndarray, frozenset[bytes]]:
    """The candidates that are labelled in this round: those asked for, then those that are tried again.

    What is tried again is noted before anything is learned from it, so that a resumed round is the same round.

    Args:
        run, workflow, iteration: which round.
        asked: int64, the candidates of the round.
        dropped: those that the workflow did without up to now, with what identifies each sample.
        is_dropped: whether a sample is still to be done without.

    Returns:
        The candidates; and the samples that are left out, though they may be tried again: this round has been decided
        upon without them.
    """
    if run.temporary or run.journal.epoch == 1:
        return asked, frozenset()
    name, learned = f"retried {workflow}/{iteration}", run.has_recorded(workflow, iteration, but=is_label)
    again: list[int] | None = await run.journal.meta(name)
    if again is None:
        again = [] if learned else [index for index, content in dropped.items() if not is_dropped(content)]
        if again:
            await run.journal.note(name, again)
    there = set(asked.tolist())
    added = [index for index in again if index in dropped and index not in there]
    left_out = await run.journal.meta(RETRIED) if learned else None
    return np.concatenate([asked, np.array(added, dtype=np.int64)]), frozenset(map(bytes.fromhex, left_out or ()))
