"""Hold a task's BLAS, OpenMP, numba and torch threads to its cpus."""

from __future__ import annotations

import os
import sys
from typing import Any

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def environment(cpus: int) -> dict[str, str]:
    """Return the variables that hold libraries to `cpus` threads when they are loaded, here or in a child."""
    return dict.fromkeys(VARIABLES, str(cpus))


class ThreadLimits:
    """Hold this process to each task's cpus; it was started with `environment(1)`."""

    def __init__(self) -> None:
        self._cpus = 1
        self._modules = 0
        self._libraries: list[Any] = []

    def hold(self, cpus: int) -> None:
        """Limit the libraries that are loaded, and through the environment those that the task will load."""
        if cpus != self._cpus:
            self._cpus = cpus
            variables = environment(cpus)
            if "numba" in sys.modules:  # it reads its variable again, and refuses another value once it has threads
                del variables["NUMBA_NUM_THREADS"]
            os.environ.update(variables)
        if len(sys.modules) != self._modules:
            self._look_for_libraries()
        for library in self._libraries:
            if library.num_threads != cpus:
                library.set_num_threads(cpus)
        torch = sys.modules.get("torch")
        if torch is not None and torch.get_num_threads() != cpus:
            torch.set_num_threads(cpus)
        numba = sys.modules.get("numba")
        if numba is not None and numba.config.NUMBA_NUM_THREADS > 1:
            # numba cannot go beyond what it started with: fewer threads than allowed, never more.
            numba.set_num_threads(min(cpus, numba.config.NUMBA_NUM_THREADS))

    def _look_for_libraries(self) -> None:
        """Look which libraries new modules have brought; that costs a millisecond, so not for every task."""
        if "numpy" in sys.modules or "torch" in sys.modules:
            from threadpoolctl import ThreadpoolController

            self._libraries = ThreadpoolController().lib_controllers
        self._modules = len(sys.modules)
