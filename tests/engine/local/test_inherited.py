"""What a parent has left behind, and what the kernel refuses, changes no result."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from rose.engine import Command, LocalEngine, Task, TaskKey
from rose.errors import WorkerLostError

KEY = TaskKey("w", 0, "s")

# Becomes a process whose parent ignores SIGCHLD and blocks SIGTERM, in which the kernel refuses two calls: a real
# filter, as containers have it.
PROGRAM = """
    import asyncio, ctypes, os, signal, subprocess, sys
    from rose.engine import Command, LocalEngine, Task, TaskKey, ThreadEngine
    from rose.errors import CommandFailedError

    KEY = TaskKey("w", 0, "s")

    def refuse_pidfd_open():
        def line(code, true, false, k):
            return code.to_bytes(2, "little") + bytes([true, false]) + k.to_bytes(4, "little")
        program = ctypes.create_string_buffer(
            line(0x20, 0, 0, 0)  # the number of the call: is it pidfd_open, or sched_getaffinity?
            + line(0x15, 1, 0, 434) + line(0x15, 0, 1, {"x86_64": 204}.get(os.uname().machine, 123))
            + line(0x06, 0, 0, 0x00050000 | 1) + line(0x06, 0, 0, 0x7FFF0000)  # EPERM; or allowed
        )
        class Filter(ctypes.Structure):
            _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        filter = Filter(5, ctypes.addressof(program))
        if libc.prctl(22, 2, ctypes.byref(filter), 0, 0):
            print("no seccomp here", flush=True)
            os._exit(0)

    def outside():
        return subprocess.run(["sh", "-c", "exit 3"]).returncode, signal.pthread_sigmask(signal.SIG_BLOCK, ())

    async def main():
        for refused in os.pidfd_open, os.sched_getaffinity:
            try:
                refused(os.getpid())
                raise AssertionError("not refused")
            except PermissionError:
                pass
        assert LocalEngine().capacity().cpus >= 1
        async with LocalEngine(2) as engine, ThreadEngine(1) as threads:
            assert await engine.run(Task(KEY, outside)) == (3, set())
            assert (await threads.run(Task(KEY, outside)))[0] == 3
            try:
                await engine.run(Task(KEY, Command("exit 3")))
            except CommandFailedError as error:
                assert error.exit_code == 3
            else:
                raise AssertionError("a failure was a success")
            status = (await engine.run(Task(KEY, Command("cat /proc/self/status")))).stdout
            assert "SigBlk:\\t0000000000000000" in status, status
            dying = asyncio.ensure_future(engine.run(Task(KEY, os._exit, (7,))))
            await asyncio.wait([dying])
            assert "exit code 7" in str(dying.exception())
        print("as ever")

    if len(sys.argv) == 1:
        refuse_pidfd_open()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.execv(sys.executable, [sys.executable, __file__, "again"])
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_what_a_parent_or_the_kernel_refuses_changes_nothing(driver: Any) -> None:
    with driver.running(PROGRAM) as process:
        output, _ = process.communicate(timeout=60)
    if "no seccomp here" in output:
        pytest.skip("the kernel takes no filter here")
    assert output == "as ever\n"
    assert driver.all_gone()


def test_an_exit_code_that_somebody_else_has_taken_is_no_success(tmp_path: Path) -> None:
    async def main() -> None:
        async with LocalEngine(1) as engine:
            running = asyncio.ensure_future(
                engine.run(Task(KEY, Command(f"echo $$ > {tmp_path}/pid; cat {tmp_path}/go")))
            )
            pid = int(await asyncio.to_thread((tmp_path / "pid").read_text))
            with (tmp_path / "go").open("w"):  # what it waits for
                pass
            os.waitpid(pid, 0)  # noqa: ASYNC222 - before the event loop can hear of its end
            with pytest.raises(WorkerLostError, match="something else"):
                await running

    os.mkfifo(tmp_path / "pid")  # reading waits for the writer
    os.mkfifo(tmp_path / "go")
    asyncio.run(main())


def test_the_reaper_outlives_the_signals_of_a_batch_system(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with LocalEngine(1, temp_dir=tmp_path) as engine:
            await engine.run(Task(KEY, os.getpid))
            (reaper,) = [p for p in psutil.Process().children() if "reaper.py" in " ".join(p.cmdline())]
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU):
                reaper.send_signal(number)
            assert psutil.wait_procs([reaper], timeout=0.1)[0] == []
            assert (await engine.run(Task(KEY, Command("echo a")))).stdout == "a\n"

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.text == ""
    assert not list(tmp_path.iterdir())


def test_a_worker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "decimal.py").write_text("raise OSError('the file server is away')")

    async def main() -> None:
        async with LocalEngine(1) as engine:
            with monkeypatch.context() as patch:
                patch.setattr(sys, "path", [str(tmp_path), *sys.path])
                with pytest.raises(WorkerLostError, match="OSError: the file server is away"):
                    await engine.run(Task(KEY, os.getpid))
            with monkeypatch.context() as patch:
                patch.setattr(sys, "executable", "/no/such/python")
                with pytest.raises(WorkerLostError, match="could be started for it: FileNotFoundError"):
                    await engine.run(Task(KEY, os.getpid))

    asyncio.run(main())
