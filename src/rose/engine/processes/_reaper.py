"""Outlive the driver by a moment: kill what it left, and remove its directory.

Run as a script (standard library only, no site-packages), one per engine: `reaper.py FOLDER PREFIX DRIVER_PID`.
It reads instructions, one a line, from its standard input:

    + PGID      this process group is the engine's
    - PGID      ... and has ended
    x MARKER=   kill every process whose environment has this variable
    q           the engine closes

On `q`, at the end of its input or when the driver has died it kills the groups and every process whose environment has
a variable that starts with PREFIX, removes FOLDER and exits: with 0 if all of that is done.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable


def kill_group(group: int) -> None:
    """Kill a process group; one that is gone is no error."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # PermissionError: on macOS, a group of zombies
        return


def marked(prefix: str) -> list[int]:
    """Return the processes that were started with an environment variable `prefix...` (Linux only)."""
    if not os.path.isdir("/proc/self"):
        return []
    start, inside, found = prefix.encode(), b"\0" + prefix.encode(), []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                environ = file.read()
        except OSError:  # it ended meanwhile, or belongs to somebody else
            continue
        if environ.startswith(start) or inside in environ:
            found.append(int(name))
    return found


def kill_marked(prefix: str) -> None:
    """Kill all `marked` processes, and those that they start while we look."""
    for _ in range(10):
        victims = [pid for pid in marked(prefix) if pid != os.getpid()]
        if not victims:
            return
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def clean(groups: Iterable[int], prefix: str, folder: str) -> bool:
    """Kill the groups and all that is marked, and remove the folder; return whether it is gone."""
    for group in groups:
        kill_group(group)
    kill_marked(prefix)
    for _ in range(40):  # a process that is just dying may still be writing there
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return True
        time.sleep(0.05)
    return False


class Instructions:
    """Hold what the driver has told so far."""

    def __init__(self) -> None:
        self.groups: set[int] = set()
        self.ended = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Carry out what `data` says; an empty one is the end of the input."""
        if not data:
            self.ended = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            verb, _, argument = line.decode().partition(" ")
            if verb == "+":
                self.groups.add(int(argument))
            elif verb == "-":
                self.groups.discard(int(argument))
            elif verb == "x":
                kill_marked(argument)
            elif verb == "q":
                self.ended = True


def main(folder: str, prefix: str, driver: int) -> int:
    """Wait for the end of the driver or its word, then clean up."""
    told = Instructions()
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    # A process that the driver forked may hold the pipe open, so the driver's own death is watched as well.
    is_child, watched, interval = os.getppid() == driver, -1, None
    if is_child:
        try:
            watched = os.pidfd_open(driver)
            waiting.register(watched, select.POLLIN)
        except (AttributeError, OSError):  # another system, an old kernel, a container's filter
            interval = 1000  # milliseconds: then one has to look
    os.set_blocking(0, False)
    while not told.ended:
        ready = {fd for fd, _ in waiting.poll(interval)}
        try:
            while not told.ended:
                told.feed(os.read(0, 65536))
        except BlockingIOError:
            if watched in ready or (is_child and os.getppid() != driver):
                break
    return 0 if clean(told.groups, prefix, folder) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
