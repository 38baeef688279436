"""Send values between processes: small ones as one message, large arrays as memory-mapped .npy files."""

from __future__ import annotations

import functools
import io
import itertools
import mmap
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Protocol

from rose.engine.shipping._names import Names, ResultNames
from rose.engine.shipping.array_files import (
    ARRAY_MIN,
    array_again,
    digest_of_array,
    here,
    is_array,
    map_array,
    map_users_file,
    place_in_file,
    take_array,
    write_content,
)
from rose.engine.shipping.main_module import enter, namespace, shipped_array
from rose.errors import ConfigurationError
from rose.portable import Writer

MESSAGE_MAX = 112 * 1024  # bytes of a pickle that goes through the socket; a longer one goes through a file
SHARED_MIN = 1024 * 1024  # bytes from which an array that several tasks take is written once for all of them
CACHED_REFS = 8  # shared values that a worker keeps loaded

# Classes that every worker has, and whose `__reduce__` is all there is to know: most tasks hold one.
reduced_quickly: set[type] = set()

_CACHED = type(functools.lru_cache(int))
_count = itertools.count()


@dataclass(frozen=True, slots=True)
class FileRef:
    """Stand for a value in the engine's directory; as a task's argument it arrives as the value itself."""

    path: str
    needs: frozenset[str] = frozenset()  # names of the main module that it is loaded with

    def load(self) -> Any:
        """Return the value; arrays are read-only and memory-mapped."""
        return _load_file(self.path)


class Writing(Protocol):
    """Write files that more than one task reads: they are written once, and stay when one of the tasks is discarded."""

    def write(self) -> None:
        """Write them, unless that is done. Blocks."""
        ...


class Shipper(Protocol):
    """See to it that workers have what tasks need of the main module."""

    def ship(self, needs: frozenset[str], refs: Container[str]) -> tuple[str, list[tuple[str, Any]], object]:
        """Return what a task enters, what must be written before, and what must live as long as the task does."""
        ...

    def again(self, array: Any, refs: Container[str]) -> tuple[str, Any] | None:
        """Return the file of a large array that an earlier task took, too, and who writes it; None: none did."""
        ...


@dataclass(frozen=True, slots=True)
class Packed:
    """Hold a pickled value, and the files that must be written before anyone may load it (arrays or bytes, by path)."""

    body: bytes
    files: list[tuple[str, Any]]
    holds: object = None  # what must live until it has been loaded

    def write(self) -> None:
        """Write the files. Blocks: call it where that is allowed."""
        for path, content in self.files:
            if isinstance(content, bytes) or is_array(content):
                write_content(path, content)
            else:
                content.write()

    def discard(self) -> None:
        """Remove those files that were written and that nobody has taken."""
        for path, content in self.files:
            if (isinstance(content, bytes) or is_array(content)) and os.path.exists(path):
                os.unlink(path)


class _Pickler(Writer):
    """Pickle as cloudpickle does, with large arrays set aside, refs replaced, and the main module's by name."""

    def __init__(
        self,
        file: io.BytesIO,
        prefix: str | None,
        keep: bool,
        refs: Container[str],
        modes: Sequence[str],
        names: Names,
        shipper: Shipper | None,
    ) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.files: list[tuple[str, Any]] = []
        self._prefix = prefix
        self._keep = keep
        self._refs = refs
        self._modes = modes
        self._names = names
        self._shipper = shipper
        self._globals = sys.modules["__main__"].__dict__

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is type and obj in reduced_quickly:
            return NotImplemented
        if kind in reduced_quickly:
            return obj.__reduce__()
        if kind is FileRef:
            if obj.path not in self._refs and self._prefix != "":
                raise ConfigurationError("a Ref is used that this engine has released, or that is another engine's")
            self._names.loads |= obj.needs
            return _load_ref, (obj.path,)
        if kind is FunctionType or kind is _CACHED or isinstance(obj, type):
            name = self._names.by_name(obj)
            if name is not None:
                return name
            if kind is FunctionType and obj.__globals__ is self._globals:
                return self._bound(obj)
            if kind is _CACHED and obj.__module__ == "__main__":
                return _cached, (obj.cache_parameters(), obj.__wrapped__)
        if kind is _Namespace:
            return namespace, ()
        numpy = sys.modules.get("numpy")
        if self._prefix is None:  # no files
            return super().reducer_override(obj)
        if numpy is not None and (kind is numpy.ndarray or kind is numpy.memmap) and obj.nbytes >= ARRAY_MIN:
            if kind is numpy.memmap and obj.mode in self._modes and (place := place_in_file(obj)) is not None:
                return map_users_file, ("r" if self._keep else "c", *place)
            if not obj.dtype.hasobject:
                if self._prefix == "":  # a part of the main module: by content
                    digest = digest_of_array(obj)
                    self._names.arrays[digest] = obj
                    return shipped_array, (digest,)
                if self._shipper is not None and obj.nbytes >= SHARED_MIN:
                    again = self._shipper.again(obj, self._refs)
                    if again is not None:
                        self.files.append(again)
                        return array_again, (again[0],)
                path = f"{self._prefix}{next(_count)}.npy"
                self.files.append((path, obj))
                return (map_array if self._keep else take_array), (path,)
        return super().reducer_override(obj)

    def _bound(self, function: FunctionType) -> Any:
        """Reduce a function by value whose globals are those of the main module where it is loaded."""
        make, (code, _, *more), (attributes, slots), *rest = super().reducer_override(function)
        slots["__globals__"] = self._names.left(function, slots["__globals__"])
        return make, (code, _Namespace(), *more), (attributes, slots), *rest


