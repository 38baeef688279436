"""Show `rose watch`: how a run stands, kept up to date until it has ended."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rose.store import RunReader
from rose.watch.status import SHOWN, exit_code, state_line, status_text, workflow_lines
from rose.watch.summary import Fold, RunSummary, to_dict

PERIOD = 1.0  # seconds between two looks
_AROUND = 16  # lines of a status that are no workflow, task or stage
PATIENCE = 10.0  # seconds for which a driver may be silent while somebody watches: it sleeps, or it is dead

Show = Callable[[RunSummary], None]


def watch(directory: Path, as_json: bool = False, output: TextIO | None = None) -> int:
    """Show how a run stands until it has ended: in place on a terminal, else a line for each change.

    Args:
        directory: the run directory, of a run that lives or not.
        as_json: a line of JSON for each change instead.
        output: where to; None: stdout.

    Returns:
        What `rose status` ends with.

    Raises:
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
        KeyboardInterrupt: for Ctrl-C, at once.
    """
    output = output or sys.stdout
    if as_json:
        return _follow(directory, _on_change(lambda summary: [json.dumps(to_dict(summary))], output))
    if not output.isatty():
        return _follow(directory, _on_change(lambda summary: [state_line(summary), *workflow_lines(summary)], output))
    console = Console(file=output, highlight=False)
    with Live(console=console, auto_refresh=False) as live:

        def show(summary: RunSummary) -> None:
            lists = (console.height - _AROUND - len(summary.workflows) - len(summary.stages)) // 3
            text = status_text(summary, min(max(lists, 1), SHOWN))
            live.update(Text.from_ansi(text), refresh=True)

        return _follow(directory, show)


def _follow(directory: Path, show: Show) -> int:
    """Show the run as it stands once a period, until no driver drives it; a look costs what is new."""
    code = None
    while code is None:
        with RunReader(directory) as reader:
            code = _read_on(reader, show)
    return code


def _read_on(reader: RunReader, show: Show) -> int | None:
    """Return the exit code when the run has ended; None: its directory was removed, or is another run's by now."""
    fold, cursor, last_heard = Fold(reader.path), None, time.monotonic()
    while reader.is_current():
        changes = reader.since(cursor)
        cursor = changes.cursor
        fold.add(changes)
        summary = fold.summary()
        show(summary)
        if summary.state == "running":
            last_heard = time.monotonic()
        elif summary.state != "silent" or time.monotonic() - last_heard > PATIENCE:
            return exit_code(summary)
        time.sleep(PERIOD)
    return None


def _on_change(lines: Callable[[RunSummary], list[str]], output: TextIO) -> Show:
    """Return what prints those lines of a run that are new, when something has happened in it."""
    seen: object = None
    printed: set[str] = set()

    def show(summary: RunSummary) -> None:
        nonlocal seen, printed
        if (mark := _mark(summary)) == seen:
            return
        seen = mark
        found = lines(summary)
        output.writelines(f"{line}\n" for line in found if line not in printed)
        output.flush()
        printed = set(found)

    return show


def _mark(summary: RunSummary) -> object:
    """Return what changes when something has happened: no ages, and not what begins and ends in between."""
    workflows = [
        (one.name, one.iteration, one.labels, one.arrived, one.metric, one.uncertainty, one.stopped, one.retries)
        for one in summary.workflows
    ]
    failed = [(task.key, task.attempt) for task in summary.failed]
    return summary.state, summary.drivers, workflows, failed
