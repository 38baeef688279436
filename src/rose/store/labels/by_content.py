"""Labels by content: whoever asks for a sample that was asked for before gets the same execution, in flight too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rose.store.labels.values import not_finite
from rose.store.results import Result, given


class Dropped:
    """Stands in a label's place: the simulation failed, its policy is to go on without, and it is tried again only if
    somebody asks for that (`rose.retry`)."""


# Simulates the candidates at these positions of the request: one label each, in order.
Simulate = Callable[[Sequence[int]], Awaitable[Sequence[Any]]]


@dataclass
class _Execution:
    """One execution, for one or more samples (a batch), and how many requests wait for it."""

    keys: Sequence[bytes]
    task: asyncio.Task[Sequence[Any]]
    waiters: int = 0
    paid: bool = False  # it has ended, and is being recorded

    def label(self, key: bytes) -> Any:
        """Return the label of one of its samples, once it is done."""
        return self.task.result()[self.keys.index(key)]


class LabelStore:
    """Simulates each distinct sample at most once.

    An execution belongs to the store, not to who asked first: it goes on while anyone waits for it, and is cancelled
    when no one does. One that failed stays failed: every later request for the sample gets the same error, because
    trying an expensive simulation again is the user's decision.

    Args:
        recorded: the labels that are known already (`Dropped` among them), by content key.
    """

    def __init__(self, recorded: Mapping[bytes, Result] | None = None) -> None:
        self._recorded = dict(recorded or {})
        self._executions: dict[bytes, _Execution] = {}
        self._running: set[asyncio.Task[Sequence[Any]]] = set()

    async def get(self, keys: Sequence[bytes], simulate: Simulate, batch: int = 1) -> list[Any]:
        """Return the labels of the samples with these content keys, simulating those that no one has asked for.

        Args:
            keys: what identifies each sample; equal keys share one execution.
            simulate: runs the simulation of the samples at some positions of `keys`.
            batch: how many samples one execution takes at most.

        Raises:
            Exception: the first that an execution raised; what else this request asked for is let go.
        """
        first = {key: position for position, key in reversed(list(enumerate(keys)))}
        new = sorted(p for key, p in first.items() if key not in self._executions and key not in self._recorded)
        for start in range(0, len(new), batch):
            self._start(keys, new[start : start + batch], simulate)
        wanted = {key: self._executions[key] for key in keys if key in self._executions}
        await self._wait(list({id(execution): execution for execution in wanted.values()}.values()))
        return [wanted[key].label(key) if key in wanted else await self._recorded[key].get() for key in keys]

    def offer(self, labels: Mapping[bytes, Any]) -> dict[bytes, Any]:
        """Take labels that are known from elsewhere; returns those that are new here, or of what was dropped."""
        new = {k: v for k, v in labels.items() if k not in self._executions and not self._has_label(k)}
        self._recorded.update({key: given(label) for key, label in new.items()})
        return new

    async def forget_unfit(self, keys: Iterable[bytes]) -> dict[bytes, str]:
        """Forget those recorded labels that hold what is not finite, as an older version took them; returns what."""
        unfit = {}
        for key in keys:
            recorded = self._recorded.get(key)
            found = None if recorded is None else not_finite(await recorded.get())
            if found is not None and self._recorded.pop(key, None) is not None:
                unfit[key] = found
        return unfit

    def __contains__(self, key: bytes) -> bool:
        """Return whether its label is known, or that it was dropped."""
        execution = self._executions.get(key)
        if execution is None:
            return key in self._recorded
        return execution.task.done() and not execution.task.cancelled() and execution.task.exception() is None

    def is_dropped(self, key: bytes) -> bool:
        """Return whether its simulation has failed, and there is no label to come."""
        execution = self._executions.get(key)
        if execution is None:
            return key in self._recorded and not self._has_label(key)
        return key in self and isinstance(execution.label(key), Dropped)

    def _has_label(self, key: bytes) -> bool:
        recorded = self._recorded.get(key)
        return recorded is not None and not (recorded.at_hand and isinstance(recorded.load(), Dropped))

    async def record(self, key: bytes, recording: Awaitable[None]) -> None:
        """Called by an execution that has its labels: from here on it is not cancelled, though no one may wait for it
        any more, because it is paid for. Returns when they are recorded."""
        self._executions[key].paid = True
        await recording

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

    def _start(self, keys: Sequence[bytes], positions: Sequence[int], simulate: Simulate) -> None:
        task = asyncio.ensure_future(_run(simulate, positions))
        execution = _Execution([keys[position] for position in positions], task)
        self._executions.update(dict.fromkeys(execution.keys, execution))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Sequence[Any]]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: those who wait report it

    async def _wait(self, executions: Sequence[_Execution]) -> None:
        for execution in executions:
            execution.waiters += 1
        try:
            pending = {execution.task for execution in executions}
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
        finally:
            for execution in executions:
                execution.waiters -= 1
                if not execution.waiters and not execution.task.done() and not execution.paid:
                    self._abandon(execution)

    def _abandon(self, execution: _Execution) -> None:
        # Forgotten at once, so that whoever asks next starts it anew instead of waiting for a dying task.
        for key in execution.keys:
            del self._executions[key]
        execution.task.cancel()


async def _run(simulate: Simulate, positions: Sequence[int]) -> Sequence[Any]:
    labels = await simulate(positions)
    if len(labels) != len(positions):
        raise ValueError(f"simulate gave {len(labels)} labels for {len(positions)} samples")
    return labels
