"""What another user of the machine can do with a run; only root can try it."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rose.store.journal import Journal
from tests.torture.harness import history

COLLEAGUE, GROUP = 12_345, 23_456  # no one has these ids

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that all users can enter, which pytest's are not."""
    path = Path(tempfile.mkdtemp(prefix="rose-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Make files with these rights."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def in_child(function: Callable[[], Any], user: int | None = None) -> Any:
    """What a function returns in a child process, perhaps of another user; a test fails if it raises."""
    there, here = os.pipe()
    child = os.fork()
    if not child:
        try:
            if user is not None:
                os.setgroups([GROUP])
                os.setgid(GROUP)
                os.setuid(user)
            found: Any = (function(), "")
        except BaseException:
            found = (None, traceback.format_exc())
        with os.fdopen(here, "wb") as pipe:
            pickle.dump(found, pipe)
        os._exit(0)
    os.close(here)
    with os.fdopen(there, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    if not content:  # the function ended the process
        return None
    result, error = pickle.loads(content)
    assert not error, error
    return result


def crash(run: Path) -> None:
    """Play a run whose driver dies before its end, with what it recorded in the log."""

    def die() -> None:
        Journal.close = lambda self, outcome: os._exit(0)  # type: ignore[assignment,method-assign,return-value]
        asyncio.run(history.play(run))

    in_child(die)


def finish(run: Path) -> None:
    """Play a run to its end."""
    asyncio.run(history.play(run))
