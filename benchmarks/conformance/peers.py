"""ROSE's own environment, and the running of all programs in it and in ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from observe import ENGINE, SYSTEM

HERE = Path(__file__).parent
WANTED = HERE / "peers.txt"
VENV = HERE.parent / ".venv-rose"
SECONDS = 900  # for an installation


def rose_python() -> Path:
    """Return ROSE's interpreter, in a virtual environment of its own that is made when needed.

    Raises:
        OSError or subprocess.SubprocessError: if it cannot be made.
    """
    python, done = VENV / "bin" / "python", VENV / ".installed"
    wanted = hashlib.sha256(WANTED.read_bytes()).hexdigest()
    if done.exists() and done.read_text() == wanted:
        return python
    print(f"installing ROSE 0.3.0 into {VENV} (once)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True, timeout=SECONDS)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", WANTED]
    subprocess.run(pip, check=True, timeout=SECONDS)
    done.write_text(wanted)
    return python


def results(python: Path | str, system: str, engine: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Run programs under one system, and return by name what each noted.

    ROSE's interpreter is not told of our sources, wherever ours found them.
    """
    environment = {**os.environ, SYSTEM: system, ENGINE: engine, "PYTHONDONTWRITEBYTECODE": "1"}
    if system == "rose":
        environment.pop("PYTHONPATH", None)
    command = [str(python), str(HERE / "execute.py"), *names]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"programs cannot be run under {system}:\n{run.stderr[-2000:]}")
    return {line["program"]: line for line in map(json.loads, run.stdout.splitlines())}
