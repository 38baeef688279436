"""Tell trackers of a run from within its program, as MLflow is told, or a file of one's own.

A tracker is told of the start, of each iteration and of the end, in a thread of its own: a run never waits for one but
at its end, and not for long, and one that raises is reported once and switched off.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from rose.errors import ConfigurationError, UnknownNameError
from rose.loop.protocol import RunRequest
from rose.plugins import Registry
from rose.stages.stage import Registered, Stage

_log = logging.getLogger("rose")

_BEHIND = 1000  # events that a tracker may be late, before it is given up
_BEHIND_REPLAYED = 500  # of which iterations that are replayed, all in a moment, take up so many at most
_GATHERS, _AT_MOST = 1.0, 30.0  # seconds for which a tracker may hold back what it is told, to write it at once,
_SHARE = 20  # and so many times as long as that took last: it writes for a twentieth of the time
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
    """Describe what a learner is made of: tasks by stage, the criterion, and how many workflows run side by side.

    `run` is the same whenever a run is resumed, and no other's; None: it has no directory.
    """

    learner_type: str
    tasks: Mapping[str, TaskManifest] = field(default_factory=dict)
    criterion: CriterionManifest | None = None
    parallel_count: int | None = None
    run: str | None = None


def manifest_of(learner_type: str, request: RunRequest, run: str | None = None) -> PipelineManifest:
    """Return what a run is made of: the stages of its workflows, the first that has each, and how many there are."""
    by_stages = [registered for _, registered in request.by_stages()]
    criterion = next((one.criterion for one in by_stages if one.criterion is not None), None)
    tasks: dict[str, TaskManifest] = {}
    for registered in reversed(by_stages):
        tasks |= _tasks(registered)
    return PipelineManifest(
        learner_type,
        tasks,
        None
        if criterion is None
        else CriterionManifest(
            *(("", "", False, {}, {}) if criterion.stage is None else _described(criterion.stage)),
            criterion.metric_name,
            criterion.threshold,
            criterion.operator,
        ),
        len(request.names) if request.learner_ids else None,
        run,
    )


def _tasks(registered: Registered) -> dict[str, TaskManifest]:
    tasks = {
        kind: TaskManifest(*_described(stage))
        for kind, stage in registered.all_stages().items()
        if registered.criterion is None or stage is not registered.criterion.stage
    }
    rule = registered.rule
    if rule is not None:
        said = {"metric_name": rule.metric_name, "query_size": rule.query_size, "threshold": rule.threshold}
        own = tasks.get("uncertainty", TaskManifest(rule.metric_name, "rose.scoring", False))
        tasks["uncertainty"] = replace(own, log_params={**said, **own.log_params})
    return tasks


def _described(stage: Stage) -> tuple[str, str, bool, dict[str, Any], dict[str, Any]]:
    name, module = getattr(stage.func, "__name__", repr(stage.func)), getattr(stage.func, "__module__", "")
    options = {field.name: getattr(stage, field.name) for field in fields(stage) if field.name not in _NO_OPTIONS}
    given = {name: value for name, value in options.items() if value != getattr(Stage(stage.kind, stage.func), name)}
    return name, module, stage.as_executable, given, dict(stage.log_params)


_NO_OPTIONS = ("kind", "func", "as_executable", "log_params")


class TrackerBase:
    """Follow a run; a subclass says what it does with what it is told. All methods do nothing here.

    They are called one at a time, in a thread that is the tracker's own, whatever the number of workflows. A class
    that is none of this one's needs the first three.
    """

    def on_start(self, manifest: PipelineManifest) -> None:
        """Take note that a run begins, and of what."""

    def on_iteration(self, state: Any) -> None:
        """Take note of a workflow's state after an iteration, a `rose.IterationState` that is the tracker's own.

        Where `state.replayed`, an earlier program recorded the iteration, and told its trackers, if it had any.
        """

    def on_stop(self, final_state: Any | None, reason: str) -> None:
        """Take note of the end: the last state (None: there was no iteration), and why, one of `rose.StopReason`."""

    def on_workflow_stop(self, learner_id: str | int, final_state: Any | None, reason: str) -> None:
        """Take note of how one of several workflows ended; told before `on_stop`."""

    def on_idle(self) -> None:
        """Write what was held back; told a second after the first event since, or later where it takes long."""


_TOLD = ("on_start", "on_iteration", "on_stop")
_MAY_BE_TOLD = ("on_workflow_stop", "on_idle")
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


def _built_in(name: str, made: str) -> None:
    def make() -> Any:
        """Import what it needs when it is asked for: the libraries are large."""
        return getattr(importlib.import_module(f"rose.integrations.{name}_tracker"), made)()

    register_tracker(name)(make)


_built_in("json", "JSONTracker")
_built_in("mlflow", "MLflowTracker")
_built_in("tensorboard", "TensorBoardTracker")
_built_in("clearml", "ClearMLTracker")
TRACKERS.seal()


class Tracking:
    """Tell a learner's trackers what happens; no call but `close` waits, and none raises what they raise."""

    def __init__(self) -> None:
        self._trackers: list[_Told] = []
        self._lock = threading.Lock()  # one may be added in another thread while a run begins
        self._manifest: PipelineManifest | None = None  # of the run that is going on
        self._last: Any | None = None  # its last state

    def add(self, tracker: Any) -> None:
        """Add a tracker, or by its name one that is registered; if a run is going on, it is told of the start at once.

        One that is there already is told once of everything.

        Raises:
            ConfigurationError: if it is none.
            UnknownNameError: for a name that no tracker has.
            ImportError: if it needs a library that is not installed.
        """
        if isinstance(tracker, str):
            tracker = TRACKERS.get(tracker)()
        missing = [name for name in _TOLD if not callable(getattr(tracker, name, None))]
        if isinstance(tracker, type) or missing:
            why = "give an instance, not the class" if isinstance(tracker, type) else f"it has no {', '.join(missing)}"
            raise ConfigurationError(f"{tracker!r} is no tracker (rose.tracking.TrackerBase): {why}")
        methods = (*_TOLD, *_MAY_BE_TOLD)
        waits = [name for name in methods if inspect.iscoroutinefunction(getattr(tracker, name, None))]
        if waits:
            raise ConfigurationError(
                f"{', '.join(waits)} of {tracker!r} must be plain methods: nobody would await them"
            )
        with self._lock:
            if any(told.is_of(tracker) for told in self._trackers):
                return
            added = _Told(tracker)
            self._trackers.append(added)
            if self._manifest is not None:
                added.tell("on_start", self._manifest)

    def started(self, manifest: PipelineManifest) -> None:
        """Tell all that a run begins."""
        with self._lock:
            self._manifest, self._last = manifest, None
            for tracker in self._trackers:
                tracker.tell("on_start", manifest)

    def iteration(self, state: Any) -> None:
        """Tell all of a state after an iteration."""
        with self._lock:
            self._last = state
            for tracker in self._trackers:
                tracker.tell("on_iteration", _copied(state))

    def stopped(self, reason: str, ends: Sequence[tuple[str | int, Any | None, str]] = ()) -> None:
        """Tell all that the run has ended, if it had begun.

        Args:
            reason: why.
            ends: of each of several workflows its name, its last state, and why it ended.
        """
        with self._lock:
            begun, last, self._manifest, self._last = self._manifest, self._last, None, None
            for tracker in self._trackers if begun is not None else ():
                for learner_id, state, why in ends:
                    tracker.tell("on_workflow_stop", learner_id, _copied(state), why)
                tracker.tell("on_stop", _copied(last), str(reason))

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until all have taken in what they were told, so many seconds at most for all together; blocks."""
        end = time.monotonic() + patience
        for tracker in self._trackers:
            tracker.ends()
        for tracker in self._trackers:
            tracker.close(end, patience)


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
        self._ends = False  # whether it ends when it has told all

    def is_of(self, tracker: Any) -> bool:
        return self._tracker is tracker

    def tell(self, method: str, *arguments: Any) -> None:
        if self._off or not hasattr(self._tracker, method):
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._take_in, name="rose-tracker", daemon=True)
            self._thread.start()
        replayed = method == "on_iteration" and getattr(arguments[0], "replayed", False)
        if replayed and self._events.qsize() >= _BEHIND_REPLAYED:
            return
        try:
            self._events.put_nowait((method, arguments))
        except queue.Full:
            self._switch_off(f"is {_BEHIND} events late")

    def ends(self) -> None:
        """Let the thread end when it has told all."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._events.put_nowait(None)
                self._ends = True

    def close(self, end: float, patience: float) -> None:
        thread, ends, self._thread, self._ends = self._thread, self._ends, None, False
        if thread is None:
            return
        if not ends:
            with contextlib.suppress(queue.Full):
                self._events.put(None, timeout=max(0.0, end - time.monotonic()))
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive() and not self._off:
            self._switch_off(f"has not taken in all it was told, {patience:g} s after the end")

    def _take_in(self) -> None:
        idle_at: float | None = None  # None: nothing was told since
        gathers = _GATHERS
        while True:
            left = None if idle_at is None else idle_at - time.monotonic()
            try:
                if left is not None and left <= 0:
                    raise queue.Empty
                event = self._events.get(timeout=left)
            except queue.Empty:
                began = time.monotonic()
                self._call("on_idle")
                idle_at, gathers = None, min(max(_GATHERS, _SHARE * (time.monotonic() - began)), _AT_MOST)
                continue
            if event is None:
                return
            self._call(event[0], *event[1])
            idle_at = idle_at or time.monotonic() + gathers

    def _call(self, method: str, *arguments: Any) -> None:
        if self._off or not hasattr(self._tracker, method):
            return
        try:
            getattr(self._tracker, method)(*arguments)
        except BaseException as error:  # SystemExit and the like would end this thread alone, unheard
            self._switch_off(f"raised in {method}", error)

    def _switch_off(self, why: str, error: BaseException | None = None) -> None:
        self._off = True
        _log.warning("tracker %r %s: it is told nothing more, and the run goes on", self._tracker, why, exc_info=error)
