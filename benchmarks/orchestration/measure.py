"""Runs the workload of one system in a fresh process, interleaved with the other's, and reads its records."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORKLOAD = HERE / "workload.py"
PEERS = HERE / "peers.txt"
PEERS_VENV = HERE / ".venv-rose"

OURS, ROSE = "ours", "rose"
TIMED_OUT = "not done in"


@dataclass(frozen=True)
class Measurement:
    """What one run of the workload recorded; `why_not` says why it has no end, if it has none."""

    records: tuple[dict[str, Any], ...] = ()
    why_not: str | None = None

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because it took too long."""
        return self.why_not is not None and self.why_not.startswith(TIMED_OUT)

    def up_to(self, rounds: int) -> Measurement:
        """As if it had ended with its last iteration: ROSE trains once more after that, which may take too long."""
        return replace(self, why_not=None) if self.timed_out and len(self.iterations) == rounds else self

    @property
    def iterations(self) -> list[dict[str, Any]]:
        """`seconds` since the start, and `rss` in bytes where it was looked at, after each iteration."""
        return [record for record in self.records if "seconds" in record]

    @property
    def intervals(self) -> list[float]:
        """Seconds of each iteration but the first, which holds the start of the workers."""
        times = [iteration["seconds"] for iteration in self.iterations]
        return [later - earlier for earlier, later in pairwise(times)]

    def value(self, name: str) -> Any:
        """The value of that name in whichever record holds it."""
        return next(record[name] for record in self.records if name in record)


@dataclass
class Bench:
    """Where measurements are made: the interpreters of both systems, and a log of all that was measured.

    `interpreters` maps a system to its Python, or to the reason why there is none.
    """

    interpreters: Mapping[str, Path | str]
    quick: bool
    log: list[dict[str, Any]] = field(default_factory=list)

    def interleave(self, case: Mapping[str, Any], repeats: int, limit: float) -> dict[str, list[Measurement]]:
        """Measure both systems in turns, each so many times; `limit` is in seconds for one run."""
        measured: dict[str, list[Measurement]] = {OURS: [], ROSE: []}
        for _ in range(repeats):
            for system, runs in measured.items():
                runs.append(self.measure(system, case, limit))
        return measured

    def measure(self, system: str, case: Mapping[str, Any], limit: float) -> Measurement:
        """Run one case once in a fresh process and directory."""
        interpreter = self.interpreters[system]
        if isinstance(interpreter, str):
            return Measurement(why_not=f"not measured: {interpreter}")
        arguments = {"system": system, "workers": 2, "pool": "processes", **case}
        with tempfile.TemporaryDirectory(prefix="rose-bench-") as folder:
            records = Path(folder, "records.jsonl")
            trouble = _run([interpreter, WORKLOAD, json.dumps(arguments), records], Path(folder), limit)
            lines = records.read_text().splitlines() if records.exists() else []
        measurement = Measurement(tuple(json.loads(line) for line in lines), trouble)
        self.log.append({**arguments, "why_not": measurement.why_not, "records": measurement.records})
        return measurement


def _run(command: list[Any], folder: Path, limit: float) -> str | None:
    """Run a command to its end or its time limit; what went wrong, if anything did.

    What it prints goes to a file that nobody reads while it runs: ROSE prints much, and a pipe would slow it down.
    """
    output = folder / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"{TIMED_OUT} {limit:g} s"
        finally:
            _end_group(process)
    if code:
        return f"ended with code {code}: {(output.read_text().strip().splitlines() or ['(silent)'])[-1]}"
    return None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and what it left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def peers_python() -> Path | str:
    """ROSE's interpreter, in a virtual environment of its own that is made when needed; else why there is none."""
    python, done = PEERS_VENV / "bin" / "python", PEERS_VENV / ".installed"
    wanted = hashlib.sha256(PEERS.read_bytes()).hexdigest()
    if done.exists() and done.read_text() == wanted:
        return python
    print(f"installing ROSE 0.3.0 into {PEERS_VENV} (once)", flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", PEERS_VENV],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", PEERS],
        [python, "-c", "import rose.uq.uq_active_learner, radical.asyncflow, rhapsody.backends, psutil"],
    ):
        with tempfile.TemporaryDirectory() as folder:
            trouble = _run(command, Path(folder), limit=900)
        if trouble is not None:
            return f"ROSE cannot be installed ({trouble})"
    done.write_text(wanted)
    return python


def versions(python: Path | str, *names: str) -> str:
    """The versions of packages that an interpreter sees."""
    if isinstance(python, str):
        return python
    code = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    return subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True).stdout.strip()
