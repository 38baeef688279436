"""Runs that the first version of ROSE has begun: what they were begun with, and their labels, found by its rules."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rose.store import LabelRecord, LabelStore, Run, Sample, encode
from rose.workflow.former import former_content, former_digests, is_plain, is_same
from rose.workflow.former_text import digest_of_text
from rose.workflow.pool import Pool

_log = logging.getLogger("rose")
_RULE, _NOW = "identity rule", 2  # noted when a run is begun; one where nothing is noted has the former rule
_TAKEN = "identity taken over"  # the names of what such a run was begun with, and is called otherwise now


async def has_former_rule(run: Run) -> bool:
    """Whether a run was begun with the former rule; one that is new is noted to be of today's."""
    if run.temporary:
        return False
    noted = await run.journal.meta(_RULE)
    if noted is None and run.journal.epoch == 1:
        await run.journal.note(_RULE, noted := _NOW)
    return noted is None


def former_pool(pool: Pool, sampled: Sequence[int]) -> dict[str, str | None]:
    """Return what a pool's candidates and extra samples were known by; nothing of those that are known as they were.

    None: by what differs from process to process, so that no one can tell.
    """
    found: dict[str, str | None] = {}
    if isinstance(pool.X, list) and not all(is_plain(pool.X[index]) for index in sampled):
        found["pool"] = None
    elif not is_same(pool.X):
        found["pool"] = digest_of_text(len(pool), list(former_digests(pool.X, sampled)))
    if pool.extra is not None:
        hasher = hashlib.blake2b(digest_size=16)
        X = pool.extra.X
        for digest, label in zip(former_digests(X, range(len(X))), pool.extra.labels, strict=True):
            hasher.update((digest or b"") + encode(label))
        found["Pool(extra=)"] = hasher.hexdigest()
    return found


async def take_over(run: Run, now: Mapping[str, str], former: Callable[[], Mapping[str, str | None]]) -> None:
    """Where a run was begun with what `former` says, note what the same is called `now`."""
    begun = await run.journal.meta("identity") or {}
    if not await has_former_rule(run) or all(begun.get(name, one) == one for name, one in now.items()):
        return
    before: list[str] = await run.journal.meta(_TAKEN) or []
    could_be = {name: was for name, was in former().items() if name in begun and name in now and name not in before}
    same = [name for name, was in could_be.items() if begun[name] != now[name] and was in (None, begun[name])]
    for name in same:
        if could_be[name] is None:
            _log.warning(
                "the run in %s was begun with a version of ROSE that did not see the values of objects: that its %s is "
                "what it is now is taken as given",
                run.path,
                name,
            )
    if same:
        await run.journal.note(_TAKEN, [*before, *same])
        await run.journal.note("identity", {**begun, **{name: now[name] for name in same}})


class FormerLabels:
    """Labels that a run has recorded under what samples were known by before.

    A pickle may differ between processes, so a sample of which objects are a part may not be found by it. Then it is
    the task that tells: the workflow and iteration that now ask for a candidate had its label.
    """

    def __init__(self, records: Sequence[LabelRecord], simulation: str) -> None:
        self._key = simulation.encode()[:64]
        self._contents = {record.content for record in records}
        self._of_task = {(*_who(record.key), record.candidate): record for record in records}
        self._found: dict[bytes, bytes] = {}  # what a sample is known by in this run, by what it would be known by now

    @classmethod
    async def of(cls, run: Run, simulation: str) -> FormerLabels | None:
        """Return those of a run, of that `simulation`; None: all that it has is known as it is today."""
        return (
            cls(list(await run.journal.current_labels()), simulation)
            if not run.temporary and await has_former_rule(run)
            else None
        )

    def as_recorded(
        self,
        sample: Sample,
        candidate: Any,
        pool: Pool,
        extra: Mapping[str, Any],
        configured: Mapping[str, Any],
        context: Mapping[str, Any],
        store: LabelStore,
    ) -> Sample:
        """Return a sample as the run knows it.

        Args:
            sample: as it is known now.
            candidate: the candidate itself.
            pool: its pool.
            extra: what else the simulation asks for.
            configured: its keyword arguments.
            context: the workflow and iteration that ask.
            store: the labels that there are.
        """
        if sample.content in store:
            return sample
        if sample.content not in self._found:
            digest = None if is_same(pool.X) else next(former_digests(pool.X, [sample.candidate]))
            digests = {sample.digest, *([] if digest is None else [digest])}
            contents = [former_content(one, self._key, extra, configured) for one in digests]
            found = next((one for one in contents if one in self._contents), None)
            task = context["workflow"], context["iteration"], sample.candidate
            self._found[sample.content] = found or self._by_task(task, digests, candidate, configured) or sample.content
        return sample._replace(content=self._found[sample.content])

    def _by_task(
        self, task: tuple[str, int, int], digests: set[bytes], candidate: Any, configured: Mapping[str, Any]
    ) -> bytes | None:
        record = self._of_task.get(task)
        if record is None or (is_plain(candidate) and (record.digest not in digests or is_plain(dict(configured)))):
            return None
        _log.warning(
            "candidate %d has the label that task %s recorded, with a version of ROSE that did not see the values of "
            "objects: that its arguments were these is taken as given",
            record.candidate,
            record.key,
        )
        return record.content


def _who(key: str) -> tuple[str, int]:
    """The workflow and iteration that a simulation's key begins with."""
    before, found, _ = key.rpartition("/simulation/")
    workflow, _, iteration = before.rpartition("/")
    return (workflow, int(iteration)) if found and iteration.isdecimal() else (key, -1)
