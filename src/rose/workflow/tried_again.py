"""Candidates that were dropped and are to be tried again (`rose.retry`): the round in which each of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rose.store import RETRIED, Run


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
    name, learned = f"retried {workflow}/{iteration}", run.has_learned(workflow, iteration)
    again: list[int] | None = await run.journal.meta(name)
    if again is None:
        again = [] if learned else [index for index, content in dropped.items() if not is_dropped(content)]
        if again:
            await run.journal.note(name, again)
    there = set(asked.tolist())
    added = [index for index in again if index in dropped and index not in there]
    left_out = await run.journal.meta(RETRIED) if learned else None
    return np.concatenate([asked, np.array(added, dtype=np.int64)]), frozenset(map(bytes.fromhex, left_out or ()))
