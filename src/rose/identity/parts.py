"""Name the parts that an identity is made of, so that a change of one can be told in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rose.identity.digest import digest_of

_SHOWN = 60  # letters of a value that are kept to tell what it was


class Part(NamedTuple):
    """Hold one thing that decides results.

    Attributes:
        digest: what it is.
        text: a value in short; "" of what is too long, or is code.
        where: the file and line where it stands, "" where there is none. It may change.
        python: the version of Python whose bytecode the digest is of, where there is no source; else "".
    """

    digest: str
    text: str = ""
    where: str = ""
    python: str = ""


Parts = Mapping[str, Part]


def parts_digest(parts: Parts) -> str:
    """Return what identifies all of them together."""
    return digest_of(*(text for name in sorted(parts) for text in (name, parts[name].digest)))


def to_plain(parts: Parts) -> dict[str, list[str]]:
    """Return them as plain JSON, which `from_plain` reads."""
    return {name: list(part) for name, part in parts.items()}


def from_plain(plain: Mapping[str, Iterable[str]]) -> dict[str, Part]:
    """Return what `to_plain` gave."""
    return {name: Part(*list(part)[:4]) for name, part in plain.items()}


def differences(before: Parts, now: Parts) -> list[str]:
    """Return each change in words; what is known by the bytecode of another Python cannot be compared.

    >>> differences({"T": Part("a", "300", "p.py:3")}, {"T": Part("b", "350", "p.py:3")})
    ['T (p.py:3) was 300, and is 350']
    """
    changed = [name for name in now if name in before and not _same(before[name], now[name])]
    told = [_told(name, before[name], now[name]) for name in changed]
    if any(not now[name].text and _is_code(name) for name in changed):
        return told  # code has changed: what it newly uses, or no longer does, follows from that
    told += [f"{_at(name, part)} is new" + (f": {part.text}" if part.text else "") for name, part in _less(now, before)]
    told += [f"{_at(name, part)} is not used any more" for name, part in _less(before, now)]
    return told


def incomparable(before: Parts, now: Parts) -> list[str]:
    """Return the names of what has no source, and was known by the bytecode of another Python."""
    return [name for name in now if name in before and before[name].python != now[name].python]


def shown(value: Any) -> str:
    """Return a value in short, "" where that says nothing.

    >>> shown(300), shown("fast"), shown(list(range(100)))
    ('300', "'fast'", '')
    """
    plain = value is None or isinstance(value, (bool, int, float, complex, str, bytes))
    if not plain and not (type(value) in (list, tuple) and len(value) <= 8 and all(shown(one) for one in value)):
        return ""
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else ""
    return text if len(text) <= _SHOWN else ""


def _same(before: Part, now: Part) -> bool:
    return before.digest == now.digest or before.python != now.python


def _told(name: str, before: Part, now: Part) -> str:
    if before.text and now.text and before.text != now.text:
        return f"{_at(name, now)} was {before.text}, and is {now.text}"
    return f"{_at(name, now)} has changed"


def _at(name: str, part: Part) -> str:
    return f"{name} ({part.where})" if part.where else name


def _is_code(name: str) -> bool:
    return name.startswith(("function ", "class ", "its function"))


def _less(some: Parts, others: Parts) -> list[tuple[str, Part]]:
    return [(name, part) for name, part in some.items() if name not in others]
