"""Runs that the first version of ROSE has begun: what they were begun with, and their labels, found by its rules."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rose.store import LabelRecord, LabelStore, Run, Sample, encode
from rose.workflow.former import former_digest, former_digests, is_same
from rose.workflow.former_text import digest_of_text
from rose.workflow.frames import is_frame
from rose.workflow.pool import Pool

_log = logging.getLogger("rose")
_RULE, _NOW = "identity rule", 2  # noted when a run is begun; one where nothing is noted has the former rule


async def has_former_rule(run: Run) -> bool:
    """Whether a run was begun with the former rule; one that is new is noted to be of today's."""
    if run.journal.epoch == 1:
        await run.journal.note(_RULE, _NOW)
        return False
    return await run.journal.meta(_RULE) is None


def former_pool(pool: Pool, sampled: Sequence[int]) -> dict[str, str]:
    """What a pool's candidates and extra samples were known by; nothing of those that are known as they were."""
    found = {}
    if not is_same(pool.X):
        found["pool"] = digest_of_text(len(pool), list(former_digests(pool.X, sampled)))
    if pool.extra is not None:
        hasher = hashlib.blake2b(digest_size=16)
        X = pool.extra.X
        for digest, label in zip(former_digests(X, range(len(X))), pool.extra.labels, strict=True):
            hasher.update((digest or b"") + encode(label))
        found["Pool(extra=)"] = hasher.hexdigest()
    return found


async def take_over(run: Run, now: Mapping[str, str], former: Callable[[], Mapping[str, str]]) -> None:
    """Where a run was begun with what `former` says, note what the same is called `now`."""
    begun = await run.journal.meta("identity") or {}
    if all(begun.get(name, one) == one for name, one in now.items()):
        return
    same = {name: now[name] for name, was in former().items() if name in now and begun.get(name) == was != now[name]}
    if same:
        await run.journal.note("identity", {**begun, **same})


class FormerLabels:
    """Labels that a run has recorded under what samples were known by before.

    A pickle may differ between processes, so a sample of which objects are a part may not be found by it. Then it is
    the task that tells: the workflow and iteration that now ask for a candidate had its label.
    """

    def __init__(self, records: Sequence[LabelRecord]) -> None:
        self._contents = {record.content for record in records}
        self._of_task = {(*_who(record.key), record.candidate): record for record in records}
        self._found: dict[bytes, bytes] = {}  # what a sample is known by in this run, by what it would be known by now

    @classmethod
    async def of(cls, run: Run) -> FormerLabels | None:
        """Return those of a run; None: all that it has is known as it is today."""
        return (
            cls(list(await run.journal.current_labels())) if not run.temporary and await has_former_rule(run) else None
        )

    def as_recorded(
        self,
        sample: Sample,
        candidate: Any,
        key: bytes,
        extra: Mapping[str, Any],
        configured: Mapping[str, Any],
        context: Mapping[str, Any],
        store: LabelStore,
    ) -> Sample:
        """Return a sample as the run knows it.

        Args:
            sample: as it is known now.
            candidate: the candidate itself.
            key: the simulation's identity.
            extra: what else the simulation asks for.
            configured: its keyword arguments.
            context: the workflow and iteration that ask.
            store: the labels that there are.
        """
        if sample.content in store:
            return sample
        if sample.content not in self._found:
            digest = None if is_frame(candidate) else former_digest(candidate)
            digests = {sample.digest, *([] if digest is None else [digest])}
            contents = [_former_content(one, key, extra, configured) for one in digests]
            found = next((one for one in contents if one in self._contents), None)
            task = context["workflow"], context["iteration"], sample.candidate
            self._found[sample.content] = found or self._by_task(task, digests, candidate, configured) or sample.content
        return sample._replace(content=self._found[sample.content])

    def _by_task(
        self, task: tuple[str, int, int], digests: set[bytes], candidate: Any, configured: Mapping[str, Any]
    ) -> bytes | None:
        record = self._of_task.get(task)
        if record is None or (_is_plain(candidate) and (record.digest not in digests or _is_plain(dict(configured)))):
            return None
        _log.warning(
            "candidate %d has the label that task %s recorded, with a version of ROSE that did not see the values of "
            "objects: that its arguments were these is taken as given",
            record.candidate,
            record.key,
        )
        return record.content


def _former_content(digest: bytes, key: bytes, context: Mapping[str, Any], configured: Mapping[str, Any]) -> bytes:
    hasher = hashlib.blake2b(digest, digest_size=16, key=key)
    if context or configured:
        try:
            hasher.update(pickle.dumps((list(context.items()), sorted(configured.items())), protocol=5))
        except Exception:  # the former version refused it, and has recorded nothing with it
            return b""
    return hasher.digest()


def _who(key: str) -> tuple[str, int]:
    """The workflow and iteration that a simulation's key begins with."""
    before, found, _ = key.rpartition("/simulation/")
    workflow, _, iteration = before.rpartition("/")
    return (workflow, int(iteration)) if found and iteration.isdecimal() else (key, -1)


def _is_plain(value: Any) -> bool:
    """Whether its pickle is the same in every process."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(one) for pair in value.items() for one in pair)
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    return value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic))
