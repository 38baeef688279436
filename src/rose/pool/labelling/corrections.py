"""Take labels that are given to a run that has begun: new ones join its labelled sets, others correct recorded ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.errors import ChangedRunError, PoolError
from rose.loop.changes import AS_BEGUN
from rose.pool._identity import describe_initial, describe_pool
from rose.pool.pool import Pool
from rose.stages.kinds import gives_label
from rose.stages.parsing import plain
from rose.store import DONE, LabelCorrected, LabelRecord, Run, as_label, decode, not_finite, same_label

_log = logging.getLogger("rose")
_SHOWN = 3  # corrections that a message lists


@dataclass(frozen=True)
class Correction:
    """Hold a label that is recorded, and the one that is given for the same candidate."""

    record: LabelRecord
    recorded: Any
    given: Any

    def __str__(self) -> str:
        return f"candidate {self.record.candidate}: recorded {_short(self.recorded)}, given {_short(self.given)}"

    def event(self) -> LabelCorrected:
        """Return it as the journal has it."""
        recorded, given = (plain(one) if len(repr(one)) < 1000 else _short(one) for one in (self.recorded, self.given))
        return LabelCorrected(self.record.candidate, self.record.key, recorded, given)


async def correct(run: Run, pool: Pool, by_index: bool, workflows: Iterable[str]) -> None:
    """Compare the labels that a pool is given with those recorded, and take the given ones if that is accepted.

    Args:
        run: the run.
        pool: the pool.
        by_index: whether the simulation may label equal candidates differently, for it asks for their indices.
        workflows: whose rounds may have been played with what was wrong.

    Raises:
        ChangedRunError: if they differ, and changes are not accepted.
        PoolError: if equal candidates are given different labels.
    """
    if not pool.known or run.temporary or run.journal.epoch == 1:
        return
    found = await _corrections(run, pool, by_index)
    if not found:
        return
    listed = "; ".join(map(str, found[:_SHOWN]))
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    if not run.accepts_changes:
        raise ChangedRunError(
            f"Pool(labels=) says otherwise than the run in {str(run.path)!r} has recorded: {listed}{more}. Leave these "
            "labels out to keep what is recorded; or accept_changes=True to record those that are given in their place"
        )
    run.accept(["Pool(labels=)"])
    await run.corrected([(one.record, one.given, one.event()) for one in found], gives_label)
    wrong = {one.record.content for one in found}
    chosen = [text for workflow in workflows if (text := await _chosen_with(run, workflow, wrong))]
    _log.warning(
        "labels are corrected, from now on: %s%s; %s",
        listed,
        more,
        "what was chosen with the old ones stays: " + ", ".join(chosen)
        if chosen
        else "nothing was chosen with the old",
    )


async def _corrections(run: Run, pool: Pool, by_index: bool) -> list[Correction]:
    indices = sorted(pool.known)
    of_content: dict[bytes, int] = {}
    digests = dict(zip(indices, pool.digests(indices), strict=True))
    for one, digest in digests.items():
        other = of_content.setdefault(digest, one)
        if not by_index and not same_label(pool.known[other], pool.known[one]):
            raise PoolError(
                f"labels: candidates {other} and {one} are equal, but are given different labels, "
                f"{_short(pool.known[other])} and {_short(pool.known[one])}"
            )
    found = []
    for record in await run.journal.current_labels():
        index: int | None = record.candidate if by_index else of_content.get(record.digest)
        if index is None or record.digest != digests.get(index):
            continue
        if record.state != DONE:  # what was dropped has a label now: rounds that are played again learn it
            run.relearn(gives_label)
            continue
        recorded, given = as_label(await run.result(record).get()), pool.known[index]
        if not_finite(recorded) is None and not same_label(recorded, given):
            found.append(Correction(record, recorded, given))
    return found


async def _chosen_with(run: Run, workflow: str, wrong: set[bytes]) -> str:
    """Say in words in which recorded iterations a workflow chose when it held one of these labels."""
    first = last = None
    for iteration, record in enumerate(await _rounds(run, workflow)):
        if first is None and not wrong.isdisjoint(record["checkpoint"]["contents"]):
            first = iteration
        if first is not None and record["outcome"]["selection"]:
            last = iteration
    if first is None or last is None:
        return ""
    return f"workflow {workflow!r}, iteration" + (f" {first}" if first == last else f"s {first} to {last}")


async def _rounds(run: Run, workflow: str) -> list[Any]:
    found: list[Any] = []
    while (row := await run.complete_round(workflow, len(found))) is not None and row.record is not None:
        found.append(decode(row.record))
    return found


async def first_candidates(run: Run, pool: Pool, seed: int | None = None) -> np.ndarray:
    """Return the candidates that come first in every workflow, or in those of a seed of their own.

    A resumed run keeps those that it began with, though its pool may be given more labels now.
    """
    name = "initial" if seed is None else f"initial {seed}"
    now, candidates = describe_initial(pool), describe_pool(pool)["pool"]
    noted = await run.journal.meta(name)
    if noted is not None and now in (AS_BEGUN, noted[0]) and noted[1] == candidates:
        return np.array(noted[2], dtype=np.int64)
    first = pool.initial if seed is None else pool.drawn_by(seed)
    await run.journal.note(name, [now, candidates, first.tolist()])
    return first


def _short(value: Any) -> str:
    text = repr(plain(value)) if isinstance(value, (np.generic, np.ndarray)) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
