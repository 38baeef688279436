"""Ways in which a place fails a task. Workers import this file: not the tests, and not pytest, which takes longer."""

from __future__ import annotations

import errno
import os
import signal
import subprocess


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
