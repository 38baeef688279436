"""How values travel between processes: small ones as one message, large arrays as memory-mapped .npy files."""

from __future__ import annotations

import functools
import io
import itertools
import mmap
import os
import pickle
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from rose.engine.shipping.main_module import array_again, enter, here, knows, namespace, shipped_array
from rose.engine.shipping.program import digest_of_array, spelt_names
from rose.errors import ConfigurationError
from rose.portable import Writer, name_in_main

if TYPE_CHECKING:
    import numpy as np

MESSAGE_MAX = 112 * 1024  # bytes of a pickle that goes through the socket; a longer one goes through a file
ARRAY_MIN = 64 * 1024  # bytes from which an array becomes a file
MAP_MIN = 1024 * 1024  # bytes from which a file that is read once is mapped: a mapping holds a file descriptor
MAPS_MAX = 256  # ... so no more than this many at a time; what comes beyond is copied into memory
SHARED_MIN = 1024 * 1024  # bytes from which an array that several tasks take is written once for all of them
CACHED_REFS = 8  # shared values that a worker keeps loaded

# Classes that every worker has, and whose `__reduce__` is all there is to know: most tasks hold one.
reduced_quickly: set[type] = set()

_CACHED = type(functools.lru_cache(int))
_count = itertools.count()
_maps_alive = 0


@dataclass(frozen=True, slots=True)
class FileRef:
    """A value that `share` stored in the engine's directory; as a task's argument it arrives as the value itself."""

    path: str
    needs: frozenset[str] = frozenset()  # names of the main module that it is loaded with

    def load(self) -> Any:
        """The value; arrays are read-only and memory-mapped."""
        return _load_file(self.path)


class Writing(Protocol):
    """Files that more than one task reads: they are written once, and stay when one of the tasks is discarded."""

    def write(self) -> None:
        """Write them, unless that is done. Blocks."""
        ...


class Shipper(Protocol):
    """Sees to it that workers have what tasks need of the main module."""

    def ship(self, needs: frozenset[str], refs: Container[str]) -> tuple[str, list[tuple[str, Any]], object]:
        """Return what a task enters, what must be written before, and what must live as long as the task does."""
        ...

    def again(self, array: Any, refs: Container[str]) -> tuple[str, Any] | None:
        """Return the file of a large array that an earlier task took, too, and who writes it; None: none did."""
        ...


class Names:
    """Which names of the main module a pickle refers to.

    Attributes:
        loads: those that must be there when it is loaded.
        runs: those that functions in it use when they run.
        spelt: those that its code only spells.
        arrays: in a part of the main module, its large arrays by digest.
    """

    def __init__(self, inside: Container[str] = ()) -> None:
        self.inside = inside  # these are in the pickle by value
        self.loads: set[str] = set()
        self.runs: set[str] = set()
        self.spelt: set[str] = set()
        self.arrays: dict[str, Any] = {}

    def by_name(self, obj: Any) -> str | None:
        """Return the name by which the pickle is to refer to something; None: it is pickled by value."""
        name = name_in_main(obj)
        if name is None or (top := name.partition(".")[0]) in self.inside:
            return None
        self.loads.add(top)
        return name

    def left(self, function: FunctionType, used: dict[str, Any]) -> dict[str, Any]:
        """Return which of the globals that a function uses have to go with it."""
        self.runs |= used.keys()
        self.spelt |= spelt_names(function.__code__)
        return {}


class _ResultNames(Names):
    """In a worker: what came from the driver's main module goes back by name, the rest by value."""

    def by_name(self, obj: Any) -> str | None:
        name = name_in_main(obj)
        return name if name is not None and knows(name.partition(".")[0]) else None

    def left(self, function: FunctionType, used: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in used.items() if not knows(name)}


@dataclass(frozen=True, slots=True)
class Packed:
    """A pickled value, and the files that must be written before anyone may load it (arrays or bytes, by path)."""

    body: bytes
    files: list[tuple[str, Any]]
    holds: object = None  # what must live until it has been loaded

    def write(self) -> None:
        """Write the files. Blocks: call it where that is allowed."""
        for path, content in self.files:
            if isinstance(content, bytes):
                with open(path, "wb") as file:
                    file.write(content)
            elif not _is_array(content):
                content.write()
            else:
                import numpy as np

                np.save(path, content, allow_pickle=False)

    def discard(self) -> None:
        """Remove those files that were written and that nobody has taken."""
        for path, content in self.files:
            if (isinstance(content, bytes) or _is_array(content)) and os.path.exists(path):
                os.unlink(path)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


