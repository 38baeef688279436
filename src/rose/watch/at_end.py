"""Write the report of a run at its end."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from rose.store import Run

_log = logging.getLogger("rose")


async def close(run: Run, reports: bool) -> None:
    """Close a run, and then write its report, in a thread: whatever goes wrong with that, the run is well.

    None is written of a temporary run, nor of one that was broken off: its time may be short. `ROSE_REPORT=0` in the
    environment switches it off.
    """
    await run.close()
    ended = run.outcome in ("finished", "failed", "stopped")
    if run.temporary or not ended or not reports or os.environ.get("ROSE_REPORT") == "0":
        return
    try:
        await asyncio.to_thread(_write, run.path)
    except Exception:
        _log.warning("the report of the run in %s could not be written", run.path, exc_info=True)


def _write(run_dir: Path) -> None:
    from rose.watch.report import write_report  # what draws it takes a while to load

    write_report(run_dir)
