"""Follow runs: read what is new in each that somebody looks at, once for all who do."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from rose.store import Changes, RunReader
from rose.watch.facts.curves import Curve

PERIOD = 0.5  # seconds between two looks: a run's driver is another process, which tells nobody
_SHARE, _LONGEST = 15, 2.0  # the pause after a look: so many times what it took, and s at most
_KEPT = 4  # runs that stay read while nobody looks at them
_MANY = 20_000  # tasks: of a larger run, what does not need them is shown at once, and the rest with the next look

Fragments = Mapping[str, str]  # HTML by the id of its element


class Rendering(Protocol):
    """Fold what happens in a run into the fragments of its page."""

    def outline(self, changes: Changes, tasks: int) -> Fragments:
        """Return the fragments of a run of so many tasks, which are not among the changes yet."""
        ...

    def add(self, changes: Changes) -> None:
        """Take the next changes."""
        ...

    def fragments(self) -> Fragments:
        """Return the fragments as they are now."""
        ...

    def curves(self) -> Sequence[Curve]:
        """Return the curves of the workflows as they are now, copied."""
        ...


def run_id(path: Path) -> str:
    """Return what a run is called in addresses: nothing of its path is in them."""
    return hashlib.blake2s(str(path.absolute()).encode("utf-8", "surrogateescape"), digest_size=9).hexdigest()


class Followed:
    """Read one run, one look at a time, in a thread; while somebody follows it, every `PERIOD`.

    Args:
        path: the run directory.
        make: makes what its changes are folded into.
    """

    def __init__(self, path: Path, make: Callable[[RunReader], Rendering]) -> None:
        self.path = path
        self.fragments: Fragments = {}
        self.curves: Sequence[Curve] = ()
        self.cursor: str | None = None
        self._make = make
        self._rendering: Rendering | None = None
        self._reader: RunReader | None = None
        self._looking = threading.Lock()
        self._looked = -PERIOD
        self._took = 0.0  # processor time of the last look, in seconds
        self._outlined = False
        self._followers = 0

    @property
    def is_followed(self) -> bool:
        """Return whether somebody follows it."""
        return bool(self._followers)

    @property
    def mark(self) -> str:
        """Return what the fragments show: the cursor of the record, and a digest, for a driver dies without a word."""
        digest = hashlib.blake2s("".join(self.fragments.values()).encode("utf-8", "surrogatepass"), digest_size=6)
        return f"{self.cursor}-{digest.hexdigest()}"

    async def look(self) -> None:
        """Take in what is new; of several who ask at the same time one looks.

        Raises:
            RoseError, OSError: if the run cannot be read.
        """
        await asyncio.to_thread(self._look)

    async def changes(self, seen: str | None) -> AsyncIterator[tuple[str, Fragments]]:
        """Give the fragments that change, with the mark of the look that showed it; first all but what `seen` marks.

        Raises:
            RoseError, OSError: if the run cannot be read any more.
        """
        self._followers += 1
        try:
            await self.look()
            sent = dict(self.fragments) if seen == self.mark else {}
            while True:
                changed = {name: html for name, html in self.fragments.items() if sent.get(name) != html}
                sent |= changed
                if changed:
                    yield self.mark, changed
                await asyncio.sleep(max(PERIOD, min(_SHARE * self._took, _LONGEST)))
                await self.look()
        finally:
            self._followers -= 1

    async def close(self) -> None:
        """Close the run's database."""
        await asyncio.to_thread(self._close)

    def _look(self) -> None:
        with self._looking:
            if time.monotonic() < self._looked + PERIOD / 2:
                return
            began = time.thread_time()
            try:
                if self._reader is not None and not self._reader.is_current():
                    self._forget()  # its directory was removed; perhaps another run is there now
                if self._reader is None:
                    self._reader = RunReader(self.path)
                if self._rendering is None:
                    if not self._outlined and (count := self._reader.count_tasks()) > _MANY:
                        changes = self._reader.since(tasks=False)
                        outlining = self._make(self._reader)
                        self.fragments, self._outlined = outlining.outline(changes, count), True
                        self.curves = outlining.curves()
                        return
                    self._rendering = self._make(self._reader)
                changes = self._reader.since(self.cursor)
                self._rendering.add(changes)
                self.fragments, self.curves = self._rendering.fragments(), self._rendering.curves()
                self.cursor = changes.cursor
            except BaseException:  # what was read in part is read again
                self._forget()
                raise
            self._looked, self._took = time.monotonic(), time.thread_time() - began

    def _close(self) -> None:
        with self._looking:
            self._forget()

    def _forget(self) -> None:
        reader, self._reader, self._rendering, self.cursor = self._reader, None, None, None
        self.fragments, self._looked, self._outlined = {}, -PERIOD, False
        if reader is not None:
            with suppress(Exception):  # it could not be read; it may not be closed either
                reader.close()


class FollowedRuns:
    """Hold the runs that are looked at, and a few that were.

    Args:
        make: makes what a run's changes are folded into.
    """

    def __init__(self, make: Callable[[RunReader], Rendering]) -> None:
        self._make = make
        self._runs: OrderedDict[Path, Followed] = OrderedDict()

    async def of(self, path: Path) -> Followed:
        """Return the run in a directory, to be looked at."""
        found = self._runs.pop(path, None) or Followed(path, self._make)
        self._runs[path] = found
        for old in [one for one in self._runs.values() if not one.is_followed and one is not found][:-_KEPT]:
            del self._runs[old.path]
            await old.close()
        return found

    async def close(self) -> None:
        """Close all of them."""
        for run in self._runs.values():
            await run.close()
        self._runs.clear()
