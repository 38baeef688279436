"""Run command tasks: one process group each, its output in files, ended as a group."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from functools import partial
from pathlib import Path
from time import monotonic

from rose.engine.blame import command_met_place, is_asked_to_end
from rose.engine.deadline import Deadline
from rose.engine.processes.kernel import reachable
from rose.engine.processes.memory import ENFORCED, command_refused, limited
from rose.engine.processes.process import UNKNOWN, Child, describe_exit, worker_name
from rose.engine.processes.scratch import Scratch
from rose.engine.processes.shell import split
from rose.engine.processes.thread_limits import environment
from rose.engine.protocol import Command, CommandOutput, OnStart, Task
from rose.errors import (
    CommandFailedError,
    CommandPlaceError,
    EngineClosedError,
    TaskError,
    TaskTimeoutError,
    WorkerTakenError,
)

OUTPUT_MAX = 8 * 1024 * 1024  # bytes of stdout that are read back: the last ones
ERRORS_MAX = 64 * 1024  # bytes of stderr
SHOWN_LINES = 20  # of stderr, in an error
_LEFT = 16 * 1024  # bytes of a disk with which it counts as full
GRACE = 0.5  # seconds from SIGTERM to SIGKILL


class CommandRunner:
    """Run commands, as many as it is given: how many at a time is the slots' matter."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._running: dict[_Execution, asyncio.Future[None]] = {}
        self._count = 0

    @property
    def is_busy(self) -> bool:
        """Return whether any command has not ended."""
        return bool(self._running)

    async def run(self, task: Task, gpus: str | None = None, on_start: OnStart | None = None) -> CommandOutput:
        """Run one command; cancelling the caller ends it, and all that it started.

        Raises:
            CommandFailedError: it ended with a non-zero exit code.
            CommandPlaceError: it could not be started (exit code 126 or 127), or was ended from outside.
            OutOfMemoryError: it, or a process that it started, was refused or killed for its memory.
            TaskTimeoutError: it ran longer than the task's timeout.
            ConfigurationError: its line cannot be split.
        """
        loop = asyncio.get_running_loop()
        self._count += 1
        run = _Execution(task, gpus, self._scratch, self._count, loop)
        self._running[run] = ended = loop.create_future()
        try:
            await run.to_end(on_start)
            return await loop.run_in_executor(self._scratch.threads, run.outcome)
        finally:
            self._scratch.threads.submit(run.remove_files)
            del self._running[run]
            ended.set_result(None)

    async def close(self) -> None:
        """End all commands with EngineClosedError."""
        for run in self._running:
            run.stop(EngineClosedError(f"task {run.key}: the engine was closed before its command ended"))
        if self._running:
            await asyncio.wait(list(self._running.values()))


