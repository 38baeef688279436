"""A worker is a faithful place: what the driver's program has set holds there too; an initializer sets the rest."""

from __future__ import annotations

import asyncio
import decimal
import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from rose.engine import ExecutorEngine, LocalEngine, Task, TaskKey
from rose.errors import ConfigurationError, WorkerLostError

KEY = TaskKey("w", 0, "s")

PROGRAM = """
    import asyncio, decimal, io, logging, os, resource, sys, warnings
    import numpy as np
    from rose.engine import LocalEngine, Task, TaskKey

    module = os.path.join(os.path.dirname(__file__), "settings_of_the_user.py")
    with open(module, "w") as file:
        file.write("import argparse; p = argparse.ArgumentParser(); p.add_argument('--temperature', default=300);"
                   "T = p.parse_args().temperature")

    sys.argv += ["--temperature", "350"]
    sys.setrecursionlimit(3333)
    sys.set_int_max_str_digits(9999)
    decimal.getcontext().prec = 7
    np.seterr(divide="raise", under="warn")
    os.umask(0o027)
    os.environ["SET_AT_RUN_TIME"] = "yes"
    logging.basicConfig(level=logging.INFO, format="LOG %(message)s", stream=sys.stdout)
    logging.getLogger("quiet").setLevel(logging.ERROR)
    warnings.filterwarnings("error", message="mine")
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))

    def seen():
        import settings_of_the_user
        umask = os.umask(0)
        os.umask(umask)
        logging.getLogger("loud").info("from %s", "worker" if os.getpid() != driver else "driver")
        logging.getLogger("quiet").warning("not to be seen")
        try:
            warnings.warn("mine")
            warned = False
        except UserWarning:
            warned = True
        return (
            settings_of_the_user.T, sys.argv[1:], sys.flags.optimize, sys.flags.dont_write_bytecode,
            sys._xoptions.get("mine"), sys.warnoptions, sys.getrecursionlimit(), sys.get_int_max_str_digits(),
            decimal.getcontext().prec, np.geterr(), umask, os.environ["SET_AT_RUN_TIME"], warned, os.getcwd(),
            resource.getrlimit(resource.RLIMIT_NOFILE), sys.stdin.read(),
        )

    async def main():
        async with LocalEngine(1) as engine:
            there, here = await engine.run(Task(TaskKey("w", 0, "s"), seen)), seen()
            print("alike" if there == here else (there, here))

    driver = os.getpid()
    sys.stdin = io.StringIO()
    asyncio.run(main())
"""


def test_a_worker_finds_what_the_driver_has(driver: Any) -> None:
    with driver.running(PROGRAM, "-O", "-B", "-Xmine=1", "-Wignore::ImportWarning") as process:
        output, _ = process.communicate(timeout=60)
    assert output.splitlines() == ["LOG from worker", "LOG from driver", "alike"]


def _say() -> None:
    os.environ["INITIALIZED"] = os.environ.get("INITIALIZED", "") + "once"


def _seen() -> tuple[str | None, str, int]:
    return os.environ.get("INITIALIZED"), sys.argv[-1], decimal.getcontext().prec


def _fail() -> None:
    raise ValueError("there is no licence")


@pytest.mark.parametrize("kind", ["local", "executor"])
def test_an_initializer_is_called_once_in_each_process(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program", "--of-the-driver"])

    async def main(pool: ProcessPoolExecutor) -> None:
        def engine(initializer: Any) -> Any:
            if kind == "local":
                return LocalEngine(1, initializer=initializer)
            return ExecutorEngine(pool, initializer=initializer)

        async with engine(_say) as initialized:
            for _ in range(2):
                assert await initialized.run(Task(KEY, _seen)) == ("once", "--of-the-driver", 11)
        async with engine(_fail) as broken:
            with pytest.raises(WorkerLostError, match="could not start: ValueError: there is no licence") as caught:
                await broken.run(Task(KEY, _seen))
            assert isinstance(caught.value.__cause__, ValueError)

    with decimal.localcontext() as context, ProcessPoolExecutor(1) as pool:
        context.prec = 11
        asyncio.run(main(pool))


def test_an_initializer_that_nobody_would_call_is_refused() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ConfigurationError, match="initializer"):
        ExecutorEngine(pool, initializer=_say)
    with pytest.raises(ConfigurationError, match="initializer must be a function"):
        LocalEngine(1, initializer="numpy.seterr")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="initializer cannot be sent"):
        LocalEngine(1, initializer=lambda: lock.locked())


lock = __import__("threading").Lock()
