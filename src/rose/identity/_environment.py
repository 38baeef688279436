"""Find environment variables that decide results, where code or a command line names them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    r"(?<![a-z])(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API[_-]?KEY|ACCESS[_-]?KEY|PRIVATE[_-]?KEY|CREDENTIAL|BEARER"
    r"|AUTH|AUTHORIZATION|COOKIE)S?(?![a-z])",
    re.IGNORECASE,
)
_OF_A_USER = re.compile(r"://[^/\s:@]*:[^/\s@]+@")  # a password in an address
_SHORTEST = 6  # letters of a secret that is looked for inside texts


def is_secret(name: str) -> bool:
    """Return whether a name says that its value is secret: that decides no result, and nothing is written of it.

    >>> is_secret("accessToken"), is_secret("headers['Authorization']"), is_secret("tokenizer")
    (True, True, False)
    """
    return bool(_SECRET.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)))


def tells_secret(text: str) -> bool:
    """Return whether a text seems to hold a secret, as a header, an option or an address may."""
    return is_secret(text) or bool(_OF_A_USER.search(text))


def without_secrets(text: str) -> str:
    """Return a text without the values of environment variables that are secret."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and is_secret(name):
            text = text.replace(value, "")
    return text


def is_copy(value: Any) -> bool:
    """Return whether a dict has been made of the environment, perhaps with other entries in it.

    >>> is_copy({**os.environ, "SOLVER": "fast"}), is_copy({"SOLVER": "fast"})
    (True, False)
    """
    if type(value) is not dict or "PATH" not in value or "PATH" not in os.environ:
        return False
    return 2 * sum(name in value for name in os.environ) >= len(os.environ)


def set_by_program(given: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a dict; of a copy of the environment, those of its entries that are not the environment's.

    >>> set_by_program({**os.environ, "SOLVER": "fast"})
    {'SOLVER': 'fast'}
    """
    if given is not os.environ and not is_copy(given):
        return given
    return {name: value for name, value in given.items() if os.environ.get(name) != value and not decides_nothing(name)}


def decides_nothing(name: Any) -> bool:
    """Return whether a variable decides no result: it says where or by whom a program runs, or is secret."""
    return isinstance(name, str) and (bool(_OF_THE_PLACE.match(name)) or is_secret(name))


def variable(name: str, within: Mapping[str, str] = os.environ) -> Part | None:
    """Return what an environment variable says (or a copy of the environment); None of one that decides no result."""
    if decides_nothing(name):
        return None
    value = within.get(name)
    return Part(
        digest_of("unset" if value is None else "set", value or ""), "not set" if value is None else shown(value)
    )


def asked(value: Any, steps: Sequence[tuple[str, Any]]) -> str | None:
    """Return the variable that is looked up where steps follow an object; "": an unknown one, None: it is none.

    >>> asked(os, [(".", "environ"), (".", "get"), ("[", "SOLVER")])
    'SOLVER'
    """
    key = next((key for kind, key in steps if kind == "[" and isinstance(key, str)), "")
    if is_copy(value):
        return key or None
    within_os = value is os and bool(steps) and steps[0][1] in ("environ", "getenv")
    if not within_os and not any(value is one for one in (os.environ, os.getenv)):
        return None
    return key


def named_in(texts: Iterable[str]) -> Iterator[str]:
    """Yield the variables that command lines name, as `$SOLVER` and `${SOLVER}`."""
    for text in texts:
        for match in _IN_SHELL.finditer(text):
            yield match[1] or match[2]
