"""Say what the driver and a worker send each other: one datagram each, a header and a pickle."""

from __future__ import annotations

import socket
import struct

from rose.engine.shipping.serialization import MESSAGE_MAX

TASK = struct.Struct(
    "<QIQ"
)  # the task's number, its cpus, its memory limit (0: none); then the pickled (call, args, kwargs)
REPLY = struct.Struct("<QdB")  # the task's number, its seconds, its status; then the pickled result or failure
BUFFER = MESSAGE_MAX + 1024

READY, RESULT, FAILED, UNPICKLABLE, UNLOADABLE, OUT_OF_MEMORY, BROKEN = range(7)  # a reply's status


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets that keep the borders of messages."""
    try:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:  # macOS has the constant, but not the socket
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * BUFFER)
    return pair
