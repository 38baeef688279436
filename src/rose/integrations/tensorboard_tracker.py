"""Follow runs in TensorBoard: a folder for each, and in it one for each of several workflows."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rose.integrations._told import missing, parameters, same, told
from rose.learners.tracking import PipelineManifest, TrackerBase


class TensorBoardTracker(TrackerBase):
    """Write what `tensorboard --logdir LOG_DIR` shows.

    Scalars are the criterion's value by its name, every number of the state, and `config/STAGE/NAME` of configurations;
    workflows of one run are curves of one picture. What the run is made of, texts of configurations, and why it ended
    are texts.

    A run that is resumed goes on in its folder, and no point is written twice.

    Args:
        log_dir: where each run gets a folder.
        run_name: the folder's name; None: the learner's class, and something of the run's own.

    Raises:
        ImportError: if TensorBoard is not installed.
    """

    def __init__(self, log_dir: str | os.PathLike[str] = "tensorboard", run_name: str | None = None) -> None:
        try:
            import tensorboard  # noqa: F401  # now, in the program's thread
        except ImportError as error:
            raise ImportError(missing("tensorboard", "TensorBoardTracker")) from error
        self.log_dir = Path(log_dir)
        self._run_name = run_name
        self._folder = self.log_dir
        self._written: dict[str | int | None, _Folder] = {}  # by workflow; None: the run itself

    def on_start(self, manifest: PipelineManifest) -> None:
        """Begin a folder, or go on in the one that an earlier program began; write what the run is made of."""
        own = (manifest.run or uuid.uuid4().hex)[:8]
        self._folder = self.log_dir / (self._run_name or f"{manifest.learner_type}-{own}")
        self._written = {None: _Folder(self._folder)}
        lines = [f"| {name} | {value} |" for name, value in parameters(manifest, ".").items()]
        self._written[None].text("parameters", "\n".join(["| name | value |", "|---|---|", *lines]))

    def on_iteration(self, state: Any) -> None:
        """Write a state's numbers."""
        workflow = state.learner_id
        if workflow not in self._written:
            self._written[workflow] = _Folder(self._folder / re.sub(r"[^\w.\- ]", "_", str(workflow)).strip("."))
        said, folder = told(state), self._written[workflow]
        folder.scalars(said.numbers, state.iteration)
        for name, text in said.texts.items():
            folder.text(name, text, state.iteration)

    def on_idle(self) -> None:
        """Write what the writers hold back."""
        for folder in self._written.values():
            folder.writer.flush()

    def on_stop(self, final_state: Any | None, reason: str) -> None:
        """Write why the run ended."""
        self._written[None].text("stop_reason", str(reason), 0 if final_state is None else final_state.iteration)
        for folder in self._written.values():
            folder.writer.close()


class _Folder:
    """Write one event file, beside those of earlier programs."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._known = _scalars(folder)
        self._texts: dict[str, str] = {}
        self.writer = EventFileWriter(str(folder))

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        """Write numbers, but for those that are written already."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        new = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in numbers.items()
            if not same(self._known.get((name, step)), float(np.float32(value)))
        ]
        if new:
            self._write(Summary(value=new), step)

    def text(self, name: str, text: str, step: int = 0) -> None:
        """Write a text, if it is not what it was."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        if self._texts.get(name) == text:
            return
        self._texts[name] = text
        kind = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        value = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        self._write(Summary(value=[Summary.Value(tag=name, metadata=kind, tensor=value)]), step)

    def _write(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _scalars(folder: Path) -> dict[tuple[str, int], float]:
    """Return what earlier programs have written into a folder."""
    if not folder.exists() or not any(folder.glob("events.out.tfevents.*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    names = events.Tags()["scalars"]
    return {(name, point.step): float(point.value) for name in names for point in events.Scalars(name)}
