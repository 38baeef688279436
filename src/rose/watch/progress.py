"""Show progress on a terminal: one line a workflow, redrawn in place; plain lines where the output is no terminal."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
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
    DriverStarted,
    Event,
    EventLog,
    IterationDone,
    TaskBegan,
    TaskCancelled,
    TaskDone,
    TaskFailed,
    TaskQueued,
    TaskRetried,
    WorkflowStopped,
)
from rose.watch._notebook import NotebookOutput, in_notebook
from rose.watch.summary import workflow_of
from rose.watch.terminal import clean, duration, encodable, one_line

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
class _Stage:
    """Sum up the seconds of one stage's tasks."""

    waiting: float = 0.0
    running: float = 0.0


@dataclass
class _Board:
    """Hold what is shown of all workflows, kept up to date by events; the drawing thread reads it."""

    encoding: str = "utf-8"
    lines: dict[str, _Line] = field(default_factory=dict)
    stages: dict[str, _Stage] = field(default_factory=dict)
    queued: dict[str, float] = field(default_factory=dict)  # when the tasks that have not begun were queued
    lock: Lock = field(default_factory=Lock)
    start: float = field(default_factory=time.monotonic)

    def read(self, event: Event) -> None:
        with self.lock:
            if isinstance(event, DriverStarted):
                self.lines |= {name: self.lines.get(name, _Line()) for name in event.workflows}
            key: str | None = getattr(event, "key", None)
            name: str | None = getattr(event, "workflow", None)
            if key is not None:
                name = workflow_of(key, self.lines) or key.partition("/")[0]
            if name is None:  # of the run
                return
            if key is not None:
                self._time(event, key, key[len(name) + 1 :].split("/"))
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

    def _time(self, event: Event, key: str, parts: Sequence[str]) -> None:
        """Add the time that a task has waited, or run, to its stage's."""
        if isinstance(event, TaskQueued):
            self.queued[key] = time.monotonic()
            return
        queued = self.queued.pop(key, None)
        if len(parts) < 2:
            return
        stage = self.stages.setdefault(parts[1], _Stage())
        if isinstance(event, TaskBegan) and queued is not None:
            stage.waiting += time.monotonic() - queued
        elif isinstance(event, (TaskDone, TaskFailed, TaskCancelled)):
            stage.running += event.seconds

    def times(self) -> str:
        """Return where the time went, by stage."""
        with self.lock:
            shown = [
                f"{one_line(name, 40)} {duration(stage.running)} running, {duration(stage.waiting)} waiting"
                for name, stage in self.stages.items()
                if stage.running or stage.waiting
            ]
        return encodable("; ".join(shown), self.encoding)

    def text(self) -> str:
        """Return all that is shown, as plain text."""
        console = Console(file=io.StringIO(), width=120, color_system=None, force_jupyter=False)
        console.print(self)
        return "\n".join(line.rstrip() for line in cast(io.StringIO, console.file).getvalue().splitlines())

    def __rich__(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for title in ("workflow", "iteration", "labels", "metric", "uncertainty", "tasks open / done / failed", ""):
            table.add_column(title, overflow="ellipsis" if self.encoding.startswith("utf") else "crop")
        with self.lock:
            for name, line in self.lines.items():
                cells = (one_line(cell, 400) for cell in (name, *_cells(line)))
                table.add_row(*(Text(encodable(cell, self.encoding)) for cell in cells))
        table.caption = Text("; ".join(filter(None, (f"{time.monotonic() - self.start:.0f} s", self.times()))))
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
        console: where to write; None: in a notebook its cell's output, else standard error, so that a program's own
            output stays clean.

    Example:
        with progress(learner):
            results = learner.run(workflows={"entropy": PREDICTIVE_ENTROPY}, max_iter=20)
    """
    global _all_shown
    if _all_shown and console is None:
        yield
        return
    events = EVERYWHERE if learner is None else learner.events
    notebook = console is None and in_notebook()
    console = console or Console(stderr=True)
    shown = console.file
    console.file = cast(IO[str], Shown(shown))  # a lost terminal ends no run
    board = _Board("utf-8" if notebook else console.encoding)
    live: Live | NotebookOutput | None = None
    if notebook:
        live = NotebookOutput(board.text)
    elif console.is_terminal:
        live = Live(board, console=console, refresh_per_second=8)
    reader = _printing(board, console) if live is None else _drawing(board, live)
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
        elif times := board.times():
            _print(console, f"where the time went: {times}")
        console.file = shown


def _drawing(board: _Board, live: Live | NotebookOutput) -> Callable[[Event], None]:
    """Return a reader of events that keeps a board up to date, and draws it from the first event on."""

    def read(event: Event) -> None:
        board.read(event)
        if not live.is_started:
            live.start()

    return read


def _printing(board: _Board, console: Console) -> Callable[[Event], None]:
    """Return a reader of events that prints a line an iteration, for logs and pipes."""

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
            _print(console, f"{event.workflow}: {text}")

    return read


def _print(console: Console, line: str) -> None:
    console.print(encodable(clean(line), console.encoding), markup=False, highlight=False, soft_wrap=True)
