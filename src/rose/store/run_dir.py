"""Say where a run is to be: check a run directory, and open its journal without blocking the event loop."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Literal

from rose.errors import ConfigurationError, RunDirectoryError
from rose.store.database.schema import holds_run
from rose.store.files.fsync import make_directory
from rose.store.journal import Journal

Resume = bool | Literal["new"]


def check_run_dir(path: str | Path | None, resume: Resume = True) -> Path | None:
    """Return the directory in which to run: where there is a run, `resume` says what to do. None: a temporary one.

    Raises:
        ConfigurationError: if `path` is a file, or a directory that holds something else, or `resume` is none of its
            values.
        RunDirectoryError: if there is a run and `resume` is False.
    """
    if not isinstance(resume, bool) and resume != "new":
        raise ConfigurationError(f"resume={resume!r} must be True, False or 'new'")
    if path is None:
        return None
    directory = Path(path).absolute()
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(f"run_dir={str(path)!r} is a file; name a directory")
    if resume == "new":
        number = 2
        while directory.exists() and any(directory.iterdir()):
            directory = Path(f"{Path(path).absolute()}-{number}")
            number += 1
    elif holds_run(directory):
        if not resume:
            raise RunDirectoryError(
                f"run_dir={str(path)!r} holds a run, and resume=False: name another directory, or say resume='new' to "
                "start another run beside it"
            )
    elif directory.exists() and any(directory.iterdir()):
        raise ConfigurationError(f"run_dir={str(path)!r} is not empty, and holds no run: name a new directory")
    return directory


async def open_journal(path: Path | None) -> tuple[Path, Journal]:
    """Open the journal of the run in `path`, or begin one there; None: in a temporary directory.

    Returns:
        The directory, and its journal.

    Raises:
        RunLockedError: if another driver has it.
        RunDirectoryError, CorruptRunError, OSError: if it cannot be used.
    """
    given_up = threading.Event()

    def open_it() -> tuple[Path, Journal]:
        if path is None:
            directory = Path(tempfile.mkdtemp(prefix="rose-run-"))
        else:
            directory = path
            make_directory(directory)
        try:
            return directory, Journal.open(directory, path is not None, given_up)
        except BaseException:
            if path is None:
                shutil.rmtree(directory, ignore_errors=True)
            raise

    opening = asyncio.ensure_future(asyncio.to_thread(open_it))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:  # the thread goes on: what it opens has to be closed
        given_up.set()
        await asyncio.wait([opening])
        if opening.exception() is None:
            await close_journal(*opening.result(), "interrupted", path is None)
        raise


async def close_journal(directory: Path, journal: Journal, outcome: str, temporary: bool) -> None:
    """Commit what is left, with how the run ended; a temporary directory is removed."""
    try:
        await journal.close(outcome)
    finally:
        if temporary:
            await asyncio.to_thread(shutil.rmtree, directory, True)
