"""How a stage's command line becomes the command that an engine runs: its launcher, directory and environment."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from urllib.parse import quote

from rose.engine import Command, TaskKey
from rose.engine.threadlimits import environment
from rose.errors import ConfigurationError
from rose.paths import expanded
from rose.store.places import fitting
from rose.workflow.stages import Stage
from rose.workflow.templates import DEFAULT_LAUNCHER, split_cwd

_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_BETWEEN = re.compile(r";|\n|\|\||&&|(?<![<>|])&(?!>)")  # not the & of >&, <&, &> and |&


def launch(stage: Stage, key: TaskKey, line: str, workdir: Path | None = None) -> Command:
    """The command for one task; `stage` is the task's own (`stage_for`), `workdir` None the driver's directory.

    >>> from rose.workflow.options import make_stage
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
    """Where a task's command works by the stage's `cwd` template, under `base`; None where it has none.

    Names are made safe for the file system, and stay distinct; a part that only stands for what the task does not have
    is left out.

    >>> from rose.workflow.options import make_stage
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
    """Whether a shell would run more than one command (or pipeline) for the line."""
    return bool(_BETWEEN.search(_QUOTED.sub("_", line.strip())))