class _Pickler(Writer):
    """cloudpickle, with large arrays set aside, refs replaced by what they stand for, and the main module's by name."""

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
            if kind is numpy.memmap and obj.mode in self._modes and (place := _place_in_file(obj)) is not None:
                return _map_users_file, ("r" if self._keep else "c", *place)
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
                return (_map_array if self._keep else _take_array), (path,)
        return super().reducer_override(obj)

    def _bound(self, function: FunctionType) -> Any:
        """A function by value whose globals are those of the main module where it is loaded."""
        make, (code, _, *more), (attributes, slots), *rest = super().reducer_override(function)
        slots["__globals__"] = self._names.left(function, slots["__globals__"])
        return make, (code, _Namespace(), *more), (attributes, slots), *rest


class _Namespace:
    """Unpickles as the globals of the main module."""


def _cached(parameters: dict[str, Any], function: Callable[..., Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def pack_arguments(
    value: Any, prefix: str | None, refs: Container[str], remap: bool = True, shipper: Shipper | None = None
) -> Packed:
    """Pickle what will be loaded once, by `load_task`; its files' names start with `prefix`, and what loads them
    removes them.

    Without a prefix all of it is in the pickle. Refs in it become what they stand for. Memory-mapped arrays are mapped
    again, from the user's file, or copied (`remap=False`). What is the main module's is by name, and the `shipper`
    brings it. Raises whatever the value's own pickling raises.
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
    """The same for a result. Memory-mapped arrays are copied: who knows what becomes of a task's files."""
    return _spill(_pack(value, prefix, keep=False, names=_ResultNames()), prefix)


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
    Packed(b"", [(path, packed.body)]).write()
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
    """Unpickles as what the file holds."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return _take_pickle, (self._path,)


def _take_pickle(path: str) -> Any:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        os.unlink(path)
        return pickle.loads(content)


def _take_array(path: str) -> np.ndarray[Any, Any]:
    """An array that was written for us alone: ours to change, and its file is gone."""
    import numpy as np

    global _maps_alive
    if os.path.getsize(path) < MAP_MIN or _maps_alive >= MAPS_MAX:
        array: np.ndarray[Any, Any] = np.load(path, allow_pickle=False)
    else:
        mapped = np.load(path, mmap_mode="c", allow_pickle=False)
        _maps_alive += 1
        weakref.finalize(mapped._mmap, _map_ended).atexit = False
        array = mapped.view(np.ndarray)
    os.unlink(path)
    return array


def _map_ended() -> None:
    global _maps_alive
    _maps_alive -= 1


def _map_array(path: str) -> np.ndarray[Any, Any]:
    """An array that others map too."""
    import numpy as np

    array: np.ndarray[Any, Any] = np.load(here(path), mmap_mode="r", allow_pickle=False)
    return array


def mapped_again(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Return the same part of a memory-mapped array's file, mapped so that changes stay in this mapping.

    None if it is not mapped, its file is not there any more or does not hold what the array does (a copy-on-write
    mapping may have been changed), or no more can be mapped (a task's memory limit counts what may be written).
    """
    import numpy as np

    place = None
    if isinstance(array, np.memmap) and array.mode in ("r", "r+", "w+") and array.nbytes >= ARRAY_MIN:
        place = _place_in_file(array)
    try:
        return None if place is None else _map_users_file("c", *place).view(np.ndarray)
    except OSError:
        return None


def _place_in_file(array: np.memmap[Any, Any]) -> tuple[Any, ...] | None:
    """Where in its own file a memory-mapped array lies, if the file holds what the array does."""
    import numpy as np

    source = array._mmap  # type: ignore[attr-defined]
    order = "C" if array.flags.c_contiguous else "F" if array.flags.f_contiguous else None
    if source is None or order is None or array.filename is None:
        return None
    filename = os.path.abspath(array.filename)
    if not os.path.exists(filename):
        return None
    start = np.frombuffer(source, dtype=np.uint8).__array_interface__["data"][0]
    within = array.__array_interface__["data"][0] - start
    mapped_from = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
    return filename, array.dtype, array.shape, mapped_from + within, order


def _map_users_file(
    mode: Any, filename: str, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, order: Any
) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.memmap(filename, dtype=dtype, mode=mode, offset=offset, shape=shape, order=order)


_refs: OrderedDict[str, Any] = OrderedDict()


def _load_ref(path: str) -> Any:
    """In a worker: what a Ref stands for. The last few stay loaded, so a model is not unpickled for every task."""
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
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        value.setflags(write=False)  # small ones are no file; all shared arrays behave alike
    return value
