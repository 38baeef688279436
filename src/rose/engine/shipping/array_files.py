"""Keep arrays as files that processes map: write and read them, and tell one content from another."""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ARRAY_MIN = 64 * 1024  # bytes from which an array becomes a file
MAP_MIN = 1024 * 1024  # bytes from which a file that is read once is mapped: a mapping holds a file descriptor
MAPS_MAX = 256  # ... so no more than this many at a time; what comes beyond is copied into memory

elsewhere: dict[str, str] = {}  # on another machine than the driver's: its folders, and where they have been copied to
_maps_alive = 0


def relocate(folder: str, here: str) -> None:
    """Take note, on another machine, that what is in the driver's `folder` has been copied to `here`."""
    elsewhere[folder] = here


def here(path: str) -> str:
    """Return where a file of the driver's is to be read."""
    for folder, place in elsewhere.items():
        if path.startswith(folder + os.sep):
            return place + path[len(folder) :]
    return path


def is_array(value: Any) -> bool:
    """Return whether it is one of NumPy's, without importing that."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def write_content(path: str, content: Any) -> None:
    """Write a file of bytes or of an array. Blocks."""
    if isinstance(content, bytes):
        with open(path, "wb") as file:
            file.write(content)
    else:
        import numpy as np

        np.save(path, content, allow_pickle=False)


def take_array(path: str) -> np.ndarray[Any, Any]:
    """Return an array that was written for us alone: ours to change, and its file is gone."""
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


def map_array(path: str) -> np.ndarray[Any, Any]:
    """Return an array that others map, too."""
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
        place = place_in_file(array)
    try:
        return None if place is None else map_users_file("c", *place).view(np.ndarray)
    except OSError:
        return None


def place_in_file(array: np.memmap[Any, Any]) -> tuple[Any, ...] | None:
    """Find where in its own file a memory-mapped array lies, if the file holds what the array does."""
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


def map_users_file(
    mode: Any, filename: str, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, order: Any
) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.memmap(filename, dtype=dtype, mode=mode, offset=offset, shape=shape, order=order)


def array_again(path: str) -> np.ndarray[Any, Any]:
    """Return an array whose file others read, too; changes stay here."""
    import numpy as np

    array: np.ndarray[Any, Any] = np.load(here(path), mmap_mode="c", allow_pickle=False)
    return array.view(np.ndarray)


def digest_of_array(array: np.ndarray[Any, Any]) -> str:
    """Return what tells an array's content from another's: type, shape, layout and bytes."""
    import numpy as np

    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    content = np.ascontiguousarray(array.T if fortran else array)
    hasher = hashlib.sha256(f"{array.dtype.descr} {array.shape} {fortran}".encode())
    hasher.update(content.reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()[:40]


def may_change(array: np.ndarray[Any, Any]) -> bool:
    """Return whether an array's content may be written to, by it or by what it is a view of."""
    owner: Any = array
    while isinstance(owner, type(array)) or hasattr(owner, "flags"):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return not (owner is None or isinstance(owner, bytes))
