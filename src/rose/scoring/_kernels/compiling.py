"""Compile kernels.

Importing this module imports numba; `compiled` does so on the first large scoring call. Kernels release the GIL and
run on ordinary threads (numba's own thread pools may not be entered from two threads at once).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

# numba compiles by its own types; to mypy all of it is Any.
numba: Any = importlib.import_module("numba")
types: Any = numba.types
cgutils: Any = importlib.import_module("numba.core.cgutils")
extending: Any = importlib.import_module("numba.extending")
intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = extending.intrinsic
ir: Any = importlib.import_module("llvmlite.ir")

# No fast mathematics: nothing is reordered, and nothing fused but by `fused`, so a candidate's score is the same in
# every block.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first call, from the disk cache where one can be written."""
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba found no writable place (read-only package, no home): compile once per process
        compiled = numba.njit(**_OPTIONS)(function)
    return compiled


@kernel
def fill(out: Any, count: Any, value: Any) -> None:
    """Set out[:count] = value (a plain loop compiles to much less than a slice assignment)."""
    for j in range(count):
        out[j] = value


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as a part of each kernel that calls it."""
    compiled: Callable[..., Any] = numba.njit(forceinline=True, **_OPTIONS)(function)
    return compiled
