"""Define what an engine and its hosts (code of ours in others' workers) say to each other, whatever carries it."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from rose.engine._remote.remote_task import RemoteTask, Surroundings

# A reply's status, beside those of a local worker's.
RAISED = 100  # the host's engine raised an error; the body is `pack_error`'s
REFUSED = 101  # it is not run: it was before, or the driver does not want it (any more), or has gone
STOPPED = 102  # it was stopped, or its host has ended
UNREACHABLE = 103  # the driver could not be asked; the body says why

# Hosts that call the driver keep a line to it.
INTRODUCTION = struct.Struct("<c32sQ255s")  # CALL or FETCH, the secret, what is fetched, the name of the host's machine
CALL, FETCH = b"c", b"f"
MESSAGE = struct.Struct("<cQQ")  # what is meant, the number of an order, and (BEGAN) a process's
START, BEGAN, END = b"s", b"b", b"e"  # from the host: may it run? Its process runs. It has ended
GO, NO, STOP = b"g", b"n", b"x"  # from the driver
DROP = b"d"  # from the driver, with the number of a shared value that is not needed any more


@dataclass(frozen=True, slots=True)
class DriverAddress:
    """Hold where a host finds the driver, and how it proves that it was sent by it."""

    address: str
    port: int
    secret: bytes = field(repr=False)
    folder: str  # the engine's directory
    pid: int | None  # None: it is on another machine


@dataclass(frozen=True, slots=True)
class Order:
    """Hold one task for a host."""

    number: int  # it runs once
    task: RemoteTask
    tells_start: bool = False  # the driver wants to know when it begins
    ended_below: int = 0  # all orders with lower numbers have ended
    refs: Sequence[int] = ()  # the shared values that it reads, where it may be that they must be fetched
    gpus: str | None = None  # its CUDA_VISIBLE_DEVICES; None: left alone
    in_worker: bool = False  # run a function in this very process, where nothing can stop it
    driver: DriverAddress | None = None  # None: the host was made by it, and knows what follows
    surroundings: Surroundings = field(default_factory=Surroundings)


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold what became of an order. Short to print: some back ends print what tasks return."""

    status: int
    body: bytes = field(default=b"", repr=False)
    worker: str = ""  # the name of the process that ran it, if the driver wanted to know
    seconds: float = 0.0


def place_of(folder: str, ref: int) -> str:
    """Return where a shared value is, in the driver's directory or among copies."""
    return os.path.join(folder, f"ref-{ref}")


def ref_of(path: str) -> int:
    """Return which shared value a file belongs to."""
    return int(os.path.basename(os.path.dirname(path)).removeprefix("ref-"))
