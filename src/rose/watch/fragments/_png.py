"""Write small pictures as PNG."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def png(pixels: np.ndarray) -> bytes:
    r"""Return `[h, w]` (grey) or `[h, w, 3]` uint8 as a PNG file.

    >>> png(np.zeros((2, 2), np.uint8))[:4]
    b'\x89PNG'
    """
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    rows = np.zeros((height, 1 + width * (3 if colour else 1)), np.uint8)  # a row begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def data_url(pixels: np.ndarray) -> str:
    """Return a picture as the address of an image that is in the page itself."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
