"""Make the command that an engine runs of a stage's command line: its launcher, directory and environment.

Launcher and directory are templates, of which all but the task's own names is checked when the stage is registered.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from pathlib import Path, PurePath
from urllib.parse import quote

from rose.engine import Command, TaskKey
from rose.engine.processes.thread_limits import environment
from rose.errors import ConfigurationError, near_miss
from rose.paths import expanded
from rose.stages.kinds import Kind
from rose.stages.stage import Stage
from rose.store.files.paths import fitting

DEFAULT_LAUNCHER = "mpiexec -n {ranks} {command}"
_LAUNCHER = ("ranks", "cpus", "gpus", "command")  # the placeholders of a launcher,
_CWD = ("workflow", "iteration", "stage", "model", "index")  # and those of a working directory
_HEAD = re.compile(r"(?:\$\{\w+\}|[^{])*")  # up to the first placeholder
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_BETWEEN = re.compile(r";|\n|\|\||&&|(?<![<>|])&(?!>)")  # not the & of >&, <&, &> and |&


def launch(stage: Stage, key: TaskKey, line: str, workdir: Path | None = None) -> Command:
    """Return the command for one task; `stage` is the task's own (`stage_for`), `workdir` None the driver's directory.

    >>> from rose.stages.options import make_stage
    >>> stage = make_stage("simulation", print, {"ranks": 4, "cpus": 2})
    >>> command = launch(stage, TaskKey("bald", 0, "simulation", index=7), "./solve 7")
    >>> command.line, command.env["OMP_NUM_THREADS"], stage.resources.cpus
    ('mpiexec -n 4 ./solve 7', '2', 8)

    Raises:
        ConfigurationError: if a launcher would start only a part of the line.
    """
    if stage.ranks is None and stage.launcher is None:
        return Command(line, cwd=workdir)
    if _is_list(line):
        raise ConfigurationError(
            f"task {key}: the launcher of {stage.name} would start only the first of several commands: {line}; put "
            "them into a script, or write the launcher into the line instead of ranks= and launcher="
        )
    ranks = stage.ranks or 1
    cpus = stage.resources.cpus // ranks
    launched = (stage.launcher or DEFAULT_LAUNCHER).format(
        ranks=ranks, cpus=cpus, gpus=stage.resources.gpus, command=line
    )
    return Command(launched, cwd=workdir, env=environment(cpus))  # the engine's own would be for all ranks together


def working_directory(stage: Stage, key: TaskKey, base: Path) -> Path | None:
    """Return where a task's command works by the stage's `cwd` template, under `base`; None where it has none.

    Names are made safe for the file system, and stay distinct; a part that only stands for what the task does not have
    is left out.

    >>> from rose.stages.options import make_stage
    >>> stage = make_stage("training", print, {"cwd": "work/{workflow}/{iteration}/{model}"})
    >>> working_directory(stage, TaskKey("bald", 3, "training", "a/b"), Path("/runs")).as_posix()
    '/runs/work/bald/3/a%2Fb'
    """
    if stage.cwd is None:
        return None
    head, tail = split_cwd(stage.cwd)
    parts = PurePath(
        tail.format(
            workflow=_safe(key.workflow),
            iteration=key.iteration,
            stage=_safe(key.stage),
            model=_safe(key.model or ""),
            index="" if key.index is None else key.index,
        )
    ).parts
    return base / expanded(head, f"cwd of {stage.name}") / Path(*map(fitting, parts))


def _safe(name: str) -> str:
    quoted = quote(name, safe=" =+,@")
    return quoted.replace(".", "%2E") if quoted and not quoted.strip(".") else quoted


def _is_list(line: str) -> bool:
    """Return whether a shell would run more than one command (or pipeline) for the line."""
    return bool(_BETWEEN.search(_QUOTED.sub("_", line.strip())))


def check_launcher(template: object, where: str) -> None:
    """Check that a launcher such as "mpiexec -n {ranks} {command}" can be filled in.

    Raises:
        ConfigurationError: if it has an unknown placeholder, or no place for the command.
    """
    if "command" not in _placeholders(template, "launcher", _LAUNCHER, where):
        raise ConfigurationError(
            f"launcher={template!r} of {where} has no {{command}}: where the command is to stand, as in "
            f"{DEFAULT_LAUNCHER!r}"
        )


def check_cwd(template: object, kind: Kind, where: str) -> None:
    """Check that a working directory such as "work/{workflow}/{iteration}" can be filled in for tasks of this kind.

    Raises:
        ConfigurationError: if it has an unknown placeholder, or one that these tasks have no value for.
    """
    head, tail = split_cwd(template) if isinstance(template, str) else ("", template)
    names = _placeholders(tail, "cwd", _CWD, where)
    for name, has in (("model", kind.has_model), ("index", kind.has_index)):
        if name in names and not has:
            raise ConfigurationError(f"cwd={template!r} of {where}: {kind.name} tasks have no {name}")
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
