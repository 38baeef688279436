"""What a driver and a Dask worker say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rose.engine._remote.remote_task import Errand

# A reply's status, beside those of a local worker's: an error of the worker's engine, pickled; or the task is not run.
ENGINE_ERROR, STOPPED, REFUSED = 100, 101, 102

Reply = tuple[int, bytes, float]  # status, body, seconds


@dataclass(frozen=True, slots=True)
class Message:
    """One task for one host."""

    host: str  # the id of the host that may run it: another one, at the same address, may not
    driver: str  # the id of the connection that sends it
    number: int  # ... and its number there: it runs once
    settled: int  # all numbers below have ended
    errand: Errand


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a driver tells a worker when they meet."""

    driver: str
    lease: str  # the Dask key that is there as long as the driver is
    folder: str  # the driver's directory
    token: str  # a file in it
    secret: str  # what that file holds
    path: tuple[str, ...]  # the driver's sys.path
    cwd: str  # ... its working directory
    interpreter: bytes  # ... and what it has set, see `Surroundings`


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker answers."""

    host: str
    machine: str
    python: tuple[int, int]
    sees_files: bool  # it reads and writes the driver's directory
    gpus: tuple[str, ...]  # as CUDA names them


async def finished(future: Any) -> None:
    """Wait for a Dask future, whose result stays where it is; raises what became of it otherwise."""
    await future._state.wait()  # `distributed.wait` would block: it asks the user's client, if there is one
    if future.status != "finished":
        error = future._state.exception
        raise error if isinstance(error, Exception) else ConnectionError(f"it is {future.status}")


def gpus_of(resources: dict[str, float]) -> int:
    """How many gpus a Dask worker declares: `dask worker --resources "GPU=2"`."""
    return int(sum(amount for name, amount in resources.items() if name.upper() in ("GPU", "GPUS")))
