"""Tell trackers of a run from within its program, as MLflow is told, or a file of one's own.

A tracker is told of the start, of each iteration and of the end, in a thread of its own: a run never waits for one, and
one that raises is reported once and switched off.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from rose.errors import ConfigurationError, UnknownNameError
from rose.loop.protocol import RunRequest
from rose.plugins import Registry
from rose.stages.parsing import plain
from rose.stages.stage import Stage

_log = logging.getLogger("rose")

_BEHIND = 1000  # events that a tracker may be late, before it is given up
PATIENCE = 10.0  # seconds that the end of a run waits for each tracker to take in what it has been told


@dataclass(frozen=True)
class TaskManifest:
    """Describe one registered task: its function, and the options that it was registered with."""

    func_name: str
    func_module: str
    as_executable: bool
    decor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    log_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CriterionManifest(TaskManifest):
    """Describe the stop criterion: its function, and what its value is compared with."""

    metric_name: str = ""
    threshold: float = 0.0
    operator: str = ""


@dataclass(frozen=True)
class PipelineManifest:
    """Describe what a learner is made of: tasks by stage, the criterion, and how many workflows run side by side."""

    learner_type: str
    tasks: Mapping[str, TaskManifest] = field(default_factory=dict)
    criterion: CriterionManifest | None = None
    parallel_count: int | None = None


def manifest_of(learner_type: str, request: RunRequest) -> PipelineManifest:
    """Return what a run is made of: the stages of its first workflow, and how many there are."""
    registered = request.stages[request.names[0]]
    criterion = registered.criterion
    return PipelineManifest(
        learner_type,
        {kind: TaskManifest(*_described(stage)) for kind, stage in registered.all_stages().items()},
        None
        if criterion is None
        else CriterionManifest(
            *(("", "", False, {}, {}) if criterion.stage is None else _described(criterion.stage)),
            criterion.metric_name,
            criterion.threshold,
            criterion.operator,
        ),
        len(request.names) if request.learner_ids else None,
    )


def _described(stage: Stage) -> tuple[str, str, bool, dict[str, Any], dict[str, Any]]:
    name, module = getattr(stage.func, "__name__", repr(stage.func)), getattr(stage.func, "__module__", "")
    options = {field.name: getattr(stage, field.name) for field in fields(stage) if field.name not in _NO_OPTIONS}
    given = {name: value for name, value in options.items() if value != getattr(Stage(stage.kind, stage.func), name)}
    return name, module, stage.as_executable, given, dict(stage.log_params)


_NO_OPTIONS = ("kind", "func", "as_executable", "log_params")


class TrackerBase:
    """Follow a run; a subclass says what it does with what it is told. All three methods do nothing here.

    They are called one at a time, in a thread that is the tracker's own, whatever the number of workflows.
    """

    def on_start(self, manifest: PipelineManifest) -> None:
        """Take note that a run begins, and of what."""

    def on_iteration(self, state: Any) -> None:
        """Take note of a workflow's state after an iteration, a `rose.IterationState` that is the tracker's own."""

    def on_stop(self, final_state: Any | None, reason: str) -> None:
        """Take note of the end: the last state (None: there was no iteration), and why, one of `rose.StopReason`."""


_TOLD = ("on_start", "on_iteration", "on_stop")
MakeT = TypeVar("MakeT", bound=Callable[..., Any])


def _accept(_name: str, loaded: Any) -> Callable[..., Any] | None:
    return loaded if callable(loaded) else None


TRACKERS: Registry[Callable[..., Any]] = Registry("tracker", "rose.trackers", _accept, UnknownNameError)


def register_tracker(name: str, *, aliases: tuple[str, ...] = ()) -> Callable[[MakeT], MakeT]:
    """Declare the decorated class as a tracker, made without arguments where it is asked for by name.

    Raises:
        ConfigurationError: if the name or an alias is built in or another's, or it is no class.
    """

    def make_tracker(make: Any) -> Any:
        if not callable(make):
            raise ConfigurationError(f"tracker {name!r} must be a class that is made without arguments, got {make!r}")
        return make

    return TRACKERS.register(name, make_tracker, aliases)


@register_tracker("json")
class JSONTracker(TrackerBase):
    """Write a line of JSON for the start, for each iteration and for the end: `event`, `time`, and what there is.

    Args:
        path: the file; lines are added to what it holds. What JSON has no form for is its text.
    """

    def __init__(self, path: str | os.PathLike[str] = "tracking.jsonl") -> None:
        self.path = Path(path)

    def on_start(self, manifest: PipelineManifest) -> None:
        """Write the manifest."""
        self._write("start", asdict(manifest))

    def on_iteration(self, state: Any) -> None:
        """Write the state."""
        self._write("iteration", state.to_dict())

    def on_stop(self, final_state: Any | None, reason: str) -> None:
        """Write the reason, and the last state."""
        last = None if final_state is None else final_state.to_dict()
        self._write("stop", {"reason": str(reason), "final_state": last})

    def _write(self, event: str, what: Mapping[str, Any]) -> None:
        line = json.dumps(plain({"event": event, "time": time.time(), **what}))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


TRACKERS.seal()


class Tracking:
    """Tell a learner's trackers what happens; no call but `close` waits, and none raises what they raise."""

    def __init__(self) -> None:
        self._trackers: list[_Told] = []
        self._manifest: PipelineManifest | None = None  # of the run that is going on
        self.last: Any | None = None  # its last state

    def add(self, tracker: Any) -> None:
        """Add a tracker, or by its name one that is registered; if a run is going on, it is told of the start at once.

        One that is there already is told once of everything.

        Raises:
            ConfigurationError: if it is none.
            UnknownNameError: for a name that no tracker has.
        """
        if isinstance(tracker, str):
            tracker = TRACKERS.get(tracker)()
        missing = [name for name in _TOLD if not callable(getattr(tracker, name, None))]
        if isinstance(tracker, type) or missing:
            why = "give an instance, not the class" if isinstance(tracker, type) else f"it has no {', '.join(missing)}"
            raise ConfigurationError(f"{tracker!r} is no tracker (rose.tracking.TrackerBase): {why}")
        waits = [name for name in _TOLD if inspect.iscoroutinefunction(getattr(tracker, name))]
        if waits:
            raise ConfigurationError(
                f"{', '.join(waits)} of {tracker!r} must be plain methods: nobody would await them"
            )
        if any(told.is_of(tracker) for told in self._trackers):
            return
        added = _Told(tracker)
        self._trackers.append(added)
        if self._manifest is not None:
            added.tell("on_start", self._manifest)

    def started(self, manifest: PipelineManifest) -> None:
        """Tell all that a run begins."""
        self._manifest = manifest
        self._tell("on_start", manifest)

    def iteration(self, state: Any) -> None:
        """Tell all of a state after an iteration."""
        self.last = state
        for tracker in self._trackers:
            tracker.tell("on_iteration", _copied(state))

    def stopped(self, final_state: Any | None, reason: str) -> None:
        """Tell all that the run has ended."""
        self._manifest = self.last = None
        for tracker in self._trackers:
            tracker.tell("on_stop", _copied(final_state), reason)

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until all have taken in what they were told, each so many seconds at most; blocks."""
        for tracker in self._trackers:
            tracker.close(patience)

    def _tell(self, method: str, *arguments: Any) -> None:
        for tracker in self._trackers:
            tracker.tell(method, *arguments)


def _copied(state: Any) -> Any:
    """Return a copy whose lists and dicts are its own: the run goes on while a tracker looks at it."""
    copied = copy.copy(state)
    for name, value in getattr(copied, "__dict__", {}).items():
        if isinstance(value, (dict, list)):
            setattr(copied, name, value.copy())
    return copied


class _Told:
    """Hold one tracker, its thread, and what it has yet to be told."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker
        self._off = False
        self._events: queue.Queue[tuple[str, tuple[Any, ...]] | None] = queue.Queue(_BEHIND)
        self._thread: threading.Thread | None = None  # while there is a run

    def is_of(self, tracker: Any) -> bool:
        return self._tracker is tracker

    def tell(self, method: str, *arguments: Any) -> None:
        if self._off:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._take_in, name="rose-tracker", daemon=True)
            self._thread.start()
        try:
            self._events.put_nowait((method, arguments))
        except queue.Full:
            self._switch_off(f"is {_BEHIND} events late")

    def close(self, patience: float) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        end = time.monotonic() + patience
        with contextlib.suppress(queue.Full):
            self._events.put(None, timeout=patience)
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive() and not self._off:
            self._switch_off(f"has not taken in all it was told, {patience:g} s after the end")

    def _take_in(self) -> None:
        while (event := self._events.get()) is not None:
            method, arguments = event
            if self._off:
                continue
            try:
                getattr(self._tracker, method)(*arguments)
            except BaseException as error:  # SystemExit and the like would end this thread alone, unheard
                self._switch_off(f"raised in {method}", error)

    def _switch_off(self, why: str, error: BaseException | None = None) -> None:
        self._off = True
        _log.warning("tracker %r %s: it is told nothing more, and the run goes on", self._tracker, why, exc_info=error)
