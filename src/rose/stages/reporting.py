"""Report what a task tells of itself beside its result (`register_state`), from wherever it runs.

What is reported lands in the dict that the context holds: the workflow's own in the driver, the task's own in a worker,
from where it travels back beside the task's result. `TaskFunction` is what runs there: it watches the user's function,
and keeps what it prints.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import CodeType
from typing import Any, NamedTuple, NoReturn

from rose.engine.functions.coroutines import finished
from rose.engine.shipping.serialization import reduced_quickly
from rose.errors import ConfigurationError
from rose.stages.capture import capturing, capturing_awaited

Listener = Callable[[str, Any], None]

reports: ContextVar[dict[str, Any] | None] = ContextVar("rose_reports", default=None)


class Reports(dict[str, Any]):
    """Hold values by name in the driver, of which `listeners` are told one by one.

    Attributes:
        thread: the one in which they are told (its identifier); what other threads register, at the next occasion
            there. None: whichever registers.
        through: is called with each value in the place of `note`, which it may call: a learner's own `register_state`.
    """

    def __init__(
        self, listeners: Sequence[Listener] = (), thread: int | None = None, through: Listener | None = None
    ) -> None:
        super().__init__()
        self.listeners = listeners
        self.thread = thread
        self.through = through
        self._untold: deque[tuple[str, Any]] = deque()

    def register(self, key: str, value: Any) -> None:
        """Note a value, or have it noted by the learner; what a listener raises is raised."""
        (self.through or self.note)(key, value)

    def note(self, key: str, value: Any) -> None:
        """Note a value, and tell of it; what a listener raises is raised."""
        self[key] = value
        self._untold.append((key, value))
        self.tell()

    def tell(self) -> None:
        """Tell of what has not been told yet, if this is the thread for it."""
        while self._untold and self.thread in (None, threading.get_ident()):
            key, value = self._untold.popleft()
            for listener in tuple(self.listeners):
                try:
                    listener(key, value)
                except Exception as error:
                    error.add_note(f"raised by an on_state_update callback that was told of {key!r}")
                    raise


class Note(NamedTuple):
    """Hold what came beside a task's result.

    That is: what it registered; how long it ran, in seconds; of a model the label of each column of its probabilities,
    where it says them; of a command its working directory, relative to the run's; of a call in a program of the user's
    own which function was asked, and a digest of what with.
    """

    reported: Mapping[str, Any]
    seconds: float
    classes: list[Any] | None = None
    workdir: str | None = None
    asked: list[str] | None = None


class Observed(NamedTuple):
    """Hold a task's result, and what came beside it."""

    result: Any
    note: Note


def class_names(model: Any) -> list[Any] | None:
    """Return the label of each column of a model's probabilities, as scikit-learn's classifiers say them."""
    names = getattr(model, "classes_", None)
    if names is None or isinstance(names, (str, bytes)):
        return None
    from rose.arrays import as_array  # here: most tasks give no model, and NumPy is slow to import

    try:
        labels = as_array(names, "classes_")
    except ConfigurationError:  # several outputs, each with classes of its own
        return None
    return labels.tolist() if labels.ndim == 1 else None


def call_observed(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Observed:
    """Call a task's function in its worker, and watch it."""
    reported: dict[str, Any] = {}
    token = reports.set(reported)
    start = time.perf_counter()
    try:
        result = finished(func(*args, **kwargs))
    finally:
        reports.reset(token)
    return Observed(result, Note(reported, time.perf_counter() - start, class_names(result)))


async def await_observed(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Observed:
    """Call an async function in an asyncio task of its own, and watch it."""
    reported: dict[str, Any] = {}
    reports.set(reported)  # for this task alone: each has a context of its own
    start = time.perf_counter()
    result = await func(*args, **kwargs)
    return Observed(result, Note(reported, time.perf_counter() - start, class_names(result)))


def register(reported: Mapping[str, Any]) -> None:
    """Put what a task reported into the dict that this context holds; without one, nobody asked for it."""
    state = reports.get()
    if isinstance(state, Reports):
        for key, value in reported.items():
            state.register(key, value)
        state.tell()
    elif state is not None:
        state.update(reported)


class LearnerInTask:
    """Stand for a learner in a worker process: there is nothing to steer there, but state can be registered."""

    def register_state(self, key: str, value: Any) -> None:
        """Report a value; it arrives with the task's result."""
        reported = reports.get()
        if reported is None:
            raise RuntimeError(
                f"register_state({key!r}) was reached through another function than the task's own, and cannot be "
                "reported from a worker process; call it in the task function itself, or return a dict"
            )
        reported[key] = value

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"learner.{name} is not available inside a task: the task runs in another process, and only "
            "learner.register_state(key, value) reaches the learner from there"
        )


def mentions(func: Callable[..., Any], thing: object) -> bool:
    """Return whether a function's own code refers to `thing`, through its closure or its module's globals."""
    code, names = getattr(func, "__code__", None), getattr(func, "__globals__", {})
    if not isinstance(code, CodeType):
        return False
    cells = [cell.cell_contents for cell in (func.__closure__ or ()) if _is_set(cell)]
    return any(value is thing for value in cells) or any(names.get(name) is thing for name in _names(code))


def _names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _is_set(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


class TaskFunction:
    """Call a task's function as it is called itself; what it prints, and what it reports, is kept.

    Attributes:
        func: the task's own function.

    Args:
        observed: whether the result comes with what the task reported, as `Observed`.
        run: the run directory in which what it prints is kept, under the task's `key`; None: it is not kept.
    """

    __slots__ = ("_key", "_observed", "_run", "func")

    def __init__(self, func: Callable[..., Any], observed: bool, run: str | None, key: str) -> None:
        self.func = func
        self._observed = observed
        self._run = run
        self._key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return TaskFunction, (self.func, self._observed, self._run, self._key)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._run is None:
            return self._call(*args, **kwargs)
        with capturing(self._run, self._key):
            return self._call(*args, **kwargs)

    async def awaited(self, /, *args: Any, **kwargs: Any) -> Observed:
        """Call it, an async function, in the event loop that runs; the result is `Observed`."""
        with capturing_awaited(self._run, self._key):
            return await await_observed(self.func, *args, **kwargs)

    def _call(self, /, *args: Any, **kwargs: Any) -> Any:
        if not self._observed:
            return finished(self.func(*args, **kwargs))
        return call_observed(self.func, *args, **kwargs)


reduced_quickly.add(TaskFunction)
