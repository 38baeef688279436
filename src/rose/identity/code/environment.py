"""Environment variables that decide results, where code or a command line names them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rose.identity.digest import digest_of
from rose.identity.parts import Part, shown

_IN_SHELL = re.compile(r"\$(?:\{(\w+)|([A-Za-z_]\w*))")
# What says where and by whom a program runs, and how fast: it differs between jobs, and decides no result.
_OF_THE_PLACE = re.compile(
    r"(SLURM|PBS|LSB|SGE|FLUX|COBALT|OMP|MKL|OPENBLAS|NUMEXPR|KMP|CUDA|HIP|ROCR|NVIDIA|NCCL|ROSE|PYTEST|PYTHON|CONDA"
    r"|VIRTUAL_ENV|XDG|SSH|DBUS|LC|LANG|MPI|OMPI|PMI|PMIX|DASK|RAY|RADICAL)(_.*|[A-Z]*)$"
    r"|(PATH|LD_LIBRARY_PATH|HOME|USER|LOGNAME|HOSTNAME|HOST|PWD|OLDPWD|SHELL|TERM|DISPLAY|EDITOR|TMPDIR|TMP|TEMP"
    r"|SCRATCH|COLUMNS|LINES|NO_COLOR|TZ|SHLVL|_)$"
)
_SECRET = re.compile(
    r"(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)(_|$)", re.IGNORECASE
)


def is_secret(name: str) -> bool:
    """Return whether a name says that its value is secret: that decides no result, and nothing is written of it."""
    return bool(_SECRET.search(name))


def variable(name: str) -> Part | None:
    """Return what an environment variable says; None of one that decides no result."""
    if _OF_THE_PLACE.match(name) or is_secret(name):
        return None
    value = os.environ.get(name)
    return Part(
        digest_of("unset" if value is None else "set", value or ""), "not set" if value is None else shown(value)
    )


def asked(value: Any, steps: Sequence[tuple[str, Any]]) -> str | None:
    """Return the variable that is looked up where steps follow an object; "": an unknown one, None: it is none.

    >>> asked(os, [(".", "environ"), (".", "get"), ("[", "SOLVER")])
    'SOLVER'
    """
    within_os = value is os and bool(steps) and steps[0][1] in ("environ", "getenv")
    if not within_os and not any(value is one for one in (os.environ, os.getenv)):
        return None
    return next((key for kind, key in steps if kind == "[" and isinstance(key, str)), "")


def named_in(texts: Iterable[str]) -> Iterator[str]:
    """Yield the variables that command lines name, as `$SOLVER` and `${SOLVER}`."""
    for text in texts:
        for match in _IN_SHELL.finditer(text):
            yield match[1] or match[2]
