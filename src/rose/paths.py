"""Expand paths as people write them: with `~`, and with environment variables."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rose.errors import ConfigurationError

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([^}]*)\})")


def expanded(path: str | os.PathLike[str], name: str) -> Path:
    """Return a path with `~`, `~user`, `$NAME` and `${NAME}` replaced; one that exists as it is written is itself.

    Args:
        path: what the user gave.
        name: what messages call it.

    Raises:
        ConfigurationError: if it is no path, a variable or a user is not known, or the file system cannot have such a
            name.

    >>> import os
    >>> os.environ["ROSE_EXAMPLE"] = "/scratch/me"
    >>> expanded("${ROSE_EXAMPLE}/digits", "run_dir").as_posix()
    '/scratch/me/digits'
    >>> del os.environ["ROSE_EXAMPLE"]
    >>> expanded("$ROSE_EXAMPLE/digits", "run_dir")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    rose.errors.ConfigurationError: run_dir='$ROSE_EXAMPLE/digits': there is no environment variable ROSE_EXAMPLE...
    """
    try:
        given = Path(path)
    except TypeError:
        raise ConfigurationError(f"{name}={path!r} must be a path: a text or a pathlib.Path") from None
    try:
        if "\0" in os.fspath(given):
            raise ConfigurationError(f"{name}={str(path)!r} holds a null character, which no path may")
        os.fsencode(given)
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{name}={str(path)!a} cannot be written in this process's file names, which are "
            f"{sys.getfilesystemencoding()}: set LC_ALL=C.UTF-8 (or PYTHONUTF8=1) before Python starts"
        ) from None
    text = os.fspath(given)
    if not (text.startswith("~") or "$" in text) or os.path.lexists(given):
        return given

    def value(match: re.Match[str]) -> str:
        variable = match[1] if match[1] is not None else match[2]
        if variable not in os.environ:
            raise ConfigurationError(
                f"{name}={str(path)!r}: there is no environment variable {variable} (a directory of that very name has "
                "to be made first)"
            )
        return os.environ[variable]

    try:
        home = Path(text).expanduser() if text.startswith("~") else Path(text)
    except RuntimeError:
        raise ConfigurationError(
            f"{name}={str(path)!r}: there is no home directory for {text.partition('/')[0]}"
        ) from None
    return Path(_VARIABLE.sub(value, os.fspath(home)))
