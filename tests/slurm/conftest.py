"""One Slurm for all of these tests, and jobs on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rose

from .cluster import WITH_US, missing, slurm

PROGRAM = Path(__file__).with_name("learn.py")
SOURCE = Path(rose.__file__).parents[1]
KEPT = "limited"  # the name of a job that runs beside all tests
SETTLED = 3.0  # seconds in which the end of a job's last start arrives everywhere
LONG = 90.0  # seconds for what must come: it takes a few where the machine is free


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slurm", action="store_true", help="also those that start a job or a job step for each task")


class Slurm:
    """The machine, as a user sees it from its login node."""

    def __init__(self, environment: dict[str, str]) -> None:
        path = os.pathsep.join([str(SOURCE), *filter(None, [environment.get("PYTHONPATH")])])
        self.environment = environment | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def run(self, *command: str, check: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        env, null, alone = self.environment, subprocess.DEVNULL, [*WITH_US, *command]
        done = subprocess.run(alone, env=env, cwd=cwd, stdin=null, capture_output=True, text=True, timeout=LONG)
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done

    def batch(self, folder: Path, lines: str, *options: str) -> Job:
        """Submit a script; what it prints is in `folder`/out."""
        script = folder / "job.sh"
        script.write_text(f"#!/bin/bash\n{lines}\n")
        where = [f"--chdir={folder}", f"--output={folder}/out", "--open-mode=append"]
        number = self.run("sbatch", "--parsable", *where, *options, str(script)).stdout.strip()
        return Job(self, number, folder)

    def mend(self) -> None:
        """End all jobs but `KEPT`, and take all nodes up again."""
        jobs = [line.split() for line in self.run("squeue", "-h", "-o", "%i %j").stdout.splitlines()]
        ending = {number for number, name in jobs if name != KEPT}
        if ending:
            self.run("scancel", *ending)
        down = self.run("sinfo", "-h", "-N", "-t", "down,drain", "-o", "%N").stdout.split()
        if down:
            self.run("scontrol", "update", f"nodename={','.join(down)}", "state=resume")
        await_(lambda: not ending & set(self.run("squeue", "-h", "-o", "%i").stdout.split()), "the ends of jobs", self)
        states = {"idle", "mixed", "allocated"}
        await_(lambda: set(self.run("sinfo", "-h", "-N", "-o", "%T").stdout.split()) <= states, "both nodes", self)


class Job:
    """A job that was submitted."""

    def __init__(self, machine: Slurm, number: str, folder: Path) -> None:
        self.machine, self.number, self.folder = machine, number, folder
        self._pending: float | None = None  # since when it has been seen to be so

    def field(self, name: str) -> str:
        """What `scontrol show job` says, e.g. of JobState, BatchHost or Restarts."""
        words = self.machine.run("scontrol", "-o", "show", "job", self.number).stdout.split()
        return dict(word.split("=", 1) for word in words if "=" in word)[name]

    def wait_for(self, met: Callable[[], bool], what: str) -> None:
        """Until something is so; its end by an error is a failure."""

        def met_or_failed() -> bool:
            if self.field("JobState") in ("FAILED", "OUT_OF_MEMORY"):
                told = self.machine.run("scontrol", "show", "job", self.number).stdout
                raise AssertionError(f"job {self.number} has failed\n{told}\n{(self.folder / 'out').read_text()}")
            return met()

        await_(met_or_failed, f"{what} (job {self.number})", self.machine)

    def start_now(self, *changes: str) -> None:
        """Do not wait the two minutes that Slurm lets pass before it starts a job that is pending again.

        To be repeated until it runs: Slurm sets that time once more when the last start has ended. Some seconds have to
        pass all the same: the end of the last start would be taken for that of the new one.
        """
        if self.field("JobState") != "PENDING":
            self._pending = None
            return
        self._pending = self._pending or time.monotonic()
        if time.monotonic() < self._pending + SETTLED:
            return
        change = ["scontrol", "update", f"jobid={self.number}", "StartTime=now", *changes]
        self.machine.run(*change, check=False)  # it may have started meanwhile

    def restart(self, until: str, *changes: str) -> None:
        """Start it at once, as often as it is requeued, until it is in this state."""

        def so() -> bool:
            self.start_now(*changes)
            return self.field("JobState") == until

        self.wait_for(so, until)


def await_(met: Callable[[], bool], what: str, machine: Slurm) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LONG
    while not met():
        if time.monotonic() > end:
            seen = [machine.run(*command).stdout for command in (("squeue",), ("sinfo", "-R"), ("sinfo", "-N"))]
            raise AssertionError(f"waited {LONG:g} s for {what}\n" + "\n".join(seen))
        time.sleep(0.1)


def learn(folder: Path, kind: str, *words: object) -> list[str]:
    """The command line of the user's program."""
    return [sys.executable, str(PROGRAM), str(folder), kind, *map(str, words)]


@pytest.fixture(scope="session")
def machine() -> Iterator[Slurm]:
    """The one Slurm."""
    why = missing()
    if why is not None:
        pytest.skip(f"no Slurm: {why}")
    folder = Path(tempfile.mkdtemp(prefix="rose-slurm-"))  # short: a socket's path is at most 107 bytes long
    try:
        with slurm(folder) as environment:
            yield Slurm(environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mended(machine: Slurm) -> Iterator[Slurm]:
    """The same, with its own jobs ended and both nodes up afterwards."""
    yield machine
    machine.mend()
