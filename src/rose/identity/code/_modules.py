"""Tell the user's own code from an installed package's, which is known by its name alone."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from typing import Any

_MADE = 1 << 9  # the flag of classes that are made when a program runs
_INSTALLED = {"site-packages", "dist-packages"}


def is_own(name: str | None, file: str | None = None) -> bool:
    """Return whether a module is the user's own: the program, what lies beside it, and what is installed editably.

    Not the user's own is what lies in a `site-packages` or `dist-packages` directory, the standard library, what is
    compiled into Python, and ROSE.

    Args:
        name: the module's `__name__`; None is what was typed or executed, which is the user's.
        file: its `__file__`, None where it has none.

    >>> import json, numpy
    >>> is_own("__main__"), is_own("json", json.__file__), is_own("numpy", numpy.__file__)
    (True, False, False)
    """
    top = (name or "").partition(".")[0]
    if name in (None, "__main__"):
        return True
    if top == "rose":
        return False
    if not file or file.startswith("<"):
        return top not in sys.stdlib_module_names
    return _is_own_file(file)


def is_own_module(module: Any) -> bool:
    """Return whether a module object is the user's own, as `is_own`."""
    return is_own(getattr(module, "__name__", None), getattr(module, "__file__", None))


def is_own_class(cls: type) -> bool:
    """Return whether a class is of one of the user's own modules."""
    name = cls.__module__
    if not isinstance(name, str) or name.startswith("_cython") or not cls.__flags__ & _MADE:
        return False  # a class of compiled code
    return is_own(name, getattr(sys.modules.get(name), "__file__", None))


def package_of(thing: Any) -> str:
    """Return the name of the top-level package that something is of; "" where it does not say.

    >>> import numpy
    >>> package_of(numpy.linalg.solve)
    'numpy'
    """
    top = str(getattr(thing, "__module__", None) or "").partition(".")[0].lstrip("_")
    return "os" if top in ("posixpath", "ntpath", "posix", "nt") else top  # which of them, the platform decides


@functools.lru_cache(maxsize=4096)
def _is_own_file(file: str) -> bool:
    path = os.path.realpath(file)
    if _INSTALLED & {*path.split(os.sep), *os.path.abspath(file).split(os.sep)}:
        return False
    library = [os.path.realpath(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib")]
    return not any(path.startswith(one + os.sep) for one in library)
