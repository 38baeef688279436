"""Ways in which tasks fail, and a log of those that ran.

Workers import this file: not the tests, and not pytest, which takes longer.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_in_other_words() -> None:
    try:
        raise OSError("400000 requested and 21488 written")
    except OSError as error:
        raise RuntimeError("the solver has failed") from error


def missing() -> None:
    subprocess.run(["no-such-solver"])


def killed_child() -> None:
    subprocess.run(["sh", "-c", "kill -9 $$"], check=True)


def no_module() -> None:
    import no_such_module  # noqa: F401


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tried(log: Path) -> Counter[str]:
    """How often each line is in a log."""
    return Counter(log.read_text().split()) if log.exists() else Counter()


def note(log: Path, what: object) -> None:
    """Add a line."""
    with log.open("a") as file:
        file.write(f"{what}\n")
