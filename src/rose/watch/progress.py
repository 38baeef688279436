"""Show progress on a terminal: one line a workflow, redrawn in place; plain lines where the output is no terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, Protocol, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rose.engine.functions.printing import Shown
from rose.store import (
    EVERYWHERE,
    Event,
    EventLog,
    IterationDone,
    TaskCancelled,
    TaskDone,
    TaskFailed,
    TaskQueued,
    TaskRetried,
    WorkflowStopped,
)
from rose.watch.terminal import clean, encodable, one_line

_all_shown = False  # while what every learner runs is shown


class HasEvents(Protocol):
    """Describe what has events to read: every learner."""

    events: EventLog


@dataclass
class _Line:
    """Hold what is shown of one workflow."""

    iteration: int | None = None
    labels: int | None = None
    metric_name: str | None = None
    metric_value: float | None = None
    uncertainty: float | None = None
    open_tasks: int = 0
    done_tasks: int = 0
    failed_tasks: int = 0
    end: str = ""


@dataclass
class _Board:
    """Hold what is shown of all workflows, kept up to date by events; the drawing thread reads it."""

    encoding: str = "utf-8"
    lines: dict[str, _Line] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    start: float = field(default_factory=time.monotonic)

    def read(self, event: Event) -> None:
        with self.lock:
            key = getattr(event, "key", None)
            name = getattr(event, "workflow", None) if key is None else key.partition("/")[0]
            if name is None:  # of the run
                return
            line = self.lines.setdefault(name, _Line())
            match event:
                case TaskQueued():
                    line.open_tasks += 1
                case TaskDone():
                    line.open_tasks, line.done_tasks = line.open_tasks - 1, line.done_tasks + 1
                case TaskCancelled():
                    line.open_tasks -= 1
                case TaskFailed() | TaskRetried():
                    line.open_tasks, line.failed_tasks = line.open_tasks - 1, line.failed_tasks + 1
                case IterationDone():
                    line.iteration, line.labels = event.iteration, event.labels
                    line.metric_name, line.uncertainty = event.metric_name, event.uncertainty
                    line.metric_value = event.metric_value
                case WorkflowStopped():
                    line.end = event.reason if event.error is None else f"{event.reason}: {event.error}"

    def __rich__(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for title in ("workflow", "iteration", "labels", "metric", "uncertainty", "tasks open / done / failed", ""):
            table.add_column(title, overflow="ellipsis" if self.encoding.startswith("utf") else "crop")
        with self.lock:
            for name, line in self.lines.items():
                cells = (one_line(cell, 400) for cell in (name, *_cells(line)))
                table.add_row(*(Text(encodable(cell, self.encoding)) for cell in cells))
        table.caption = f"{time.monotonic() - self.start:.0f} s"
        table.caption_justify = "left"
        return table


def _cells(line: _Line) -> tuple[str, ...]:
    metric = "" if line.metric_value is None else f"{line.metric_name} {line.metric_value:.4g}"
    return (
        _shown(line.iteration),
        _shown(line.labels),
        metric,
        "" if line.uncertainty is None else f"{line.uncertainty:.4g}",
        f"{line.open_tasks} / {line.done_tasks} / {line.failed_tasks}",
        line.end,
    )


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


@contextlib.contextmanager
def progress(learner: HasEvents | None = None, console: Console | None = None) -> Iterator[None]:
    """Show the progress of what the learner runs inside the `with` block.

    Args:
        learner: whose events to read; None: those of all learners of this process, and calls for one
            of them, which say no console, show nothing more.
        console: where to write; None: standard error, so that a program's own output stays clean.

    Example:
        with progress(learner):
            results = learner.run(workflows={"entropy": PREDICTIVE_ENTROPY}, max_iter=20)
    """
    global _all_shown
    if _all_shown and console is None:
        yield
        return
    events = EVERYWHERE if learner is None else learner.events
    console = console or Console(stderr=True)
    shown = console.file
    console.file = cast(IO[str], Shown(shown))  # a lost terminal ends no run
    board = _Board(console.encoding)
    live = Live(board, console=console, refresh_per_second=8) if console.is_terminal else None
    reader = _printing(console) if live is None else _drawing(board, live)
    if live is not None and learner is not None:  # a program may do much before it runs something
        live.start()
    events.subscribe(reader)
    _all_shown = learner is None
    try:
        yield
    finally:
        _all_shown = False
        events.unsubscribe(reader)
        if live is not None:
            live.stop()
        console.file = shown


def _drawing(board: _Board, live: Live) -> Callable[[Event], None]:
    """Return a reader of events that keeps a board up to date, and draws it from the first event on."""

    def read(event: Event) -> None:
        board.read(event)
        if not live.is_started:
            live.start()

    return read


def _printing(console: Console) -> Callable[[Event], None]:
    """Return a reader of events that prints a line an iteration, for logs and pipes."""
    board = _Board()

    def read(event: Event) -> None:
        board.read(event)
        if isinstance(event, (IterationDone, WorkflowStopped)):
            line = board.lines[event.workflow]
            iteration, labels, metric, uncertainty, _, end = _cells(line)
            parts = [f"iteration {iteration}"] if iteration else []
            parts += [f"{labels} labels"] if labels else []
            parts += [metric] if metric else []
            parts += [f"uncertainty {uncertainty}"] if uncertainty else []
            text = f"stopped: {end}" if isinstance(event, WorkflowStopped) else ", ".join(parts)
            shown = encodable(clean(f"{event.workflow}: {text}"), console.encoding)
            console.print(shown, markup=False, highlight=False, soft_wrap=True)

    return read
