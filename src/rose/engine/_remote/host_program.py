"""Run a host as a program, where a back end runs command lines only: `... -m rose.engine._remote.host_program FILE`."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from rose.engine._remote.host_protocol import Reply
from rose.engine._remote.host_thread import run_order


def command(order_file: Path) -> list[str]:
    """Return the command line that runs the order in a file."""
    return [sys.executable, "-m", "rose.engine._remote.host_program", str(order_file)]


def read_reply(order_file: Path) -> Reply:
    """Return what became of the order, after the program has ended; both files are removed. Blocks."""
    reply_file = _reply_file(order_file)
    reply: Reply = pickle.loads(reply_file.read_bytes())
    reply_file.unlink()
    order_file.unlink()
    return reply


def main(order_file: Path) -> None:
    """Run the order in a file, and leave the reply beside it."""
    reply = run_order(order_file.read_bytes())
    unfinished = order_file.with_suffix(".unfinished")
    unfinished.write_bytes(pickle.dumps(reply))
    unfinished.replace(_reply_file(order_file))


def _reply_file(order_file: Path) -> Path:
    return order_file.with_suffix(".reply")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # what the host still has ends with it
