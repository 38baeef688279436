"""Serve the page until it is interrupted."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import sys
from pathlib import Path

import uvicorn

from rose.errors import RunDirectoryError
from rose.watch.page.app import make_app

_NICE = 10  # a run on the same machine comes first


def serve(directory: Path, port: int = 0) -> None:
    """Show the runs below a directory at 127.0.0.1 until Ctrl-C; prints the address, with its token.

    Args:
        directory: where to look for runs.
        port: the port; 0: one that is free.

    Raises:
        RunDirectoryError: if there is no such directory.
        OSError: if the port is taken.
    """
    if not directory.is_dir():
        raise RunDirectoryError(f"there is no directory {str(directory)!r}")
    token = secrets.token_urlsafe(24)
    with socket.create_server(("127.0.0.1", port)) as listening:
        port = listening.getsockname()[1]
        print(f"the runs below {directory}: http://127.0.0.1:{port}/?token={token}")
        print(
            f"from another machine: ssh -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.gethostname()}"
            "  and open the same address there"
        )
        with contextlib.suppress(OSError):
            os.nice(_NICE)
        print("Ctrl-C ends it; whoever knows the address can look and give orders", file=sys.stderr)
        sys.stdout.flush()
        config = uvicorn.Config(
            make_app(directory.absolute(), token),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        with contextlib.suppress(KeyboardInterrupt):  # it has closed all, and raises it again
            uvicorn.Server(config).run(sockets=[listening])
