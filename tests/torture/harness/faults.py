"""A disk that fails, for a process started with `library()` preloaded; see faults.c."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

MODES = {
    "count": 0,
    "full": 1,  # the call writes half of its data, and all later ones nothing: no space left
    "broken": 2,  # this call and all later ones fail with EIO
    "once": 3,  # this call alone fails with EIO
    "short": 4,  # this call writes half of its data, as it may
    "kill": 5,  # the process is killed before the call
    "torn": 6,  # ... or when it has written half of its data
}


def compiler() -> str | None:
    """The C compiler, if there is one."""
    return shutil.which("gcc") or shutil.which("cc")


def library(folder: Path) -> Path:
    """Compile the library into a folder."""
    made = folder / "faults.so"
    cc = compiler()
    assert cc is not None
    source = Path(__file__).with_name("faults.c")
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl", "-lpthread"], check=True)
    return made


def arm(where: str, call: int, mode: str) -> None:
    """From now on, have the `call`-th call of this process that writes below `where` go wrong."""
    ctypes.CDLL(None).rose_fault(where.encode(), ctypes.c_long(call), MODES[mode])


def calls() -> int:
    """How many there have been."""
    counted = ctypes.CDLL(None).rose_calls
    counted.restype = ctypes.c_long
    return int(counted())


def trace(where: str, file: str) -> None:
    """Write all of them to a file, with their data."""
    ctypes.CDLL(None).rose_trace(where.encode(), file.encode())


def mark(text: str) -> None:
    """Note something in the trace."""
    ctypes.CDLL(None).rose_mark(text.encode())
