"""Where things are in a run directory."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

DATABASE = "journal.sqlite"
OBJECTS = "objects"  # arrays and models, by content
WORK = "work"  # the working directories of commands, by task
OUTPUT = Path("output")  # what tasks print, by task: a directory with the files stdout and stderr
STREAMS = ("stdout", "stderr")


def place_of(key: str) -> Path:
    """The path that stands for a task's key below one of these directories: names are made safe for the file system.

    >>> place_of("my:run/0/training/../mlp").as_posix()
    'my%3Arun/0/training/%2E%2E/mlp'
    """
    parts = [quote(part, safe=" =+,@") or "_" for part in key.split("/")]
    return Path(*(part.replace(".", "%2E") if set(part) == {"."} else part for part in parts))
