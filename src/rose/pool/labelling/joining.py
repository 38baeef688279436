"""Who is labelled in an iteration beside those that were chosen: whose labels are given since, or who is tried again.

Both are noted before anything is learned from them, so that a resumed iteration is the same iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rose.pool.pool import Pool
from rose.stages.kinds import gives_label
from rose.store import RETRIED, Run


async def joined(
    run: Run, workflow: str, iteration: int, chosen: np.ndarray, taken: Sequence[int], pool: Pool
) -> np.ndarray:
    """The candidates that are labelled in this round: those chosen, then those whose labels are given since.

    What joins is noted before anything is learned from it, so that a resumed round is the same round.

    Args:
        run, workflow, iteration: which round.
        chosen: int64, what was chosen before.
        taken: the candidates that are labelled.
        pool: the pool.
    """
    if run.temporary:
        return chosen
    name = f"given {workflow}/{iteration}"
    new = await run.journal.meta(name) if run.journal.epoch > 1 else None
    if new is None:
        new = (
            []
            if run.has_recorded(workflow, iteration, but=gives_label)
            else pool.given.beside([*taken, *chosen.tolist()])
        )
        if new:
            await run.journal.note(name, new)
    there = {*taken, *chosen.tolist()}
    return np.concatenate([chosen, np.array([index for index in new if index not in there], dtype=np.int64)])


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
    name, learned = f"retried {workflow}/{iteration}", run.has_recorded(workflow, iteration, but=gives_label)
    again: list[int] | None = await run.journal.meta(name)
    if again is None:
        again = [] if learned else [index for index, content in dropped.items() if not is_dropped(content)]
        if again:
            await run.journal.note(name, again)
    there = set(asked.tolist())
    added = [index for index in again if index in dropped and index not in there]
    left_out = await run.journal.meta(RETRIED) if learned else None
    return np.concatenate([asked, np.array(added, dtype=np.int64)]), frozenset(map(bytes.fromhex, left_out or ()))
