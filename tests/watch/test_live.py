"""`rose watch`: on a real terminal and in pipes, of runs that go on, and of one that has ended."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rose.cli import main as rose
from rose.watch import live
from tests.watch.served import Going, going_on

COMMAND = """\
import fcntl, sys, termios
from rose.cli import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # its Ctrl-C is ours
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PERIOD", 0.02)
    for name in ("COLUMNS", "LINES"):  # which say more than a terminal does
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Going]:
    with going_on(tmp_path / "run") as going:
        yield going


class Printed(io.StringIO):
    """What is written, with a signal at the first of it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def flush(self) -> None:
        self.begun.set()


def until_the_end(run: Going, watch: Callable[[], int], begun: threading.Event) -> int:
    """Watch in a thread, let the run end once something was shown; the exit code."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(watch()))
    thread.start()
    assert begun.wait(30)
    run.ends()
    thread.join(30)
    return codes[0]


def test_a_pipe_gets_a_line_for_each_change(run: Going, capsys: pytest.CaptureFixture[str]) -> None:
    output = Printed()
    assert until_the_end(run, lambda: live.watch(run.path, output=output), output.begun) == 0
    lines = output.getvalue().splitlines()
    assert lines[0].startswith(f"{run.path}: running, process {os.getpid()} on ")
    (finished,) = [line for line in lines if line.startswith(f"{run.path}: finished, ")]
    (ended,) = [line for line in lines if line.endswith(", 1 dropped, max_iter_reached")]
    assert {finished, ended} == set(lines[-2:])
    assert len(set(lines)) == len(lines)
    # It has ended: there is nothing to wait for.
    for command in ("watch", "status", "watch --json", "status --watch --json"):
        name, *options = command.split()
        assert rose([name, str(run.path), *options]) == 0
        out = capsys.readouterr().out
        if "--watch" in options or name == "watch":
            assert json.loads(out)["state"] == "finished" if "--json" in options else out.splitlines()[0] == finished


def test_programs_get_a_line_of_json_for_each_change(run: Going) -> None:
    output = Printed()
    assert until_the_end(run, lambda: live.watch(run.path, True, output), output.begun) == 0
    states = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [states[0]["state"], states[-1]["state"]] == ["running", "finished"]
    assert states[-1]["workflows"][0]["iteration"] > (states[0]["workflows"][0]["iteration"] or 0)


def test_a_terminal_is_redrawn_in_place_and_left_by_ctrl_c(run: Going) -> None:
    driver, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    command = [sys.executable, "-c", COMMAND, "watch", str(run.path)]
    watching = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    try:
        shown = b""
        while b"where the time went" not in shown:
            shown += os.read(driver, 65536)
        os.write(driver, b"\x03")
        assert watching.wait(10) == 130
    finally:
        watching.kill()
        watching.wait()
        os.close(terminal)
        os.close(driver)
    assert b"running for " in shown
    assert b"Traceback" not in shown
    assert not run.let_go.is_set(), "the run goes on"

    driver, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    begun, seen = threading.Event(), bytearray()

    def read() -> None:
        while True:
            try:
                data = os.read(driver, 65536)
            except OSError:  # nobody writes any more
                return
            seen.extend(data)
            begun.set()

    reading = threading.Thread(target=read)
    reading.start()
    with open(terminal, "w", closefd=True) as output:
        assert until_the_end(run, lambda: live.watch(run.path, output=output), begun) == 0
    reading.join(10)
    os.close(driver)
    assert b"\x1b[1A" in seen, "the cursor goes up: it is drawn in place"
    assert b"finished " in seen
    assert b"max_iter_reached" in seen
