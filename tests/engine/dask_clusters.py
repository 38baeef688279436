"""Dask clusters for the tests: in processes of this one's, and as separate programs."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributed import LocalCluster


def local_cluster(threads: int, workers: int = 1, **options: Any) -> LocalCluster:
    """Workers as processes, with nannies."""
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        silence_logs=logging.CRITICAL,
        **options,
    )


class Program:
    """A scheduler or a worker as a program of its own."""

    def __init__(self, *command: str, folder: Path, env: dict[str, str] | None = None) -> None:
        code = (
            f"import sys; sys.argv[0] = 'dask-{command[0]}'; from distributed.cli.dask_{command[0]} import main; main()"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *command[1:]],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._heard = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def says(self, pattern: str, within: float = 30.0) -> str:
        """Wait until it has said something like it: the first group."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        with self._heard:
            match = self._heard.wait_for(found, within)
        assert match, f"nothing like {pattern!r} in:\n" + "".join(self.lines)
        return match[1]

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.lines.append(line)
                self._heard.notify_all()
        self.process.stdout.close()


@contextlib.contextmanager
def programs() -> Iterator[list[Program]]:
    """A list of programs, which are killed in the end."""
    running: list[Program] = []
    try:
        yield running
    finally:
        for program in running:
            program.end()


def start_scheduler(folder: Path, port: int = 0) -> tuple[Program, str]:
    """A scheduler, and its address."""
    program = Program(
        "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show", folder=folder
    )
    return program, program.says(r"Scheduler at:\s+(tcp://\S+)")


def start_worker(folder: Path, address: str, threads: int, *options: str) -> Program:
    """A worker, which joins soon."""
    command = ["worker", address, "--nthreads", str(threads), "--no-dashboard", "--local-directory", str(folder)]
    return Program(*command, *options, folder=folder)
