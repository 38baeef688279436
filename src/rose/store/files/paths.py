"""Say where things are in a run directory."""

from __future__ import annotations

import hashlib
import os
import string
from pathlib import Path
from urllib.parse import quote

from rose.store.files.filesystem import ignores_case

DATABASE = "journal.sqlite"
LOG = "rose.log"  # for people
OBJECTS = "objects"  # arrays and models, by content
WORK = "work"  # the working directories of commands, by task
OUTPUT = Path("output")  # what tasks print, by task: a directory with the files stdout and stderr
STREAMS = ("stdout", "stderr")


_LONGEST = 255  # bytes of a name in most file systems
_KEPT = 200  # of one that is longer
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(1, 10))}


def place_of(key: str, fold: bool = False) -> Path:
    """Return the path that stands for a task's key below one of these directories, safe for the file system.

    Keys that differ have places that differ; with `fold`, also where a file system does not tell letters by their case,
    or has devices and spaces as Windows has.

    >>> place_of("my:run/0/training/../mlp").as_posix()
    'my%3Arun/0/training/%2E%2E/mlp'
    >>> place_of("BALD/0/training/aux", fold=True).as_posix()
    '%42%41%4C%44/0/training/%61ux'
    """
    parts = [quote(part, safe=" =+,@") or "_" for part in key.split("/")]
    parts = [part.replace(".", "%2E") if set(part) == {"."} else part for part in parts]
    return Path(*(fitting(_folded(part) if fold else part) for part in parts))


def place_in(run: Path, key: str) -> Path:
    """Return the place of a task's key in that run directory."""
    return place_of(key, folds(run))


def folds(run: Path) -> bool:
    """Return whether letters are not told by their case in a run directory."""
    return ignores_case(run / DATABASE)


def fitting(name: str) -> str:
    """Return a name that a file system takes: a long one is cut, and ends with a digest of all of it.

    >>> fitting("mlp"), len(fitting("%E6%A8%A1" * 29))
    ('mlp', 222)
    """
    encoded = os.fsencode(name)
    if len(encoded) <= _LONGEST:
        return name
    digest = hashlib.blake2b(encoded, digest_size=10).hexdigest()
    return os.fsdecode(encoded[:_KEPT]).encode(errors="ignore").decode() + f"%~{digest}"  # no quoted name has a "%~"


def _folded(part: str) -> str:
    """Return a quoted name without capital letters, and that is none of Windows' own."""
    pieces = part.split("%")  # the two digits after each are left as they are
    plain = [pieces[0], *(piece[2:] for piece in pieces[1:])]
    escaped = ["".join(f"%{ord(c):02X}" if c in string.ascii_uppercase else c for c in text) for text in plain]
    folded = "".join([escaped[0], *(f"%{old[:2]}{text}" for old, text in zip(pieces[1:], escaped[1:], strict=True))])
    if folded.partition(".")[0].rstrip() in _DEVICES:
        folded = f"%{ord(folded[0]):02X}{folded[1:]}"
    if folded[-1] in ". ":
        folded = f"{folded[:-1]}%{ord(folded[-1]):02X}"
    return folded
