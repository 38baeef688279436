"""Give the contract tests functions to run as tasks; importable by workers, and light (no pytest)."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

# A process that ignores SIGTERM and writes a line every 20 ms.
_BEATING = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "while True:\n"
    "    open(sys.argv[1], 'a').write('.')\n"
    "    time.sleep(0.02)\n"
)


class Moody(Exception):
    """Pickle, but refuse to be unpickled."""

    def __init__(self, mood: str, cause: str) -> None:
        super().__init__(f"{mood} because of {cause}")


class Stubborn(Exception):
    """Refuse to be pickled."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("I do not travel")


def add(first: Any, second: Any = 0) -> Any:
    """Return their sum."""
    return first + second


async def add_later(first: Any, second: Any = 0) -> Any:
    """Return their sum after a moment."""
    await asyncio.sleep(0.01)
    return first + second


def whereabouts() -> str:
    """Return the name of this process, as `Engine.run` tells it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def whereabouts_after(gate: Path) -> str:
    """Return what `whereabouts` does, when a file is there."""
    while not gate.exists():
        time.sleep(0.01)
    return whereabouts()


def fail(error: type[Exception], *args: Any) -> NoReturn:
    """Raise what is asked for."""
    raise error(*args)


def beat(file: Path) -> NoReturn:
    """Write to a file every 20 ms, for ever."""
    while True:
        with file.open("a") as stream:
            stream.write(".")
        time.sleep(0.02)


def beat_in_child(file: Path, new_session: bool) -> None:
    """Start a process that beats and ignores SIGTERM, and wait for it."""
    subprocess.run([sys.executable, "-c", _BEATING, str(file)], start_new_session=new_session, check=True)


def leave_beating(file: Path, new_session: bool) -> None:
    """Start a process that beats, and leave it behind."""
    subprocess.Popen([sys.executable, "-c", _BEATING, str(file)], start_new_session=new_session).returncode = 0


def beating_command(file: Path) -> str:
    """Return a command line whose grandchild beats, and ignores SIGTERM."""
    script = file.with_suffix(".py")
    script.write_text(_BEATING)
    return f"{sys.executable} {script} {file}; true"


def hold_the_gil(file: Path) -> None:
    """Say so, then compute in C for hours without letting other threads run."""
    file.write_text(".")
    re.match(r"(a+)+$", "a" * 64 + "b")


def occupy(folder: Path, name: str, seconds: float) -> None:
    """Note when this ran, on the machine's clock."""
    began = time.monotonic()
    time.sleep(seconds)
    Path(folder, name).write_text(f"{began} {time.monotonic()}")


def occupying_command(folder: Path, name: str, seconds: float) -> str:
    """Return a command line that occupies a cpu likewise."""
    code = f"from pathlib import Path; from rose.testing.tasks import occupy; occupy(Path({str(folder)!r}), {name!r}, "
    return f'{sys.executable} -c "{code}{seconds})"'


def note(file: Path, text: str) -> None:
    """Append a line."""
    with file.open("a") as stream:
        stream.write(text + "\n")


def die() -> None:
    """Die as the out-of-memory killer has it."""
    os.kill(os.getpid(), signal.SIGKILL)


def take_memory(count: int) -> int:
    """Hold so many bytes, taken one million after the other."""
    held = [b"x" * 1_000_000 for _ in range(count // 1_000_000)]
    return sum(map(len, held))


def visible_gpus(folder: Path, name: str) -> str | None:
    """Return what CUDA would see, noted to have been in use for a while."""
    occupy(folder, name, 0.2)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def change(values: list[int]) -> list[int]:
    """Change an argument."""
    values.append(99)
    return values


def thread_limits() -> tuple[str, list[int]]:
    """Return what OpenMP is told, and how many threads each of NumPy's libraries would use."""
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    return os.environ.get("OMP_NUM_THREADS", ""), [library["num_threads"] for library in threadpool_info()]


def is_writeable(array: Any) -> bool:
    """Return whether the task may change its array."""
    return bool(array.flags.writeable)


class Model:
    """Predict from few parameters: a small fitted model, with a large array in it."""

    def __init__(self, weights: Any) -> None:
        self.weights = weights

    def predict(self) -> float:
        """Return a number that depends on all weights."""
        return float(self.weights.sum())


def predictions(models: Any) -> Any:
    """Return the prediction of each, in a list or a dict as the models are."""
    if isinstance(models, dict):
        return {name: model.predict() for name, model in models.items()}
    return [model.predict() for model in models]


def occupy_quietly(seconds: float, result: Any) -> Any:
    """Take a while, then return the result."""
    time.sleep(seconds)
    return result


def fail_as_a_full_disk() -> None:
    """Raise what writing to a full disk raises."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def end_by(number: int) -> None:
    """Send a signal to the own process."""
    os.kill(os.getpid(), number)
    time.sleep(60)


def print_to_nobody(nowhere: str) -> str:
    """Print where it cannot be shown, in a process that may be spoilt: into a pipe without a reader, or to a file."""
    if nowhere == "pipe":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open(nowhere, os.O_WRONLY)
    os.dup2(writer, 1)
    os.close(writer)
    sys.stdout.write("x" * 100_000)
    sys.stdout.flush()
    sys.stdout.buffer.write(b"x" * 100_000)
    logging.getLogger("rose").warning("also here")
    return "went on"


def echo() -> int:
    """Have a program print."""
    return subprocess.run(["echo", "x"]).returncode
