"""Run all workflows of a run side by side, and own their asyncio tasks from the first round to the last clean-up."""

from __future__ import annotations

import asyncio
import logging
import os
import textwrap
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rose.errors import NotANumberError, PlaceError, RunFailedError, RunLockedError, remedy
from rose.loop._orders import obey, recorded_changes
from rose.loop._signals import ending_on_signals
from rose.loop.saved.watched import paired
from rose.loop.state import IterationState, Results, StopReason
from rose.loop.workflow import Workflow
from rose.stages.reporting import Reports
from rose.store import EventLog, PlacedOrder, Run, WorkflowStopped

_log = logging.getLogger("rose")

Publish = Callable[[IterationState], Awaitable[None]]


@dataclass
class _Handover:
    """Hand a state over to the caller; its workflow goes on when the caller asks for the next one."""

    state: IterationState
    taken: asyncio.Future[None]


class Session:
    """Run the workflows of one `teach`, `start` or `run`, from its beginning to its end.

    Args:
        open_workflows: makes the workflows, with distinct names, and opens their run; what has to be closed after them
            (engine, label store, run) it puts on the stack.
        events: the run's event log.
        shared_state: what was registered outside any workflow, with who is told of all state.
        told: is told of each state before the caller is, who waits for what it gives, if anything.
        one_is_enough: whether the run goes well if one workflow does; what a place did to one is a failure even then.
        earlier: the learner's sessions that are not over: one whose iteration was left is waited for; beside one that
            runs by itself, there is none.
    """

    on_leave: Callable[[], None] | None = None  # called at once when the iteration is left

    def __init__(
        self,
        open_workflows: Callable[[AsyncExitStack], Awaitable[tuple[list[Workflow], Run]]],
        events: EventLog,
        shared_state: Reports,
        told: Callable[[IterationState], Awaitable[None] | None] = lambda state: None,
        one_is_enough: bool = False,
        earlier: Sequence[Session] = (),
    ) -> None:
        self._open = open_workflows
        self._events = events
        self._shared_state = shared_state
        self._told = told
        self._one_is_enough = one_is_enough
        self._earlier = earlier
        self._left = False
        self._by_itself = False  # as opposed to one that may be left in the middle of its iteration
        self._workflows: list[Workflow] = []
        self._work: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._ended: set[str] = set()  # the workflows that were ordered to stop
        self._run_dir: Path | None = None
        self.stopped = False

    @property
    def over(self) -> bool:
        """Return whether the session has run and ended."""
        return self._end is not None and self._end.is_set()

    def stop(self) -> None:
        """End all workflows now; what runs for them is cancelled. Their results say `stopped`. From any thread."""
        if self._loop is None or self.over:
            return
        self.stopped = True
        self._loop.call_soon_threadsafe(self._cancel_work)

    def leave(self) -> None:
        """Take note that nobody asks for states any more: asyncio closes `states` a moment later, after a `break`."""
        if self._end is not None and not self.over and not self._left:
            self._left = True
            if self.on_leave is not None:
                self.on_leave()

    async def ended(self) -> None:
        """Wait until the session is over; one that never began is over."""
        if self._end is not None:
            await self._end.wait()

    async def run(self) -> Results:
        """Run all workflows to their ends.

        Raises:
            RunFailedError: after all have ended, if one failed.
            RunLockedError: if the learner has another run that goes on.
        """
        self._by_itself = True
        await self._supervise(_no_one_waits)
        return self._finish()

    def results(self) -> Results:
        """Return what all workflows have learned so far."""
        results = Results({workflow.name: workflow.result() for workflow in self._workflows})
        results.run_dir = self._run_dir
        for result in results.values():
            result.run_dir = self._run_dir
        return paired(results)

    async def states(self) -> AsyncGenerator[IterationState, None]:
        """Run all workflows, giving each state as it comes; a workflow goes on when its state has been dealt with.

        Leaving the iteration early (`break`, an exception) ends all workflows.

        Raises:
            RunFailedError: after all have ended, if one failed.
        """
        queue: asyncio.Queue[_Handover | None] = asyncio.Queue()

        async def publish(state: IterationState) -> None:
            handover = _Handover(state, asyncio.get_running_loop().create_future())
            queue.put_nowait(handover)
            await handover.taken

        async def supervise() -> None:
            try:
                await self._supervise(publish)
            finally:
                queue.put_nowait(None)

        supervisor = asyncio.create_task(supervise())
        try:
            while (handover := await queue.get()) is not None:
                yield handover.state
                if not handover.taken.done():
                    handover.taken.set_result(None)
            await supervisor  # raises what went wrong outside the workflows
        finally:
            supervisor.cancel()
            await asyncio.wait([supervisor])
        self._finish()

    async def _supervise(self, publish: Publish) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        try:
            for earlier in self._earlier:
                if earlier._by_itself and earlier._end is not None and not earlier.over:
                    raise RunLockedError(
                        "this learner has a run that goes on: await its end before the next, or make another learner"
                    )
                if earlier._left and earlier._loop is self._loop:
                    await earlier.ended()
            self._earlier = ()
            self._shared_state.thread = threading.get_ident()
            with ending_on_signals() as ending:
                async with AsyncExitStack() as stack:
                    self._workflows, run = await self._open(stack)
                    self._run_dir = None if run.temporary else run.path
                    try:
                        await self._run_all(run, publish)
                        run.outcome = "failed" if self._errors() else "finished"
                    finally:
                        if self.stopped:
                            run.outcome = "stopped"
                        if ending.came:
                            run.outcome = "preempted"
        finally:
            self._shared_state.thread = None
            self._end.set()

    async def _obey(self, run: Run) -> None:
        """Obey orders as they come, until the workflows have ended."""
        placed: asyncio.Queue[PlacedOrder] = asyncio.Queue()
        run.on_orders(placed.put_nowait)
        while True:
            await obey(await placed.get(), run, self._workflows, self._stop_by_order)

    def _stop_by_order(self, name: str | None) -> None:
        if name is None:
            self.stop()
            return
        if name in self._ended:
            return
        self._ended.add(name)
        for workflow, work in zip(self._workflows, self._work, strict=True):
            if workflow.name == name:
                work.cancel()

    async def _run_all(self, run: Run, publish: Publish) -> None:
        for workflow in self._workflows:  # before any order, which adds to them
            workflow.changes = await recorded_changes(run, workflow.name)
        self._work = [asyncio.create_task(self._run(workflow, run, publish)) for workflow in self._workflows]
        obeying = asyncio.create_task(self._obey(run))
        run.journal.on_failure(self._cancel_work)  # nothing that is done now could be kept
        if self.stopped:
            self._cancel_work()
        try:
            done, _ = await asyncio.wait(self._work, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            obeying.cancel()
            self._cancel_work()  # once: a second cancellation would not let tasks wait for the end of what they started
            await asyncio.wait([*self._work, obeying])
        if not obeying.cancelled():
            obeying.result()
        for work, workflow in zip(self._work, self._workflows, strict=True):
            # From Python 3.13 on, one that failed while it was cancelled may count as cancelled: its error tells.
            # One that is stopped before it has begun is cancelled, and has none.
            stopped = self.stopped or workflow.name in self._ended
            if work in done and workflow.error is None and not (stopped and work.cancelled()):
                work.result()

    def _cancel_work(self) -> None:
        for task in self._work:
            task.cancel()

    async def _run(self, workflow: Workflow, run: Run, publish: Publish) -> None:
        """Drive one workflow to its end; its error ends it alone."""

        async def tell(state: IterationState) -> None:
            heard = self._told(state)
            if heard is not None:
                await heard
            if not workflow.control:  # nobody has asked for it by name
                await publish(state)

        try:
            workflow.stop_reason = await workflow.run(run, self._events, self._shared_state, tell)
        except asyncio.CancelledError:
            if run.journal.failure is not None:
                workflow.stop_reason, workflow.error = StopReason.ERROR, run.journal.failure
            elif not self.stopped and workflow.name not in self._ended:
                raise
        except Exception as error:
            not_a_number = isinstance(error, NotANumberError)
            workflow.stop_reason = StopReason.NOT_A_NUMBER if not_a_number else StopReason.ERROR
            workflow.error = error
        finally:
            workflow.ended = True
            workflow.loop.end()
            error_text = None if workflow.error is None else str(workflow.error)
            run.emit(WorkflowStopped(workflow.name, str(workflow.stop_reason), error_text))

    def _errors(self) -> dict[str, BaseException]:
        """Return the errors that make the run one that failed, by workflow."""
        errors = {w.name: w.error for w in self._workflows if w.error is not None}
        if self._one_is_enough and len(errors) < len(self._workflows):
            return {name: error for name, error in errors.items() if isinstance(error, PlaceError)}
        return errors

    def _finish(self) -> Results:
        results = self.results()
        if errors := self._errors():
            first = next(iter(errors.values()))
            what = "".join(f"\n{name}: {textwrap.indent(str(error), '  ').lstrip()}" for name, error in errors.items())
            what += "".join("\n" + text for text in dict.fromkeys(filter(None, map(remedy, errors.values()))))
            raise RunFailedError(
                f"{len(errors)} of {len(self._workflows)} workflows failed; what all of them learned is in this "
                f"error's `results`{what}",
                errors,
                results,
            ) from first
        return results


async def _no_one_waits(state: IterationState) -> None:
    """Go on at once: nobody looks at the states one by one."""


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
