"""Note what a run was driven by (command, versions, machine, settings), and write its report when it has ended."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from rose.loop.protocol import RunRequest
from rose.stages.config import setting
from rose.stages.parsing import plain
from rose.store import Run

_log = logging.getLogger("rose")

NOTE = "driver "  # what the notes' names begin with, before the number of the driver

_LIBRARIES = (
    *("rose", "numpy", "scipy", "sklearn", "pandas", "torch", "jax", "tensorflow", "xgboost", "lightgbm", "catboost"),
    *("distributed", "radical.asyncflow", "ase"),
)
_SETTINGS = ("uq_metric_name", "query_size", "threshold", "acquisition", "seed")


async def note_provenance(run: Run, request: RunRequest, learner: str, engine: object) -> None:
    """Note it for the driver that begins; a temporary run is read by nobody."""
    if not run.temporary:
        told = provenance(request) | {"learner": learner, "engine": type(engine).__name__}
        await run.journal.note(f"{NOTE}{run.journal.epoch}", told)


async def write_report(run: Run) -> None:
    """Write the report of a run that has ended, in a thread: whatever goes wrong with it, the run is well.

    None is written of a temporary run, nor of one that was broken off: its time may be short. `ROSE_REPORT=0` in the
    environment switches it off.
    """
    if run.temporary or run.outcome not in ("finished", "failed", "stopped") or os.environ.get("ROSE_REPORT") == "0":
        return
    try:
        await asyncio.to_thread(_write, run.path)
    except Exception:
        _log.warning("the report of the run in %s could not be written", run.path, exc_info=True)


def _write(run_dir: Path) -> None:
    from rose.watch.report import write_report  # what draws it takes a while to load

    write_report(run_dir)


def provenance(request: RunRequest) -> dict[str, Any]:
    """Return how this program was called and with which versions, and what was asked for, in plain JSON."""
    return {
        "command": shlex.join(sys.orig_argv),
        "directory": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _LIBRARIES if name in sys.modules},
        "models": list(request.model_names),
        "predictions of each model": request.num_predictions,
        "limits": {name: value for name, value in vars(request.limits).items() if value},
        "workflows": {name: _settings(request, name) for name in request.names},
    }


def _version(name: str) -> str:
    return str(getattr(sys.modules[name], "__version__", "unknown"))


def _settings(request: RunRequest, name: str) -> dict[str, Any]:
    """Return the settings of a workflow: its own, else what all of them have."""
    registered, config = request.stages[name], request.configs[name]
    told: dict[str, Any] = {one: setting(config, one, 0) for one in _SETTINGS}
    rule, criterion = registered.rule, registered.criterion
    if rule is not None:
        common = {"uq_metric_name": rule.metric_name, "query_size": rule.query_size, "threshold": rule.threshold}
        told |= {one: value for one, value in common.items() if told[one] is None}
    if criterion is not None:
        told["criterion"] = f"{criterion.metric_name} {criterion.operator} {criterion.threshold}"
    return {one: plain(value) for one, value in told.items() if value is not None}
