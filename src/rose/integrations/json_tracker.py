"""Write what happens as lines of JSON."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rose.learners.tracking import PipelineManifest, TrackerBase
from rose.stages.parsing import plain


class JSONTracker(TrackerBase):
    """Write a line of JSON for the start, for each iteration and for the end: `event`, `time`, and what there is.

    Lines of a run that can be resumed tell it by its `run`; an iteration that it replays has no second line.

    Args:
        path: the file; lines are added to what it holds. What JSON has no form for is its text.
    """

    def __init__(self, path: str | os.PathLike[str] = "tracking.jsonl") -> None:
        self.path = Path(path)
        self._run: str | None = None
        self._written: set[tuple[Any, int]] = set()  # iterations by earlier programs of the run

    def on_start(self, manifest: PipelineManifest) -> None:
        """Write the manifest."""
        self._run = manifest.run
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        self._written = set() if self._run is None else set(self._iterations(text))
        self._write("start", asdict(manifest), before="\n" if text and not text.endswith("\n") else "")

    def on_iteration(self, state: Any) -> None:
        """Write the state."""
        if not state.replayed or (state.learner_id, state.iteration) not in self._written:
            self._write("iteration", state.to_dict())

    def on_stop(self, final_state: Any | None, reason: str) -> None:
        """Write the reason, and the last state."""
        last = None if final_state is None else final_state.to_dict()
        self._write("stop", {"reason": str(reason), "final_state": last})

    def _iterations(self, text: str) -> list[tuple[Any, int]]:
        """Return whose iterations of this run the file has; a line that was cut short has none."""
        found = []
        for line in text.splitlines():
            try:
                told = json.loads(line)
            except json.JSONDecodeError:
                continue
            if told.get("event") == "iteration" and told.get("run") == self._run:
                found.append((told["learner_id"], told["iteration"]))
        return found

    def _write(self, event: str, what: Mapping[str, Any], before: str = "") -> None:
        line = json.dumps(plain({"event": event, "time": time.time(), "run": self._run, **what}))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(before + line + "\n")
