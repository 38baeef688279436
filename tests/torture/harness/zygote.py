"""A process that has imported everything and forks drivers: each starts in milliseconds.

`python -m tests.torture.harness.zygote` answers lines of JSON on its standard streams: [number, "start", job] with the
driver's pid, [number, "wait", pid] with its status as `subprocess` gives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


class Driver:
    """A driver that was started; it is a zombie until `wait`, and known by a descriptor: no other process is hit."""

    def __init__(self, zygote: Zygote, pid: int, result: Path, log: Path) -> None:
        self._zygote = zygote
        self._log = log
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._result = result

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; to one that has ended, it does nothing."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def wait(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        status = int(self._zygote.ask("wait", self.pid))
        os.close(self._descriptor)
        return status

    @property
    def states(self) -> dict[str, str]:
        """What its threads do, one letter each (T: stopped), by number."""
        found = {}
        for thread in Path(f"/proc/{self.pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                found[thread.name] = (thread / "stat").read_text().rpartition(")")[2].split()[0]
        return found

    def story(self) -> str:
        """Say what it does, or what came of it, for a test that has waited too long: the stacks of its threads too."""
        states, size = self.states, self._log.stat().st_size if self._log.exists() else 0
        if not self.ended and "T" not in states.values():
            self.kill(signal.SIGUSR1)
            limit = time.monotonic() + 5
            while self._log.stat().st_size == size and time.monotonic() < limit:
                time.sleep(0.01)
        log = self._log.read_text()[-6000:] if self._log.exists() else ""
        return f"driver {self.pid}: ended: {self.ended}; threads: {states}; outcome: {self.outcome}; its log:\n{log}"

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What it wrote down at its end."""
        return json.loads(self._result.read_text()) if self._result.exists() else None


class Zygote:
    """The parent of drivers."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **(env or {})}
        self._asked = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.harness.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, order: str, what: Any) -> Any:
        """Give an order, and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asked += 1
        self._process.stdin.write(json.dumps([self._asked, order, what]) + "\n")
        self._process.stdin.flush()
        number, answer = 0, None
        while number != self._asked:  # a test may have been interrupted while it waited for an answer
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"the zygote ended with code {self._process.wait()}")
            number, answer = json.loads(line)
        return answer

    def start(self, job: dict[str, Any]) -> Driver:
        """Start a driver."""
        result = Path(job["result"])
        result.unlink(missing_ok=True)
        return Driver(self, int(self.ask("start", job)), result, Path(job["ledger"] + ".log"))

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait()


def _start(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for number, name, mode in ((0, "/dev/null", os.O_RDONLY), (1, job["ledger"] + ".log", os.O_WRONLY)):
            os.dup2(os.open(name, mode | os.O_CREAT | os.O_APPEND), number)
        os.dup2(1, 2)
        from .drive import main

        main(job)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()  # into its log
    finally:
        sys.stdout.flush()
        os._exit(code)


def serve() -> None:
    """Answer orders until there are no more."""
    import sklearn.metrics  # noqa: F401 - what a driver needs is imported once, here

    from . import drive  # noqa: F401

    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        while line := sys.stdin.readline():
            number, order, what = json.loads(line)
            answer = _start(what) if order == "start" else os.waitstatus_to_exitcode(os.waitpid(what, 0)[1])
            answers.write(json.dumps([number, answer]) + "\n")
            answers.flush()


if __name__ == "__main__":
    serve()
