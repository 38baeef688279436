"""Digest what has no parts: numbers, texts, times, and the like.

Numbers that are equal are the same, whatever type they are of: 310, 310.0 and NumPy's scalars of that value; so are
-0.0 and 0, and all NaNs. Truth values are no numbers: True is not 1. Complex numbers, decimals and fractions are kinds
of their own, for functions calculate with them in other ways. (In arrays, the dtype and every bit count.)
"""

from __future__ import annotations

import datetime
import re
import uuid
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import numpy as np

from rose.identity.digest import node, plain_array, text


def number(value: Any) -> bytes:
    """Return the digest of a real number: an int, a float, or a scalar of NumPy's.

    >>> number(310) == number(310.0) == number(np.float32(310)), number(0.5) == number(0)
    (True, False)
    """
    if isinstance(value, (np.integer, int)):
        return node("number", f"{int(value):x}".encode())
    if value != value:
        return node("number", b"nan")
    approximate = float(value)
    if approximate == value and abs(approximate) != float("inf"):
        written = f"{int(approximate):x}" if approximate.is_integer() else approximate.hex()
        return node("number", written.encode())
    if abs(value) == float("inf"):
        return node("number", b"inf" if value > 0 else b"-inf")
    above, below = value.as_integer_ratio()  # of more than double precision
    return node("number", f"{int(above):x}/{int(below):x}".encode())


def moment(value: datetime.datetime) -> bytes:
    """Return the digest of a date and time: as its clock shows it, and where that clock is."""
    nanoseconds = getattr(value, "nanosecond", 0)  # of pandas' Timestamp
    shown = datetime.datetime(*value.timetuple()[:6], value.microsecond).isoformat()
    return node("time", shown.encode() + b"|%d|%d" % (nanoseconds, value.fold) + zone(value.tzinfo, value))


def zone(value: datetime.tzinfo | None, at: datetime.datetime | None = None) -> bytes:
    """Return the digest of a time zone: its name, or its offset from UTC (at that time)."""
    name = getattr(value, "key", None) or getattr(value, "zone", None)
    if value is None or (name is not None and name != "UTC"):
        return node("zone", str(name or "").encode())
    offset = value.utcoffset(at)
    return node("offset", b"" if offset is None else str(offset.total_seconds()).encode())


def duration(value: datetime.timedelta) -> bytes:
    """Return the digest of a time difference, in nanoseconds."""
    whole = datetime.timedelta(value.days, value.seconds, value.microseconds)
    return node(
        "duration", b"%d" % (whole // datetime.timedelta(microseconds=1) * 1000 + getattr(value, "nanoseconds", 0))
    )


def _decimal(value: Decimal) -> bytes:
    if not value.is_finite():
        return node("decimal", str(value).encode())
    sign, digits, exponent = value.as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    kept = written.rstrip("0")
    assert isinstance(exponent, int)
    return node(
        "decimal", f"{sign and bool(kept):d}{kept}e{exponent + len(written) - len(kept) if kept else 0}".encode()
    )


# By exact type: these come by the million, and cannot be of a class with an opinion of its own.
ATOMS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: node("none"),
    bool: lambda value: node("truth", b"\1" if value else b"\0"),
    np.bool_: lambda value: node("truth", b"\1" if value else b"\0"),
    int: number,
    float: number,
    complex: lambda value: node("complex", number(value.real) + number(value.imag)),
    str: text,
    np.str_: lambda value: text(str(value)),
    bytes: lambda value: node("bytes", value),
    np.bytes_: lambda value: node("bytes", bytes(value)),
    bytearray: lambda value: node("bytes", bytes(value)),
    memoryview: lambda value: node("bytes", value.tobytes()),
    Decimal: _decimal,
    Fraction: lambda value: node("fraction", f"{value.numerator:x}/{value.denominator:x}".encode()),
    uuid.UUID: lambda value: node("uuid", value.bytes),
    re.Pattern: lambda value: node(
        "pattern", ATOMS[type(value.pattern)](value.pattern) + b"%d" % (value.flags & ~re.DEBUG)
    ),
    datetime.date: lambda value: node("date", value.isoformat().encode()),
}


def atom(value: Any) -> bytes | None:
    """Return the digest of a value that has no parts, of a class that is derived from such a one; None: it is none."""
    kind = type(value)
    if isinstance(value, np.generic):
        return _scalar(value)
    if isinstance(value, PurePath):
        return node("path", value.as_posix().encode(errors="surrogatepass"))
    if kind.__name__ in ("NAType", "NaTType") and kind.__module__.partition(".")[0] == "pandas":
        return node("missing")
    if isinstance(value, datetime.datetime):
        return moment(value)
    if isinstance(value, datetime.timedelta):
        return duration(value)
    if kind is datetime.time:
        return node("clock", value.replace(tzinfo=None).isoformat().encode() + b"|%d" % value.fold + zone(value.tzinfo))
    if kind is datetime.timezone or (kind is zoneinfo.ZoneInfo and value.key is not None):
        return zone(value)
    return None


def _scalar(value: np.generic) -> bytes | None:
    if isinstance(value, (np.integer, np.floating)) and not isinstance(value, np.timedelta64):
        return number(value)
    if isinstance(value, np.complexfloating):
        return node("complex", number(value.real) + number(value.imag))
    array = np.asarray(value)
    return None if array.dtype.hasobject or array.dtype.names else plain_array(array)
