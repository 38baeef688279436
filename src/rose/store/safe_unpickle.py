"""Load recorded values without the code that pickles may run: viewers may look at someone else's run."""

from __future__ import annotations

import io
import pickle
from typing import Any, BinaryIO

from rose.errors import CorruptRunError, NotPlainError
from rose.store.files.objects import ObjectStore

_CONTAINERS = {"complex", "set", "frozenset", "bytearray", "range", "slice"}
_NUMPY = {"_reconstruct", "_frombuffer", "scalar", "ndarray", "dtype"}
_MODULES = {f"numpy{core}.{module}" for core in (".core", "._core") for module in ("multiarray", "numeric")} | {"numpy"}


class _PlainUnpickler(pickle.Unpickler):
    """Load numbers, texts, their containers, and NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if (module == "builtins" and name in _CONTAINERS) or (module in _MODULES and name in _NUMPY):
            return super().find_class(module, name)
        if (module, name) == ("rose.loop.state", "StopReason"):  # in rounds' records of older versions
            return str
        if (module, name) == ("rose.portable", "defined"):
            return _of_the_script
        raise NotPlainError(f"{module}.{name}")


def _of_the_script(what: str, name: str, script: str | None, kept: bytes) -> Any:
    raise NotPlainError(f"__main__.{name}")


def load_plainly(file: BinaryIO) -> Any:
    """Unpickle numbers, texts, lists, tuples, dicts, sets and NumPy arrays.

    Raises:
        NotPlainError: naming the first other class or function that the pickle asks for; it is not imported.
    """
    return _PlainUnpickler(file).load()


def read_plainly(objects: ObjectStore, value: bytes | None, file: str | None) -> Any:
    """Return a result as the journal refers to it: pickled in itself, or a file of the object store.

    Raises:
        NotPlainError: if code would have to run to load it.
        CorruptRunError: if it is damaged.
    """
    if value is None:
        return None if file is None else objects.get(file, load_plainly)
    try:
        return load_plainly(io.BytesIO(value))
    except NotPlainError:
        raise
    except Exception as error:
        raise CorruptRunError(f"a recorded result cannot be read: {type(error).__name__}: {error}") from error
