"""Write the sample of the format of now; see README.md."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from rose.store.database.schema import FORMAT
from rose.store.journal import Journal
from tests.torture.harness import history


def write(folder: Path) -> None:
    """Two run directories: of a driver that finished, and of one that died before its end."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    history.ROUNDS = 1  # for little
    asyncio.run(history.play(folder / "finished"))
    child = os.fork()
    if not child:
        Journal.close = lambda self, outcome: os._exit(0)  # type: ignore[assignment,method-assign,return-value]
        asyncio.run(history.play(folder / "killed"))
    os.waitpid(child, 0)
    (folder / "killed" / "journal.sqlite-shm").unlink()


if __name__ == "__main__":
    write(Path(__file__).parent / str(FORMAT))
