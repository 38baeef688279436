"""Make pickles that other sessions and other Pythons can open.

What the user's script defines is in them by name, and found by that name when they are read; what it was when it was
written is kept beside the name, for programs that do not have it. Code, which only the Python that made it can run,
says which one that was.
"""

from __future__ import annotations

import dis
import functools
import io
import pickle
import platform
import sys
import weakref
import zlib
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, BinaryIO

import cloudpickle

from rose.errors import MissingDefinitionError, OtherPythonError

PYTHON = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"
KEPT_MAX = 64 * 1024  # bytes of a definition that are kept beside its name; a longer one is found by name only

_CACHED = type(functools.lru_cache(int))
_kept: weakref.WeakKeyDictionary[Any, bytes] = weakref.WeakKeyDictionary()


def name_in_main(value: object) -> str | None:
    """Return the name by which the program's main module has a class or function; None if it has it by none.

    >>> name_in_main(dict) is None
    True
    """
    kind = type(value)
    if kind is not FunctionType and kind is not _CACHED and not isinstance(value, type):
        return None
    if getattr(value, "__module__", None) != "__main__":
        return None
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) and in_main(name) is value else None


def in_main(name: str) -> Any:
    """Return what the program's main module has under a name with dots; None if nothing."""
    found: Any = sys.modules.get("__main__")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def dumps(value: Any) -> bytes:
    """Pickle a value; what the script defines travels by name, with what it is now kept beside it.

    Raises whatever the value's own pickling raises.
    """
    file = io.BytesIO()
    _ByName(file, pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


def loads(data: Any) -> Any:
    """Load what `dumps` wrote, or an older version did.

    Raises:
        MissingDefinitionError: if the script's class or function is not here, and was not kept.
        OtherPythonError: if it holds code that another Python made.
    """
    data = bytes(data)
    return load(io.BytesIO(data)) if b"cloudpickle" in data or b"__main__" in data else pickle.loads(data)


def load(file: BinaryIO) -> Any:
    """Load from a file, as `loads`."""
    return _Reader(file).load()


class Writer(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickle as cloudpickle does, but have code say which Python made it, and in which file it is."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is CodeType:
            return made_by, (PYTHON, obj.co_filename, *self.dispatch_table[CodeType](obj))
        if type(obj) is functools.cached_property:  # holds a lock, before Python 3.12
            return cached_again, (obj.func, obj.attrname)
        if type(obj) is FunctionType and is_generic(obj):  # holds a cache by weak references
            known = dict(obj.registry)  # type: ignore[attr-defined]
            return generic_again, (known.pop(object), list(known.items()))
        return super().reducer_override(obj)


def is_generic(function: FunctionType) -> bool:
    """Return whether it is a function of `functools.singledispatch`, in the user's script."""
    return hasattr(function, "registry") and hasattr(function, "dispatch") and function.__module__ == "__main__"


def cached_again(function: Callable[..., Any], name: str | None) -> functools.cached_property[Any]:
    """Make a `functools.cached_property` again."""
    made = functools.cached_property(function)
    made.attrname = name
    return made


def generic_again(function: Callable[..., Any], implementations: list[tuple[type, Callable[..., Any]]]) -> Any:
    """Make a function of `functools.singledispatch` again."""
    made = functools.singledispatch(function)
    for cls, implementation in implementations:
        made.register(cls, implementation)
    return made


class _ByName(Writer):
    def reducer_override(self, obj: Any) -> Any:
        name = name_in_main(obj)
        if name is None:
            return super().reducer_override(obj)
        what = "class" if isinstance(obj, type) else "function"
        return defined, (what, name, getattr(sys.modules["__main__"], "__file__", None), _definition(obj))


class _Bounded(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + len(data) > KEPT_MAX:
            raise OverflowError("a definition that is too long to be kept beside its name")
        return super().write(data)


def _definition(value: Any) -> bytes:
    """Pickle a class or function by value, compressed; nothing where it is too long, or holds what does not pickle."""
    if value not in _kept:
        file = _Bounded()
        try:
            Writer(file, pickle.HIGHEST_PROTOCOL).dump(value)
            _kept[value] = zlib.compress(file.getvalue())
        except Exception:  # the name is enough, and is all that there is
            _kept[value] = b""
    return _kept[value]


def made_by(python: str, filename: str, make: Callable[..., CodeType], args: tuple[Any, ...]) -> CodeType:
    """Make a code object again (some versions of cloudpickle leave out where it is, which tracebacks show).

    Raises:
        OtherPythonError: if another Python made it: this one would crash when it ran it.
    """
    if python != PYTHON:
        raise OtherPythonError(f"it holds code that {python} made, which {PYTHON} cannot run")
    return make(*args).replace(co_filename=filename)


def defined(what: str, name: str, script: str | None, kept: bytes) -> Any:
    """Find a class or function of the user's script by name; where there is no such name, make it as it was.

    Raises:
        MissingDefinitionError: if it was not kept, or another Python made it.
    """
    found = in_main(name)
    if isinstance(found, type) if what == "class" else callable(found):
        return found
    whose = f"{what} {name} of {script or 'a notebook or an interactive session'}"
    if not kept:
        raise MissingDefinitionError(
            f"it needs the {whose}, which this program does not define: define it in the main script, or import it "
            "there"
        )
    try:
        return _as_it_was(kept)
    except OtherPythonError as error:
        raise MissingDefinitionError(
            f"it needs the {whose}, which this program does not define (of what was kept of it: {error}): define it in "
            "the main script, or import it there"
        ) from None


@functools.lru_cache(256)  # of one class there is one
def _as_it_was(kept: bytes) -> Any:
    return loads(zlib.decompress(kept))


# --- what cloudpickle itself wrote, as older versions of ROSE had it do ----------------------------------------------


class _Reader(pickle.Unpickler):
    """Find by name what the script still defines, and refuse code that this Python did not make."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "__main__" and in_main(name) is None:
            raise MissingDefinitionError(
                f"it needs {name} of a script, which this program does not define: define it in the main script, or "
                "import it there"
            )
        found = super().find_class(module, name)
        if module.startswith("cloudpickle"):
            if name in ("_make_skeleton_class", "_make_skeleton_enum"):
                return functools.partial(_class_by_name, found)
            if name == "_class_setstate":
                return functools.partial(_set_state, found)
            if name == "_builtin_type":
                return functools.partial(_builtin_type, found)
        return found


def _class_by_name(make: Callable[..., Any], *args: Any) -> Any:
    found = in_main(args[1])
    mine = isinstance(found, type) and name_in_main(found) == args[1]
    return found if mine and "__main__" in (args[4], *_modules(args[3])) else make(*args)


def _modules(given: Any) -> tuple[Any, ...]:
    return (given.get("__module__"),) if isinstance(given, dict) else ()


def _set_state(set_state: Callable[[Any, Any], Any], made: Any, state: Any) -> Any:
    return made if name_in_main(made) is not None else set_state(made, state)


def _builtin_type(find: Callable[[str], Any], name: str) -> Any:
    return _code if name == "CodeType" else find(name)


def _code(*args: Any) -> CodeType:
    instructions = next((one for one in args if isinstance(one, bytes)), b"")[::2]
    known = all(not dis.opname[one].startswith("<") for one in instructions)
    if not known or dis.opmap["RESUME"] not in instructions:
        raise OtherPythonError(f"it holds code that another Python made, which {PYTHON} cannot run")
    return CodeType(*args)