class _Execution:
    """Run one command once."""

    def __init__(
        self, task: Task, gpus: str | None, scratch: Scratch, number: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        assert isinstance(task.call, Command)
        self.key = str(task.key)
        self._task = task
        self._command = task.call
        self._timeout = task.timeout
        self._argv = split(task.call.line)
        self._marker = scratch.new_marker()
        self._env = os.environ | environment(task.resources.cpus) | {self._marker: "1"}
        if gpus is not None:
            self._env["CUDA_VISIBLE_DEVICES"] = gpus
        self._env.update(task.call.env)
        self._scratch = scratch
        self._kills = scratch.killer.kills()
        # Made absolute now: the driver may change its directory.
        self._stdout = (task.call.stdout or Path(scratch.folder, f"command-{number}.out")).absolute()
        self._stderr = (task.call.stderr or Path(scratch.folder, f"command-{number}.err")).absolute()
        self._loop = loop
        self._exit: asyncio.Future[int] = loop.create_future()
        self._child: Child | None = None
        self._timers: list[asyncio.TimerHandle | Deadline] = []
        self._stopping = False
        self._error: Exception | None = None  # why it is being stopped
        self._began = self._seconds = 0.0

    async def to_end(self, on_start: OnStart | None) -> None:
        """Start the command and wait for its end; cancelled, it ends first."""
        starting = self._loop.run_in_executor(self._scratch.threads, self._start)
        try:
            await asyncio.shield(starting)
            self._watch()
            if on_start is not None and self._child is not None and not self._stopping:
                self._loop.call_soon(on_start, worker_name(self._child.pid))
            await asyncio.shield(self._exit)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None:
                self._watch()
                self.stop(None)
                await asyncio.wait([self._exit])  # by `wait`: a second cancellation must not reach the future itself
            raise

    def stop(self, error: Exception | None) -> None:
        """End it and all that it started: first asked to (SIGTERM), made to after GRACE; `outcome` raises `error`."""
        if self._stopping:
            return
        self._stopping = True
        self._error = error
        if self._child is not None:  # else it is stopped when it has been started
            self._terminate()

    def outcome(self) -> CommandOutput:
        """Return what it printed, or raise the error it ended with. Blocks."""
        code = self._exit.result()
        stderr = _tail(self._stderr, ERRORS_MAX)
        if isinstance(self._error, EngineClosedError):
            raise self._error
        if self._error is not None:
            raise TaskTimeoutError(str(self._error) + _shown(stderr), self.key)
        if code != 0:
            raise self._failed(code, stderr)
        if _is_full(self._stdout.parent):
            text = f"the disk of {self._stdout} is full, so that its output may be cut: {self._command.line}"
            raise CommandPlaceError(text, self.key, code, self._command.line, stderr)
        return CommandOutput(_tail(self._stdout, OUTPUT_MAX), stderr, self._seconds)

    def _failed(self, code: int, stderr: str) -> TaskError:
        line, scratch = self._command.line, self._scratch
        if code == UNKNOWN:
            return WorkerTakenError(f"command ended with {describe_exit(code)}: {line}", self.key)
        error = command_refused(self._task, code, _end(stderr), scratch.killer, self._kills)
        if error is not None:
            return type(error)(f"{error.message}: {line}{_shown(stderr)}", self.key)
        text = f"command ended with {describe_exit(code)}: {line}{_shown(stderr)}"
        if not command_met_place(code, _end(stderr)) and not _is_full(self._stdout.parent):  # then it could not say it
            return CommandFailedError(text, self.key, code, line, stderr)
        taken = CommandPlaceError(text, self.key, code, line, stderr)
        taken.by_signal = is_asked_to_end(code)
        return taken

    def remove_files(self) -> None:
        """Remove its output, which has been read, or is not wanted. Blocks."""
        if self._command.stdout is None:
            self._stdout.unlink(missing_ok=True)
        if self._command.stderr is None:
            self._stderr.unlink(missing_ok=True)

    def _start(self) -> None:
        """Start the command. Blocks: called in a thread."""
        cwd = self._command.cwd
        self._scratch.ensure_reaper()
        try:
            if cwd is not None:
                cwd.mkdir(parents=True, exist_ok=True)
            memory = self._task.resources.memory
            argv = limited(self._argv, memory, self._env, cwd) if memory and ENFORCED else self._argv
            argv = reachable(argv, self._env, cwd)
            for file in (self._stdout, self._stderr):
                file.parent.mkdir(parents=True, exist_ok=True)
            # Appending: both may be the same file.
            with self._stdout.open("wb"), self._stderr.open("wb"):
                pass
            with self._stdout.open("ab") as stdout, self._stderr.open("ab") as stderr:
                self._child = Child(argv, env=self._env, cwd=cwd, stdout=stdout, stderr=stderr)
        except (OSError, ValueError, TypeError) as error:  # the latter: what is no text in its line, env or cwd
            raise self._cannot_start(error) from error
        self._began = monotonic()
        self._scratch.adopt(self._child)

    def _cannot_start(self, error: Exception) -> CommandFailedError:
        program, line = self._argv[0], self._command.line
        code = 126
        if isinstance(error, FileNotFoundError) and error.filename == program:
            code, reason = 127, f"program {program!r} not found"
            if "/" not in program:
                reason += " on the PATH"
        elif isinstance(error, PermissionError) and error.filename == program:
            reason = f"program {program!r} is not executable (chmod +x?)"
        else:
            reason = str(error) if isinstance(error, OSError) else f"its line, cwd or env cannot be used ({error})"
        kind = CommandPlaceError if isinstance(error, OSError) and error.errno != errno.E2BIG else CommandFailedError
        return kind(f"{reason}: {line}", self.key, code, line)

    def _watch(self) -> None:
        """Watch for the end of the command, which has been started."""
        assert self._child is not None
        if self._began and not self._timers and not self._exit.done():
            self._child.watch(self._loop, self._exited)
            if self._stopping:
                self._terminate()
            elif self._timeout is not None:
                text = f"ran longer than its timeout of {self._timeout:g} s and was stopped: {self._command.line}"
                self._timers.append(Deadline(self._loop, self._timeout, partial(self.stop, TaskTimeoutError(text))))

    def _terminate(self) -> None:
        assert self._child is not None
        self._child.signal_group(signal.SIGTERM)
        self._timers.append(self._loop.call_later(GRACE, self._kill))

    def _kill(self) -> None:
        assert self._child is not None
        self._child.signal_group(signal.SIGKILL)

    def _exited(self) -> None:
        assert self._child is not None
        self._seconds = monotonic() - self._began
        for timer in self._timers:
            timer.cancel()
        code = self._scratch.reap(self._child)
        if self._stopping:
            self._scratch.kill_marked(self._marker)
        self._exit.set_result(code)


def _is_full(directory: Path) -> bool:
    if not directory.exists():  # the command itself has removed it
        return False
    disk = os.statvfs(directory)
    return disk.f_blocks > 0 and disk.f_bavail * disk.f_frsize < _LEFT


def _tail(path: Path, limit: int) -> str:
    """Return the last `limit` bytes of a file; of one that the command itself has removed, nothing."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
        return file.read(limit).decode(errors="replace")


def _end(stderr: str) -> str:
    return "\n".join(stderr.rstrip().splitlines()[-SHOWN_LINES:])


def _shown(stderr: str) -> str:
    lines = _end(stderr).splitlines()
    return "".join(f"\n  {line}" for line in ["it said:", *lines]) if lines else ""
