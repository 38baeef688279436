"""What may be on a disk after a power loss, worked out from a trace of the calls that wrote to it (see faults.c).

What was synced is there. Of the rest, anything may be: each sector of a file on its own, and of what was made, renamed
and removed in each directory, any beginning. That is harsher than file systems are (Pillai et al., OSDI 2014).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


@dataclass(frozen=True)
class Operation:
    """One call: write, cut, sync, make, mkdir, rename, unlink, or a mark."""

    kind: str
    path: str
    offset: int
    data: bytes


def operations(trace: Path) -> list[Operation]:
    """What a trace holds."""
    return list(_operations(trace.read_bytes()))


def _operations(text: bytes) -> Iterator[Operation]:
    start = 0
    while start < len(text):
        end = text.index(b"\n", start)
        kind, path, offset, length = text[start:end].decode().split("\t")
        start = end + 1 + int(length)
        yield Operation(kind, path, int(offset), text[end + 1 : start])


@dataclass
class _File:
    """What was written to a file; what of it is safe."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Operation] = field(default_factory=list)


@dataclass
class _Directory:
    """Entries that are safe, and changes of entries (None: removed) that are not. Directories are None inside."""

    safe: dict[str, _File | _Directory] = field(default_factory=dict)
    pending: list[tuple[str, _File | _Directory | None]] = field(default_factory=list)

    @property
    def now(self) -> dict[str, _File | _Directory]:
        """The entries as the process sees them."""
        return _changed(self.safe, self.pending)


class Disk:
    """A disk that was empty below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = _Directory()

    def do(self, operation: Operation) -> None:
        """One call that succeeded."""
        kind, path = operation.kind, operation.path
        if kind in ("make", "mkdir"):
            self._enter(path, _File() if kind == "make" else _Directory())
        elif kind == "unlink":
            self._enter(path, None)
        elif kind == "rename":
            found = self._find(path)
            self._enter(operation.data.decode(), found)
            self._enter(path, None)
        elif kind in ("write", "cut"):
            file = self._find(path)
            assert isinstance(file, _File)
            file.pending.append(operation)
        elif kind == "sync":
            _sync(self._find(path))

    def after_power_loss(self, target: Path, rng: random.Random) -> None:
        """Write to `target` what may be there if the power fails now."""
        _write(self._top, target, rng)

    def _find(self, path: str) -> _File | _Directory:
        found: _File | _Directory = self._top
        for part in self._parts(path):
            assert isinstance(found, _Directory)
            found = found.now[part]
        return found

    def _enter(self, path: str, what: _File | _Directory | None) -> None:
        parent, name = os.path.split(path)
        directory = self._find(parent)
        assert isinstance(directory, _Directory)
        directory.pending.append((name, what))

    def _parts(self, path: str) -> tuple[str, ...]:
        return Path(path).relative_to(self._root).parts


def _changed(
    entries: dict[str, _File | _Directory], changes: list[tuple[str, _File | _Directory | None]]
) -> dict[str, _File | _Directory]:
    after = dict(entries)
    for name, what in changes:
        if what is None:
            after.pop(name, None)
        else:
            after[name] = what
    return after


def _sync(what: _File | _Directory) -> None:
    if isinstance(what, _File):
        for operation in what.pending:
            _apply(what.safe, operation, range(_sectors(operation)))
    else:
        what.safe = what.now
    what.pending.clear()


def _write(directory: _Directory, target: Path, rng: random.Random) -> None:
    target.mkdir()
    kept = directory.pending[: rng.randint(0, len(directory.pending))]
    for name, what in _changed(directory.safe, kept).items():
        if isinstance(what, _Directory):
            _write(what, target / name, rng)
        else:
            content = bytearray(what.safe)
            for operation in what.pending:
                sectors = range(_sectors(operation))
                _apply(content, operation, [s for s in sectors if rng.random() < 0.5])
            (target / name).write_bytes(content)


def _sectors(operation: Operation) -> int:
    return 1 if operation.kind == "cut" else -(-len(operation.data) // SECTOR)


def _apply(content: bytearray, operation: Operation, sectors: range | list[int]) -> None:
    if operation.kind == "cut":
        if sectors:
            size = operation.offset
            content[size:] = bytes(max(size - len(content), 0))
        return
    for sector in sectors:
        data = operation.data[sector * SECTOR : (sector + 1) * SECTOR]
        start = operation.offset + sector * SECTOR
        content.extend(bytes(max(start - len(content), 0)))
        content[start : start + len(data)] = data
