"""What an engine sends to a host (code of ours in a worker of somebody else's), the reply, and their private line."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from rose.engine._remote.remote_task import Errand, Surroundings

# A reply's status, beside those of a local worker's.
RAISED = 100  # the host's engine raised an error; the body is `pack_error`'s
REFUSED = 101  # the driver did not want the task to run (any more), or has gone
UNREACHABLE = 102  # the driver could not be asked; the body says why

SECRET = 32  # bytes
MESSAGE = struct.Struct("<cQ")  # what is meant, and the number of an order
START, END = b"s", b"e"  # from the host: may it run? It has ended
GO, NO, STOP = b"g", b"n", b"x"  # from the driver
DROP = b"d"  # from the driver, with the number of a shared value that is not needed any more
CALL, FETCH = b"c", b"f"  # how a connection introduces itself, before the secret (and the number of what is fetched)
NUMBER = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Driver:
    """Where a host finds the driver, and how it proves that it was sent by it."""

    address: str
    port: int
    secret: bytes = field(repr=False)
    folder: str  # the engine's directory
    pid: int | None  # None: it is on another machine

    def place(self, ref: int) -> str:
        """Where the driver keeps a shared value."""
        return os.path.join(self.folder, f"ref-{ref}")


@dataclass(frozen=True, slots=True)
class Order:
    """One task for a host."""

    driver: Driver
    number: int
    errand: Errand
    surroundings: Surroundings
    gpus: str | None = None  # its CUDA_VISIBLE_DEVICES; None: left alone
    refs: Sequence[int] = ()  # the shared values that it reads, where it may be that they must be fetched
    here: bool = False  # run a function in this very process, where nothing can stop it


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of an order. Short to print: some back ends print what tasks return."""

    status: int
    body: bytes = field(repr=False)
