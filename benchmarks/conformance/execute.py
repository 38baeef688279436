"""Run programs, each in a process of its own, under whichever `rose` this interpreter imports.

    CONFORMANCE_SYSTEM=ours python execute.py                           # every program, one line of JSON each
    CONFORMANCE_SYSTEM=ours python execute.py --alone dataflow.order    # one, with all that it prints

Children are forked from a process that has imported what takes long and is nobody's to compare; `rose` is not in it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import observe

HERE = Path(__file__).parent
SECONDS = 30  # for one program
AT_ONCE = 2


def load() -> list[str]:
    """Import all programs and return their names, by area."""
    for path in sorted((HERE / "programs").glob("*.py")):
        importlib.import_module(f"programs.{path.stem}")
    return list(observe.PROGRAMS)


def start(name: str, folder: Path) -> int:
    """Fork a child that runs one program in a directory of its own; return its id."""
    folder.mkdir()
    if child := os.fork():
        return child
    try:
        os.setsid()
        os.chdir(folder)
        os.environ[observe.TRACE] = str(folder / ".trace")
        for stream, target in ((1, ".observations"), (2, ".printed")):
            os.dup2(os.open(folder / target, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        observe.run(name)
    finally:
        os._exit(1)


def result(name: str, folder: Path, late: bool) -> dict[str, Any]:
    """Return what a program noted and how it ended."""
    lines = [json.loads(line) for line in (folder / ".observations").read_text().splitlines()]
    printed = (folder / ".printed").read_text(errors="replace")[-2000:]
    last = lines.pop() if lines and "ended" in lines[-1] else None
    if last is None:
        message = f"not done in {SECONDS} s" if late else printed
        last = {"ended": "timeout" if late else "crash", "kinds": [], "message": message}
    errors = {line["name"]: line["error"] for line in lines if line["error"] is not None}
    return {"program": name, "observations": {line["name"]: line["value"] for line in lines}, "errors": errors, **last}


def run_all(names: Sequence[str]) -> None:
    """Run programs, a few at a time, and print the result of each as it comes."""
    waiting, running = deque(names), {}
    with tempfile.TemporaryDirectory(prefix="rose-conformance-", ignore_cleanup_errors=True) as root:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                name = waiting.popleft()
                folder = Path(root, name)
                running[start(name, folder)] = name, folder, time.monotonic() + SECONDS
            for child, (name, folder, deadline) in list(running.items()):
                late = time.monotonic() > deadline
                done, _ = os.waitpid(child, os.WNOHANG)
                if not done and not late:
                    continue
                end_group(child, wait=not done)
                del running[child]
                print(json.dumps(result(name, folder, late)), flush=True)
            time.sleep(0.02)


def end_group(child: int, wait: bool) -> None:
    """End a program that still runs, and whatever it left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if wait:
        os.waitpid(child, 0)


def main(options: Sequence[str]) -> None:
    """Run the programs named, or all."""
    for module in ("numpy", "pydantic", "radical.asyncflow", "rhapsody.backends"):
        importlib.import_module(module)
    sys.path.insert(0, str(HERE))
    names = load()
    if options[:1] == ["--alone"]:
        os.environ[observe.TRACE] = str(Path(tempfile.mkdtemp(prefix="rose-conformance-"), ".trace"))
        observe.run(options[1])
    run_all([name for name in names if not options or any(name.startswith(option) for option in options)])


if __name__ == "__main__":
    main(sys.argv[1:])
