"""Helpers for the tests of the embedded engine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.warm import cool


class Driver:
    """A script that uses an engine, run as a program of its own, and what it has started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = f"ROSE_TEST_{os.getpid()}_{folder.name}"
        self.temp = folder / "temp"
        self.temp.mkdir()

    @contextlib.contextmanager
    def running(self, code: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """The script, whose standard output is to be read; killed in the end."""
        script = self._folder / "driver.py"
        script.write_text(textwrap.dedent(code))
        env = os.environ | {self._mark: "1", "TMPDIR": str(self.temp)}
        process = subprocess.Popen(
            [sys.executable, *options, str(script)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def left(self) -> list[psutil.Process]:
        """All processes alive that the script started, reapers too."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and (
                    self._mark in process.environ() or str(self.temp) in " ".join(process.cmdline())
                ):
                    found.append(process)
        return found

    def all_gone(self, within: float = 3.0) -> bool:
        """Whether nothing is left, of processes or files, before so many seconds are over."""
        deadline = time.monotonic() + within
        while self.left() or list(self.temp.iterdir()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


@pytest.fixture(autouse=True, scope="package")
def alone() -> None:
    """No processes of the engine that other tests keep warm: these count them."""
    cool()


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)