class _Namespace:
    """Unpickle as the globals of the main module."""


def _cached(parameters: dict[str, Any], function: Callable[..., Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def pack_arguments(
    value: Any, prefix: str | None, refs: Container[str], remap: bool = True, shipper: Shipper | None = None
) -> Packed:
    """Pickle a value that `load_task` will load once.

    The names of its files start with `prefix`, and what loads them removes them. Without a prefix all of it is in the
    pickle. Refs in it become what they stand for. Memory-mapped arrays are mapped again, from the user's file, or
    copied (`remap=False`). What is the main module's is by name, and the `shipper` brings it. Raises whatever the
    value's own pickling raises.
    """
    names = Names()
    modes = ("r", "r+", "w+") if remap else ()
    packed = _pack(value, prefix, keep=False, refs=refs, modes=modes, names=names, shipper=shipper)
    packed = _spill(packed, prefix)
    needs = names.loads | names.runs | names.spelt
    if not needs or shipper is None:
        return Packed(_NOWHERE + packed.body, packed.files)
    path, files, holds = shipper.ship(frozenset(needs), refs)
    return Packed(_entrance(path) + packed.body, [*packed.files, *files], holds)


def load_task(body: memoryview) -> Any:
    """Load what `pack_arguments` packed, with the names of the main module that it needs."""
    size = body[0] << 8 | body[1]
    if size:
        enter(str(body[2 : 2 + size], "utf-8", "surrogateescape"))
    return pickle.loads(body[2 + size :])


def _entrance(path: str) -> bytes:
    name = path.encode(errors="surrogateescape")
    return len(name).to_bytes(2, "big") + name


_NOWHERE = _entrance("")


def pack_names(values: dict[str, Any], remap: bool) -> tuple[Names, bytes]:
    """Pickle names of the main module by value; what they need of its other names, and their large arrays, is noted."""
    names = Names(inside=values.keys())
    packed = _pack(values, "", keep=False, modes=("r", "r+", "w+") if remap else (), names=names)
    return names, packed.body


def pack_result(value: Any, prefix: str | None) -> Packed:
    """Pickle a result. Memory-mapped arrays are copied: who knows what becomes of a task's files."""
    return _spill(_pack(value, prefix, keep=False, names=ResultNames()), prefix)


def _spill(packed: Packed, prefix: str | None) -> Packed:
    if prefix is not None and len(packed.body) > MESSAGE_MAX:
        path = f"{prefix}{next(_count)}.pkl"
        packed.files.append((path, packed.body))
        return Packed(pickle.dumps(_Spilled(path)), packed.files)
    return packed


def store(value: Any, folder: str, remap: bool = True) -> FileRef:
    """Write a value that will be loaded many times into a folder of its own, which is made. Blocks."""
    names = Names()
    packed = _pack(value, os.path.join(folder, "array-"), keep=True, modes=("r",) if remap else (), names=names)
    path = os.path.join(folder, "value.pkl")
    os.mkdir(folder)
    packed.write()
    write_content(path, packed.body)
    return FileRef(path, frozenset(names.loads | names.runs | names.spelt))


load: Callable[[Any], Any] = pickle.loads


def _pack(
    value: Any,
    prefix: str | None,
    keep: bool,
    names: Names,
    refs: Container[str] = (),
    modes: Sequence[str] = (),
    shipper: Shipper | None = None,
) -> Packed:
    file = io.BytesIO()
    pickler = _Pickler(file, prefix, keep, refs, modes, names, shipper)
    pickler.dump(value)
    return Packed(file.getvalue(), pickler.files)


class _Spilled:
    """Unpickle as what the file holds."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return _take_pickle, (self._path,)


def _take_pickle(path: str) -> Any:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        os.unlink(path)
        return pickle.loads(content)


_refs: OrderedDict[str, Any] = OrderedDict()


def _load_ref(path: str) -> Any:
    """Return what a Ref stands for. The last few stay loaded, so a model is not unpickled for every task."""
    if path in _refs:
        _refs.move_to_end(path)
    else:
        _refs[path] = _load_file(path)
        while len(_refs) > CACHED_REFS:
            _refs.popitem(last=False)
    return _refs[path]


def _load_file(path: str) -> Any:
    with open(here(path), "rb") as file:
        value = pickle.load(file)
    if is_array(value):
        value.setflags(write=False)  # small ones are no file; all shared arrays behave alike
    return value
