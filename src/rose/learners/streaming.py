"""Run active learning over a stream: data that come by themselves, instead of a simulation's."""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from rose.dataflow.streaming import Stream, StreamingPlan
from rose.errors import ConfigurationError
from rose.learners.active import ActiveLearner
from rose.loop import checks
from rose.loop.changes import AcceptChanges
from rose.loop.protocol import Plan
from rose.loop.session import Session
from rose.loop.state import IterationState, Results, StateResult
from rose.stages.config import LearnerConfig

ModelReady = Callable[[IterationState], Awaitable[None] | None]


class StreamingActiveLearner(ActiveLearner[StateResult]):
    """Train on windows of what is fed or comes from sources: each is an iteration, and so a state.

    By position: `train(window, chosen)`, without what was chosen in the first one, and `choose(trained)`; the criterion
    gets nothing. A criterion that is met ends nothing: `state.should_stop` says so, and `on_model_ready` is called. It
    ends by `stop()`, by leaving the iteration, or when all sources have ended and their items are used
    ("stream_exhausted"); one that has no sources is to be stopped. What a source raises ends it as a failed task does,
    after what came before.

    Who feeds, and sources, wait while a window of items waits to be used; with `conflate` nobody waits.

    With a `run_dir` each window is recorded before it is used: a program that is started again is given the states of
    its windows, goes on within the one that was begun, and then takes what comes. What was fed and had no window yet is
    lost with the program, and a source that begins anew gives all its items again: let it begin where the sum of
    `state.window_size` says.

    Calling a decorated function submits it, as with `SequentialActiveLearner`.

    Args:
        asyncflow: what executes tasks: a WorkflowEngine, or what `rose.learners.base.Learner` takes as `engine`.
        batch_size: how many items a window has.
        max_wait: seconds after the first item of a window, after which it has to do with fewer; None: it is full.
        conflate: whether the newest items make the window, and older ones that nobody had time for are let go.
        sources: an async iterator, or several in a list.
        run_dir, resume, accept_changes, keep_models: as `rose.learners.base.Learner` says.

    Raises:
        ConfigurationError: if one of them cannot be.

    Example:
        learner = StreamingActiveLearner(engine, batch_size=100, max_wait=5, sources=detector.frames())
        async for state in learner.start():
            print(state.window_size, state.metric_value)
    """

    submits = True

    def __init__(
        self,
        asyncflow: Any = None,
        batch_size: int = 1,
        max_wait: float | None = None,
        conflate: bool = False,
        sources: AsyncIterable[Any] | Sequence[AsyncIterable[Any]] | None = None,
        *,
        run_dir: str | Path | None = None,
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
    ) -> None:
        told: dict[str, Any] = {"run_dir": run_dir, "resume": resume, "accept_changes": accept_changes}
        super().__init__(asyncflow, keep_models=keep_models, **told)
        if max_wait is not None and not (isinstance(max_wait, (int, float)) and 0 <= max_wait < math.inf):
            raise ConfigurationError(f"max_wait={max_wait!r} must be seconds, or None for full windows")
        self._stream = Stream(checks.check_count(batch_size, "batch_size", 1), max_wait, bool(conflate))
        self._model_ready: list[ModelReady] = []
        self._next: LearnerConfig | None = None  # of the first window, where it was set before
        given: Any = () if sources is None else sources if isinstance(sources, (list, tuple)) else [sources]
        for source in given:
            self.attach_source(source)

    async def feed(self, item: Any) -> None:
        """Add an item to the stream; while a run takes them, this waits for room.

        After the end of a run, and before the next, it is let go, which is said once in the log.
        """
        await self._stream.feed(item)

    def attach_source(self, source: AsyncIterable[Any]) -> None:
        """Take items from an async iterator while a run takes them; at its end it is closed.

        Raises:
            ConfigurationError: if it is none.
        """
        self._stream.attach(source)

    def on_model_ready(self, callback: ModelReady) -> None:
        """Call `callback(state)`, plain or async, after each window whose criterion is met.

        The next window waits for it; what it raises ends the run, as a failed task does. A program that is started
        again is told of recorded windows, too.
        """
        if not callable(callback):
            raise ConfigurationError(f"on_model_ready takes a function of the state, got {callback!r}")
        self._model_ready.append(callback)

    def set_next_config(self, config: LearnerConfig, learner_name: str | int | None = None) -> None:
        """Use another configuration from the next window on, or before there is a run for the first one.

        Raises:
            ConfigurationError: if it is none.
        """
        if not self._workflows or self._workflows[0].ended:
            self._next = self._config(config, "set_next_config")
        super().set_next_config(config, learner_name)

    def plan(self, initial_config: LearnerConfig | None = None) -> Plan:
        """Check all that is asked for, before anything runs, and return the workflow to be opened.

        Args:
            initial_config: configuration of the stages, until `set_next_config`.

        Raises:
            ConfigurationError and its kinds: at once.
        """
        config = self._config(initial_config, "initial_config") if self._next is None else self._next
        plan = StreamingPlan(self._request({self.learner_name: config}, 0, None, False), self._stream)
        self._next = None
        self._stream.renew()
        return plan

    def _session(self, plan: Plan, *, close_engine: bool = False, progress: bool = False) -> Session:
        session = super()._session(plan, close_engine=close_engine, progress=progress)
        session.on_leave = self._stream.end
        return session

    def _told(self, state: IterationState) -> Awaitable[None] | None:
        super()._told(state)
        return self._tell_of_model(state) if state.should_stop and self._model_ready else None

    async def _tell_of_model(self, state: IterationState) -> None:
        for callback in tuple(self._model_ready):
            told = callback(state)
            if inspect.isawaitable(told):
                await told

    def _learned(self, results: Results) -> StateResult:
        result = results[self.learner_name]
        assert isinstance(result, StateResult)
        return result
