"""Keep a log in a run directory, for people: what has happened in the run, and what ROSE said meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path

from rose.store.events import (
    ChangesAccepted,
    DriverStarted,
    Event,
    IterationDone,
    LabelCorrected,
    OrderObeyed,
    OrderRefused,
    WorkflowStopped,
)
from rose.store.files.paths import LOG

_LONGEST = 20_000  # letters of a message
_ESCAPED = {code: ascii(chr(code))[1:-1] for code in (*range(9), *range(11, 32), *range(127, 160))}
_said_by = logging.getLogger("rose")


@asynccontextmanager
async def logged(run_dir: Path) -> AsyncIterator[Callable[[Event], None]]:
    """Append to a run's log, inside the block, what the logger "rose" says; gives what takes the run's events.

    A thread writes: nothing waits for the disk, and what cannot be written is lost, and no error.
    """
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    file = _File(run_dir / LOG, encoding="utf-8", errors="backslashreplace", delay=True)
    file.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s"))
    said = _Said(lines)
    said.setLevel(logging.INFO)
    writing = QueueListener(lines, file)
    writing.start()
    _said_by.addHandler(said)

    def take(event: Event) -> None:
        if text := _described(event):
            level = logging.ERROR if isinstance(event, WorkflowStopped) and event.error else logging.INFO
            lines.put(logging.LogRecord("rose", level, __file__, 0, text, None, None))

    def end() -> None:
        writing.stop()
        file.close()

    try:
        yield take
    finally:
        _said_by.removeHandler(said)
        said.close()
        await asyncio.to_thread(end)  # a thread goes on when this is cancelled


class _Said(QueueHandler):
    """Take what the logger says; where nobody else does, people still see warnings, as without a log."""

    def emit(self, record: logging.LogRecord) -> None:
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and self is _first_of(record.name):
            last.handle(record)
        args = record.args if isinstance(record.args, tuple) else ()
        if not any(isinstance(one, (IterationDone, WorkflowStopped)) for one in args):  # those come as events
            super().emit(record)


def _first_of(name: str) -> logging.Handler | None:
    """Return the first handler of a logger's messages, if all of them are of this file."""
    found: list[logging.Handler] = []
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        found += logger.handlers
        logger = logger.parent if logger.propagate else None
    return found[0] if found and all(isinstance(one, _Said) for one in found) else None


class _File(logging.FileHandler):
    """Write what can be written: a full disk, or a directory that is gone, is no failure of the run's."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose it."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class _Lines(logging.Formatter):
    """Begin a line for each message alone, whatever it holds, and steer no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        shown = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
        return shown.translate(_ESCAPED).replace("\n", "\n    ")


def _described(event: Event) -> str | None:
    """Return an event in words; None: it is said otherwise, or a task's own record says it."""
    match event:
        case DriverStarted():
            names = ", ".join(event.workflows)
            return f"driver {event.epoch}, process {os.getpid()} on {socket.gethostname()}, drives {names}"
        case IterationDone():
            parts = [f"{event.workflow}: iteration {event.iteration}"]
            parts += [] if event.labels is None else [f"{event.labels} labels"]
            parts += [] if event.metric_value is None else [f"{event.metric_name} {event.metric_value:.6g}"]
            parts += [] if event.uncertainty is None else [f"uncertainty {event.uncertainty:.6g}"]
            return ", ".join(parts)
        case WorkflowStopped():
            return f"{event.workflow}: stopped: {event.reason}" + (f": {event.error}" if event.error else "")
        case ChangesAccepted():
            where = "" if event.workflow is None else f" by {event.workflow} from iteration {event.iteration} on"
            return f"changes accepted{where}: {', '.join(event.names)}"
        case LabelCorrected():
            return f"the label of candidate {event.candidate} ({event.task}) is another one from now on"
        case OrderObeyed() | OrderRefused():
            became = "done" if isinstance(event, OrderObeyed) else "refused"
            return f"order {event.order} of {event.who} ({event.what}) {became}: {event.text}"
    return None
