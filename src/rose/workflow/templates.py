"""What a stage's options leave open until its task is known: the launcher's line and the working directory."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from rose.errors import ConfigurationError, near_miss
from rose.paths import expanded

DEFAULT_LAUNCHER = "mpiexec -n {ranks} {command}"
_LAUNCHER = ("ranks", "cpus", "gpus", "command")
_CWD = ("workflow", "iteration", "stage", "model", "index")
_HEAD = re.compile(r"(?:\$\{\w+\}|[^{])*")  # up to the first placeholder
_WITH_MODEL = ("training", "prediction", "criterion")
_WITH_INDEX = ("simulation", "prediction")


def check_launcher(template: object, where: str) -> None:
    """That a launcher such as "mpiexec -n {ranks} {command}" can be filled in.

    Raises:
        ConfigurationError: if it has an unknown placeholder, or no place for the command.
    """
    if "command" not in _placeholders(template, "launcher", _LAUNCHER, where):
        raise ConfigurationError(
            f"launcher={template!r} of {where} has no {{command}}: where the command is to stand, as in "
            f"{DEFAULT_LAUNCHER!r}"
        )


def check_cwd(template: object, kind: str, where: str) -> None:
    """That a working directory such as "work/{workflow}/{iteration}" can be filled in for tasks of this kind.

    Raises:
        ConfigurationError: if it has an unknown placeholder, or one that these tasks have no value for.
    """
    head, tail = split_cwd(template) if isinstance(template, str) else ("", template)
    names = _placeholders(tail, "cwd", _CWD, where)
    for name, kinds in (("model", _WITH_MODEL), ("index", _WITH_INDEX)):
        if name in names and kind not in kinds:
            raise ConfigurationError(f"cwd={template!r} of {where}: {kind} tasks have no {name}")
    if not str(template).strip():
        raise ConfigurationError(f"cwd={template!r} of {where} is empty")
    expanded(head, f"cwd of {where}")  # a variable that is missing is an error now


def split_cwd(template: str) -> tuple[str, str]:
    """Return a working directory's part in which `~` and `$NAME` are replaced, and the rest, with all placeholders.

    >>> split_cwd("${SCRATCH}/work/{workflow}/x")
    ('${SCRATCH}/work/', '{workflow}/x')
    """
    found = _HEAD.match(template)
    head = found[0] if found else ""
    cut = len(template) if head == template else head.rfind("/") + 1
    return template[:cut], template[cut:]


def _placeholders(template: object, option: str, known: Iterable[str], where: str) -> set[str]:
    if not isinstance(template, str):
        raise ConfigurationError(f"{option}={template!r} of {where} must be a text")
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template)]
    except ValueError as error:
        raise ConfigurationError(f"{option}={template!r} of {where}: {error}; write braces as {{{{ and }}}}") from None
    names = {name for name, _, _ in fields if name is not None}
    for name, spec, conversion in fields:
        if name is not None and name not in known:
            raise ConfigurationError(
                f"{option}={template!r} of {where} has an unknown placeholder {{{name}}}; {near_miss(name, known)}"
            )
        if spec or conversion:
            raise ConfigurationError(f"{option}={template!r} of {where}: placeholders take no format, only names")
    return names
