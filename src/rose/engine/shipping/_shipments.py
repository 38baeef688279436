"""Write what tasks need of the main module into an engine's directory: each content once."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import weakref
from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from rose.engine.shipping._folders import Folders
from rose.engine.shipping.array_files import digest_of_array, may_change, write_content
from rose.engine.shipping.main_module import ProgramPart
from rose.engine.shipping.program import SMALL, Piece, State, program, submissions

logger = logging.getLogger("rose")

KEPT = 32  # states whose files stay although no task needs them now
TOLD = 1024 * 1024  # bytes from which it is said that a global is shipped


class _File:
    """Keep a file in a folder of its own, which goes when nobody needs it any more."""

    def __init__(self, folders: Folders, name: str, content: Any, told: str = "") -> None:
        self.path = os.path.join(folders.new(), name)
        self._folders = folders
        self._content: Any = content  # None: it is written
        self._told = told
        self._lock = threading.Lock()
        folders.paths.add(self.path)
        weakref.finalize(self, folders.forget, self.path).atexit = False

    def is_there(self, content: Any) -> bool:
        """Return whether it is written; if somebody has swept the directory, it is to be written again."""
        if self._content is not None or not os.path.exists(self.path):
            self._content = content
            return False
        return True

    def write(self) -> None:
        """Write it, unless that is done. Blocks."""
        with self._lock:
            if self._content is None:
                return
            self._folders.scratch.ensure_reaper()
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            write_content(self.path, self._content)
            self._content = None
        if self._told:
            logger.info("%s", self._told)


@dataclass
class _Shipment:
    """Hold a state's files with what is in them: those that others have, too, and the manifest."""

    files: list[tuple[_File, Any]]
    manifest: _File


@dataclass
class _Taken:
    array: weakref.ref[Any]
    file: _File | None = None
    seen: int = 0  # when its content was last looked at


class Shipments:
    """Keep what an engine's workers can read of the main module. `remap`: see `SharedStore`."""

    def __init__(self, folders: Folders, remap: bool) -> None:
        self._folders = folders
        self._remap = remap
        self._shipped: OrderedDict[int, tuple[State, _Shipment]] = OrderedDict()
        self._taken: dict[int, _Taken] = {}  # large arrays that are no names of the main module, by identity
        self._files: weakref.WeakValueDictionary[bytes | str, _File] = weakref.WeakValueDictionary()

    def ship(self, needs: frozenset[str], refs: Container[str]) -> tuple[str, list[tuple[str, Any]], object]:
        """Return what brings these names of the main module to a task.

        That is: what the task enters, what must be written before, and what must live as long as the task does. Raises
        whatever the pickling of one of them raises.
        """
        state = program(self._remap).state(needs)
        found = self._shipped.get(id(state))
        if found is None:
            found = self._shipped[id(state)] = state, self._shipment(state)
            while len(self._shipped) > KEPT:
                self._shipped.popitem(last=False)
        else:
            self._shipped.move_to_end(id(state))
        shipment = found[1]
        for file, _ in shipment.files:
            assert file.path in refs  # it notes that the task needs it
        pending = [(file.path, file) for file, content in shipment.files if not file.is_there(content)]
        return shipment.manifest.path, pending, shipment

    def again(self, array: Any, refs: Container[str]) -> tuple[str, _File] | None:
        """Return the file of a large array that an earlier task took, too, and who writes it; None: none did."""
        key, taken = id(array), self._taken
        found = taken.get(key)
        if found is None:
            taken[key] = _Taken(weakref.ref(array, lambda _: taken.pop(key, None)))
            return None
        if found.file is None or (found.seen != submissions() and may_change(array)):
            told = f"shipping an array {list(array.shape)} ({array.nbytes / 1e6:.0f} MB) once; every task reads it"
            found.file = self._file(digest_of_array(array), "array.npy", array, told)
            found.seen = submissions()
        assert found.file.path in refs
        found.file.is_there(array)
        return found.file.path, found.file

    def _shipment(self, state: State) -> _Shipment:
        files: list[tuple[_File, Any]] = []
        parts, arrays = [], {}
        for piece, version in zip(state.pieces, state.versions, strict=True):
            told = _told(piece)
            for digest, array in piece.arrays.items():
                file = self._file(digest, "array.npy", array, told)
                files.append((file, array))
                arrays[digest], told = file.path, ""
            body: bytes | str = piece.body
            if len(piece.body) > SMALL:
                file = self._file(piece.digest, "part.pkl", piece.body, told)
                files.append((file, piece.body))
                body = file.path
            parts.append(ProgramPart(piece.names, version, body))
        content = pickle.dumps(state.manifest(parts, arrays), pickle.HIGHEST_PROTOCOL)
        manifest = _File(self._folders, "value.pkl", content)
        return _Shipment([*files, (manifest, content)], manifest)

    def _file(self, digest: bytes | str, name: str, content: Any, told: str) -> _File:
        file = self._files.get(digest)
        if file is None:
            file = self._files[digest] = _File(self._folders, name, content, told)
        return file


def _told(piece: Piece) -> str:
    if piece.size < TOLD:
        return ""
    names = ", ".join(f"`{name}`" for name in piece.names)
    return f"shipping global {names} ({piece.size / 1e6:.0f} MB) once; every task reads it"
