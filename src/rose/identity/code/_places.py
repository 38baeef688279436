"""Recognise texts and paths that name a place inside the program's own directory: the whole may be moved."""

from __future__ import annotations

import functools
import os
import re
from pathlib import PurePath
from typing import Any

_LONGEST = 100_000  # letters of a text that is looked at


def from_home(value: Any, home: str | None) -> Any:
    """Return a path, or a text with paths in it, as it is seen from a directory; others as they are.

    >>> from_home("/a/b/mesh.inp", "/a/b"), from_home("--dir=/a/b --of=/a/bc", "/a/b")
    ('mesh.inp', '--dir=. --of=/a/bc')
    """
    if home is None or not isinstance(value, (str, PurePath)) or len(text := str(value)) > _LONGEST:
        return value
    for directory in _ways(home):
        if text == directory or text.startswith(directory + os.sep):
            text = os.path.relpath(text, directory)
        if directory in text:
            text = _within(directory).sub(".", text)
    return text if isinstance(value, str) else type(value)(text)


@functools.lru_cache(maxsize=64)
def _ways(home: str) -> tuple[str, ...]:
    """Return how a directory may be written: as it is, and without symbolic links."""
    return tuple(one for one in dict.fromkeys((home, os.path.realpath(home))) if len(one) > 1)


@functools.lru_cache(maxsize=64)
def _within(directory: str) -> re.Pattern[str]:
    """Return a pattern of the directory as a part of a text; what goes on behind it is another's name."""
    return re.compile(rf"(?<![\w.\-]){re.escape(directory)}(?![\w\-]|\.\w)")
