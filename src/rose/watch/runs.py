"""Show `rose runs`: the runs below a directory, one line each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rose.errors import CorruptRunError, RoseError, RunDirectoryError
from rose.store import describe_seconds, holds_run
from rose.store.files.paths import DATABASE
from rose.watch.summary import RunSummary, summarize
from rose.watch.terminal import size, table

DEPTH = 6  # levels of directories below the one that is asked for
ENTRIES = 100_000  # directories that are searched for runs, and files of one run whose sizes are added up


@dataclass(frozen=True)
class FoundRun:
    """Describe a run directory: how it stands, or what is wrong with it.

    Attributes:
        path: the directory.
        state: how it stands in a word, or "damaged", or "unreadable" (of another format, not ours to read).
        summary: how the run stands; None: it cannot be read.
        error: why not.
        bytes: what its files occupy.
        whole: whether all of them were counted.
        seen: when it was last heard of (Unix time).
    """

    path: Path
    state: str
    summary: RunSummary | None
    error: str | None
    bytes: int
    whole: bool
    seen: float


def find_runs(directory: Path) -> tuple[list[FoundRun], bool]:
    """Return the runs in a directory and below it, the last that was heard of first; and whether all was searched.

    Runs are not searched for runs, nor are hidden directories; at most `DEPTH` levels and `ENTRIES` entries are.

    Raises:
        RunDirectoryError: if there is no such directory.
    """
    if not directory.is_dir():
        raise RunDirectoryError(f"there is no directory {str(directory)!r}")
    paths, whole = _search(directory)
    return sorted(map(_look, paths), key=lambda run: (-run.seen, run.path)), whole


def runs_text(runs: list[FoundRun]) -> str:
    """Return one line a run."""
    now = time.time()
    return table(("run", "state", "iteration", "labels", "workflows", "age", "size"), [_row(run, now) for run in runs])


def runs_json(runs: list[FoundRun]) -> list[dict[str, Any]]:
    """Return runs in plain JSON."""
    return [
        {
            "run": str(run.path),
            "state": run.state,
            "error": run.error,
            "begun": None if run.summary is None else run.summary.begun,
            "seen": run.seen,
            "labels": None if run.summary is None else run.summary.labels,
            "workflows": None if run.summary is None else {w.name: w.iteration for w in run.summary.workflows},
            "bytes": run.bytes,
        }
        for run in runs
    ]


def _row(run: FoundRun, now: float) -> list[str]:
    occupied = size(run.bytes) if run.whole else f"over {size(run.bytes)}"
    if run.summary is None:
        return [str(run.path), run.state, "", "", run.error or "", describe_seconds(now - run.seen), occupied]
    workflows = run.summary.workflows
    iterations = [workflow.iteration for workflow in workflows if workflow.iteration is not None]
    reached = f"{max(iterations)}" if iterations else ""
    names = ", ".join(workflow.name for workflow in workflows)
    age = describe_seconds(now - run.summary.begun)
    return [str(run.path), run.state, reached, str(run.summary.labels or ""), names, age, occupied]


def _search(directory: Path) -> tuple[list[Path], bool]:
    """Return directories that hold runs, and whether all entries were looked at."""
    found, left, levels = [], ENTRIES, [(directory, 0)]
    while levels:
        path, depth = levels.pop()
        if holds_run(path):
            found.append(path)
        elif depth < DEPTH:
            for folder in _folders(path):
                left -= 1
                if not left:
                    return found, False
                levels.append((folder, depth + 1))
    return found, True


def _folders(path: Path) -> Iterator[Path]:
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    yield Path(entry.path)
    except (PermissionError, FileNotFoundError):  # not ours to look at; or it is gone
        return


def _look(path: Path) -> FoundRun:
    occupied, whole = _occupied(path)
    try:
        summary = summarize(path, tasks=False)
    except (RoseError, OSError) as error:
        state = "damaged" if isinstance(error, CorruptRunError) else "unreadable"
        written = (path / DATABASE).stat().st_mtime  # not its directory's, which changes when one looks
        return FoundRun(path, state, None, str(error), occupied, whole, written)
    return FoundRun(path, summary.state, summary, None, occupied, whole, summary.seen)


def _occupied(path: Path) -> tuple[int, bool]:
    """Return the bytes of a directory's files, and whether all were counted."""
    total, left = 0, ENTRIES
    for folder, _, names in os.walk(path):
        for name in names:
            left -= 1
            if not left:
                return total, False
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:  # the run goes on meanwhile
                continue
    return total, True
