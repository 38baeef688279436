"""Hold what must not outlive the engine: its directory, its processes, its helper threads."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from rose.engine.processes import _reaper as reaper
from rose.engine.processes.kernel import deaf, hear_of_children
from rose.engine.processes.memory import OutOfMemoryKiller
from rose.engine.processes.process import Child

logger = logging.getLogger(__name__)

_OWNER = "ROSE_OWNER_"
_Then = Callable[[BaseException | None], None]


class Scratch:
    """Hold one engine's private directory (mode 0700), and the reaper process that cleans up after it, come what may.

    `threads` run what would block the event loop. Everything is made at first need, the reaper in a helper thread.
    """

    def __init__(self, temp_dir: str | Path | None = None) -> None:
        hear_of_children()  # here, since engines are made in the main thread as a rule
        self.prefix = f"{_OWNER}{secrets.token_hex(8)}_"
        self.threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="rose-engine")
        self.children: set[Child] = set()  # not yet reaped
        self.killer = OutOfMemoryKiller()
        self._temp_dir = temp_dir
        self._folder: str | None = None
        self._reaper: Child | None = None
        self._pipe = -1
        self._lock = threading.Lock()
        self._reaper_lock = threading.Lock()  # held for milliseconds: never taken in the event loop
        self._owner = os.getpid()
        self._count = 0

    @property
    def folder(self) -> str:
        """Return the private directory, made at first need."""
        with self._lock:
            if self._folder is None:
                if self._temp_dir is not None:
                    os.makedirs(self._temp_dir, exist_ok=True)
                made = tempfile.mkdtemp(prefix="rose-", dir=self._temp_dir)
                self._folder = os.path.abspath(made)
            return self._folder

    @property
    def is_own(self) -> bool:
        """Return whether this process has made it; what a fork of it holds is not its own."""
        return os.getpid() == self._owner

    def ensure_reaper(self) -> None:
        """Start the reaper, once, before anything is started or stored; that takes milliseconds."""
        folder = self.folder
        with self._reaper_lock:
            if self._reaper is not None:
                return
            # Without markers: if this is a task of an outer engine, that one's kill must not hit our reaper.
            env = {name: value for name, value in os.environ.items() if not name.startswith(_OWNER)}
            with deaf():  # a batch system's signals reach every process of a job: it must outlive them to clean up
                self._reaper = Child(
                    [sys.executable, "-S", "-P", reaper.__file__, folder, self.prefix, str(self._owner)],
                    env=env,
                    cwd=Path("/"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            pipe = self._reaper.popen.stdin
            assert pipe is not None
            self._pipe = os.dup(pipe.fileno())
            pipe.close()

    def in_thread(self, loop: asyncio.AbstractEventLoop, work: Callable[[], None], then: _Then) -> Future[None]:
        """Do blocking work in a thread, `then` call back in the loop with the exception, or None."""
        begun = self.threads.submit(work)
        self.tell(loop, begun, then)
        return begun

    @staticmethod
    def tell(loop: asyncio.AbstractEventLoop, work: Future[None], then: _Then) -> None:
        """Call back in the loop when work in a thread has ended, which it may have already."""

        def ended(future: Future[None]) -> None:
            try:
                loop.call_soon_threadsafe(then, future.exception())
            except RuntimeError:  # the loop was closed under us: nobody is left to tell
                logger.debug("an event loop was closed before a helper thread had ended")

        work.add_done_callback(ended)

    def new_marker(self) -> str:
        """Return the name of an environment variable by which a process, and all that it starts, can be found."""
        with self._lock:
            self._count += 1
            return f"{self.prefix}{self._count}"

    def adopt(self, child: Child) -> None:
        """Have `child` die with the engine, from now on and until it is reaped."""
        self.children.add(child)
        self._instruct(f"+ {child.pid}")

    def reap(self, child: Child) -> int:
        """Collect a child that has ended, with what is left of its group; return its exit code."""
        code = child.reap()
        self.children.discard(child)
        self._instruct(f"- {child.pid}")
        return code

    def kill_marked(self, marker: str) -> None:
        """Have the reaper kill what bears exactly this marker: also processes that left their group."""
        self._instruct(f"x {marker}=")

    async def close(self) -> None:
        """Kill what is left, remove the directory, and wait until that is done. All children must have been reaped."""
        self.threads.shutdown(wait=False)
        if self._reaper is not None:
            loop = asyncio.get_running_loop()
            ended = asyncio.Event()
            self._reaper.watch(loop, ended.set)
            self._instruct("q")
            try:
                await ended.wait()
            finally:
                self._end_reaper()
        for child in list(self.children):  # none, unless somebody would not wait for the end of what he cancelled
            child.reap()
        self.children.clear()
        self._check_removed()

    def abandon(self) -> None:
        """Clean up without an event loop, for an engine that was never closed."""
        if not self.is_own:
            return
        self.threads.shutdown(wait=False)
        for child in list(self.children):
            child.reap()
        self.children.clear()
        if self._reaper is not None:
            self._instruct("q")
            self._reaper.wait()
            self._end_reaper()
        self._check_removed()

    def _instruct(self, line: str) -> None:
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, line.encode() + b"\n")
        except BrokenPipeError:
            logger.warning("the reaper process of an engine has died; the engine cleans up by itself")
            os.close(self._pipe)
            self._pipe = -1

    def _end_reaper(self) -> None:
        assert self._reaper is not None
        self._reaper.reap()
        self._reaper = None
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def _check_removed(self) -> None:
        """Do what the reaper did not: there was none, or it was killed."""
        self.killer.close()
        folder = self._folder
        if folder is not None and os.path.exists(folder) and not reaper.clean((), self.prefix, folder):
            logger.error("the temporary directory %s could not be removed", folder)
