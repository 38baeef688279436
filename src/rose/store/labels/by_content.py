"""Find labels by content: whoever asks for a sample that was asked for before gets the same execution."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rose.store.labels.values import same_label
from rose.store.results import Result, given


class Dropped:
    """Stand in a label's place: the simulation failed, and its policy is to go on without.

    It is tried again only if somebody asks for that (`rose.retry`).
    """


# Simulates the candidates at these positions of the request: one label each, in order.
Simulate = Callable[[Sequence[int]], Awaitable[Sequence[Any]]]


@dataclass(eq=False)
class _Execution:
    """Hold one execution, for one or more samples (a batch), and how many have asked for it and not let go."""

    keys: Sequence[bytes]
    task: asyncio.Task[Sequence[Any]]
    askers: int = 0
    paid: bool = False  # it has ended, and is being recorded
    given: list[Any] | None = None  # the labels that somebody gave in its place
    recording: asyncio.Future[None] | None = None  # of these

    def label(self, key: bytes) -> Any:
        """Return the label of one of its samples, once it is done."""
        return self.task.result()[self.keys.index(key)]


class Asked:
    """Hold a sample that somebody has asked a `LabelStore` for.

    Attributes:
        task: the execution that labels it; None: the label was there.
    """

    def __init__(self, store: LabelStore, key: bytes, execution: _Execution | None) -> None:
        self._store = store
        self._key = key
        self._execution = execution
        if execution is not None:
            execution.askers += 1

    @property
    def task(self) -> asyncio.Task[Sequence[Any]] | None:
        """Return the execution that labels it; None: the label was there when it was asked for."""
        return None if self._execution is None else self._execution.task

    async def label(self) -> Any:
        """Wait for the label; a failed execution raises its error.

        Waiting may be cancelled: the execution goes on.
        """
        if self._execution is None:
            return await self._store.known(self._key)
        await asyncio.wait([self._execution.task])
        return self._execution.label(self._key)

    def let_go(self) -> None:
        """Do without it: its execution is cancelled if no one else has asked for it and it is not paid for."""
        execution, self._execution = self._execution, None
        if execution is not None:
            execution.askers -= 1
            self._store.abandon(execution)


class LabelStore:
    """Simulate each distinct sample at most once.

    An execution belongs to the store, not to who asked first: it goes on until it ends, or until all who asked for it
    have let go. One that failed stays failed: every later request for the sample gets the same error, because
    trying an expensive simulation again is the user's decision.

    Args:
        recorded: the labels that are known already (`Dropped` among them), by content key.
    """

    def __init__(self, recorded: Mapping[bytes, Result] | None = None) -> None:
        self._recorded = dict(recorded or {})
        self._executions: dict[bytes, _Execution] = {}
        self._running: set[asyncio.Task[Sequence[Any]]] = set()

    def ask(self, keys: Sequence[bytes], simulate: Simulate, batch: int = 1) -> list[Asked]:
        """Ask for the samples with these content keys; those that no one has asked for begin to be simulated.

        Args:
            keys: what identifies each sample; equal keys share one execution.
            simulate: runs the simulation of the samples at some positions of `keys`.
            batch: how many samples one execution takes at most.
        """
        first = {key: position for position, key in reversed(list(enumerate(keys)))}
        new = sorted(p for key, p in first.items() if key not in self._executions and key not in self._recorded)
        for start in range(0, len(new), batch):
            self._start(keys, new[start : start + batch], simulate)
        return [Asked(self, key, self._executions.get(key)) for key in keys]

    def offer(self, labels: Mapping[bytes, Any]) -> dict[bytes, Any]:
        """Take labels that are known from elsewhere; return those that are new here, or of what was dropped."""
        new = {k: v for k, v in labels.items() if k not in self._executions and not self._has_label(k)}
        self._recorded.update({key: given(label) for key, label in new.items()})
        return new

    def __contains__(self, key: bytes) -> bool:
        """Tell whether the label of a sample is known, or it was dropped."""
        execution = self._executions.get(key)
        if execution is None:
            return key in self._recorded
        return execution.task.done() and not execution.task.cancelled() and execution.task.exception() is None

    def is_dropped(self, key: bytes) -> bool:
        """Tell whether its simulation has failed, and there is no label to come."""
        execution = self._executions.get(key)
        if execution is None:
            return key in self._recorded and not self._has_label(key)
        return key in self and isinstance(execution.label(key), Dropped)

    def _has_label(self, key: bytes) -> bool:
        recorded = self._recorded.get(key)
        return recorded is not None and not (recorded.at_hand and isinstance(recorded.load(), Dropped))

    async def record(self, key: bytes, recording: Awaitable[None]) -> None:
        """Record the labels of an execution, which calls this; return when they are recorded.

        It is paid for, and from here on not cancelled, though all may have let go.
        """
        self._executions[key].paid = True
        await recording

    async def give(self, key: bytes, label: Any, record: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Take the label of a sample that is being simulated from elsewhere, and end its simulation.

        Returns:
            Whether it is taken, and recorded by `record`; it is not if the sample is not being simulated, or together
            with others (a batch), or has been given another.
        """
        execution = self._executions.get(key)
        if execution is None or execution.task.done() or len(execution.keys) > 1:
            return False
        if execution.given is not None and execution.recording is not None:
            await asyncio.wait([execution.recording])
            return same_label(execution.given[0], label)
        if execution.paid:
            return False
        # Cancelled at once: a label of the simulation's own, recorded meanwhile, would be in the place of this one.
        execution.given, execution.paid = [label], True
        execution.recording = asyncio.ensure_future(record())
        execution.task.cancel()
        await asyncio.shield(execution.recording)
        return True

    async def known(self, key: bytes) -> Any:
        """Return a label that is recorded.

        Raises:
            KeyError: if it is not.
        """
        execution = self._executions.get(key)
        return await self._recorded[key].get() if execution is None else execution.label(key)

    async def close(self) -> None:
        """Cancel what still runs, and wait for its end, and for that of what is being recorded."""
        for execution in self._executions.values():
            if not execution.paid:
                execution.task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def abandon(self, execution: _Execution) -> None:
        """Cancel an execution that all have let go of, unless it has ended or is paid for."""
        if execution.askers or execution.task.done() or execution.paid:
            return
        # Forgotten at once, so that whoever asks next starts it anew instead of waiting for a dying task.
        for key in execution.keys:
            del self._executions[key]
        execution.task.cancel()

    def _start(self, keys: Sequence[bytes], positions: Sequence[int], simulate: Simulate) -> None:
        task = asyncio.ensure_future(self._run(simulate, positions, own := [keys[place] for place in positions]))
        execution = _Execution(own, task)
        self._executions.update(dict.fromkeys(execution.keys, execution))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Sequence[Any]]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: those who wait report it

    async def _run(self, simulate: Simulate, positions: Sequence[int], keys: Sequence[bytes]) -> Sequence[Any]:
        try:
            labels = await simulate(positions)
        except asyncio.CancelledError:
            execution, own = self._executions.get(keys[0]), asyncio.current_task()
            if execution is None or execution.task is not own or execution.given is None:
                raise
            own.uncancel()
            assert execution.recording is not None
            await execution.recording
            return execution.given
        if len(labels) != len(positions):
            raise ValueError(f"simulate gave {len(labels)} labels for {len(positions)} samples")
        return labels
