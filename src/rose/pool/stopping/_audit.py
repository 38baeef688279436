"""Draw an audit: candidates that are simulated to see how good an ensemble is, and that none learns from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rose.loop.seeds import derive_seed
from rose.pool.labelling.labeller import Labeller
from rose.stages.config import LearnerConfig
from rose.store import Dropped

_WHOLE = 2**20  # candidates, above which they are not put in order all at once


@dataclass
class Audit:
    """Hold the audit of one workflow: a sample of the pool that grows, drawn from what nobody has chosen by then.

    Workflows over one pool draw in the same order, so that they share most labels.
    """

    labeller: Labeller
    size: int  # of the pool
    seed: int
    indices: list[int] = field(default_factory=list)  # those that have a label, in the order in which they were drawn
    labels: list[Any] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)  # those that could not be simulated
    _new: dict[str, Any] = field(default_factory=dict)  # what the last iteration asked for

    def __len__(self) -> int:
        return len(self.indices)

    def upcoming(self, count: int) -> list[int]:
        """Return the next `count` candidates (fewer where there are no more), uniformly from those that are free."""
        taken = set(self.labeller.labelled.taken.tolist())
        count = min(count, self.size - len(taken))
        found: dict[int, None] = {}
        for candidate in _order(self.size, derive_seed(self.seed, "audit")) if count > 0 else ():
            if candidate not in taken:
                found[candidate] = None
                if len(found) == count:
                    break
        return list(found)

    async def grow(self, iteration: int, candidates: Collection[int], config: LearnerConfig) -> None:
        """Label these candidates, which are the next ones."""
        asked = np.array(list(candidates), dtype=np.int64)
        found = await self.labeller.audit(iteration, asked, config)
        self._take(found.indices.tolist(), found.labels)
        new = self._new
        new["asked"] = [*new.get("asked", ()), *found.indices.tolist()]
        new["contents"] = [*new.get("contents", ()), *found.contents]

    def begin(self) -> None:
        """Begin an iteration, which has asked for nothing."""
        self._new = {}

    def checkpoint(self) -> dict[str, Any]:
        """Return what the iteration asked for, in plain values; nothing where it has asked for nothing."""
        return {**self._new, "dropped": [one for one in self.dropped if one in self._new["asked"]]} if self._new else {}

    async def restore(self, iteration: int, checkpoint: Mapping[str, Any], config: LearnerConfig) -> None:
        """Restore what `checkpoint` gave."""
        asked = np.array(checkpoint["asked"], dtype=np.int64)
        told = (checkpoint["contents"], checkpoint["dropped"], config)
        found = await self.labeller.restore_audit(iteration, asked, *told)
        self._take(found.indices.tolist(), found.labels)

    def _take(self, indices: list[int], labels: Any) -> None:
        for index, label in zip(indices, labels, strict=True):
            if isinstance(label, Dropped):
                self.dropped.append(index)
            else:
                self.indices.append(index)
                self.labels.append(label)


def _order(size: int, seed: int) -> Iterator[int]:
    """Yield the candidates in an order that is drawn; of large pools some of them again and again."""
    rng = np.random.default_rng(seed)
    if size <= _WHOLE:
        yield from rng.permutation(size).tolist()
        return
    while True:
        yield from rng.integers(size, size=4096).tolist()
