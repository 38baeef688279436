"""The one loop: round after round until something says stop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rose.store import EventLog, IterationDone
from rose.workflow.config import LearnerConfig
from rose.workflow.reporting import reports
from rose.workflow.stages import StopCriterion
from rose.workflow.state import IterationState, StopReason, WorkflowResult
from rose.workflow.values import plain

# Tells whether the workflow has to end after this round, given how many labels it holds (None: not known).
Ending = Callable[[int | None], StopReason | None]


@dataclass(frozen=True)
class Limits:
    """Ends of a workflow other than its criterion. 0 and None: no such limit. `max_time` is in seconds; a round that
    has begun is finished, because its simulations are paid for."""

    max_iter: int = 0
    budget: int | None = None
    max_time: float | None = None

    def ending(self, iteration: int, started: float) -> Ending:
        """What to ask in round `iteration` of a workflow that began at `started` (monotonic clock)."""

        def reason(labels: int | None) -> StopReason | None:
            if self.max_iter and iteration + 1 >= self.max_iter:
                return StopReason.MAX_ITER
            if self.budget is not None and labels is not None and labels >= self.budget:
                return StopReason.BUDGET
            if self.max_time is not None and time.monotonic() - started >= self.max_time:
                return StopReason.MAX_TIME
            return None

        return reason


@dataclass(frozen=True)
class Outcome:
    """What one round came to. `selection` is what was chosen to be simulated next, in plain JSON; `quality` says how
    good the ensemble is on a pool's hold-out."""

    metric_value: float | None = None
    criterion_values: Mapping[str, float] | None = None
    uncertainty: float | None = None
    selection: Any = None
    labels: int | None = None
    quality: Mapping[str, float | None] | None = None
    stop: StopReason | None = None


class Rounds(Protocol):
    """What one round does: ROSE's dataflow, or a pool's own."""

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Learn from what was chosen before, judge, and choose; `ending` tells whether the workflow has to end."""
        ...

    def result(self) -> WorkflowResult:
        """What has been learned so far."""
        ...


@dataclass
class Workflow:
    """One loop with its name, its history, and its configuration, which may be replaced between two rounds."""

    name: str
    learner_id: str | None
    rounds: Rounds
    limits: Limits
    criterion: StopCriterion | None
    config: LearnerConfig
    stop_reason: StopReason = StopReason.STOPPED
    error: BaseException | None = None
    metrics: dict[int, float] = field(default_factory=dict)
    uncertainties: dict[int, float] = field(default_factory=dict)
    iterations: list[dict[str, Any]] = field(default_factory=list)

    async def run(
        self,
        events: EventLog,
        shared_state: Mapping[str, Any],
        publish: Callable[[IterationState], Awaitable[None]],
    ) -> StopReason:
        """Play rounds until one stops; every state is published before the next round begins.

        Args:
            events: the run's event log.
            shared_state: what was registered outside any workflow; part of every state.
            publish: takes the state after each round, and returns when the next may begin.
        """
        started = time.monotonic()
        for iteration in itertools.count():
            reported: dict[str, Any] = {}
            reports.set(reported)
            config = self.config
            outcome = await self.rounds.play(iteration, config, self.limits.ending(iteration, started))
            self._record(iteration, outcome, events)
            await publish(self._state(iteration, outcome, config, {**shared_state, **reported}))
            if outcome.stop is not None:
                return outcome.stop
        raise AssertionError("the loop has no end of its own")

    def result(self) -> WorkflowResult:
        """History, end, and what was learned."""
        result = self.rounds.result()
        error = None if self.error is None else f"{type(self.error).__name__}: {self.error}"
        result.update(stop_reason=str(self.stop_reason), error=error, iterations=[dict(i) for i in self.iterations])
        return result

    def _record(self, iteration: int, outcome: Outcome, events: EventLog) -> None:
        if outcome.metric_value is not None:
            self.metrics[iteration] = outcome.metric_value
        if outcome.uncertainty is not None:
            self.uncertainties[iteration] = outcome.uncertainty
        self.iterations.append(
            {
                "iteration": iteration,
                "labels": outcome.labels,
                "metric": plain(outcome.metric_value),
                "criterion_values": plain(outcome.criterion_values),
                "uncertainty": plain(outcome.uncertainty),
                "selection": outcome.selection,
                **({} if outcome.quality is None else {"holdout": plain(outcome.quality)}),
            }
        )
        name = self.criterion.metric_name if self.criterion else None
        events.append(
            IterationDone(self.name, iteration, outcome.labels, name, outcome.metric_value, outcome.uncertainty)
        )

    def _state(
        self, iteration: int, outcome: Outcome, config: LearnerConfig, reported: dict[str, Any]
    ) -> IterationState:
        values = None if outcome.criterion_values is None else list(outcome.criterion_values.values())
        return IterationState(
            iteration=iteration,
            metric_name=self.criterion.metric_name if self.criterion else None,
            metric_value=outcome.metric_value,
            metric_threshold=self.criterion.threshold if self.criterion else None,
            metric_history=list(self.metrics.values()),
            should_stop=outcome.stop in (StopReason.CRITERION_MET, StopReason.CERTAIN_ENOUGH),
            current_config=config,
            learner_id=self.learner_id,
            state={
                **reported,
                "uq_value": outcome.uncertainty,
                "criterion_values": values,
                "labels": outcome.labels,
                "selection": outcome.selection,
                **({} if outcome.quality is None else {"holdout": dict(outcome.quality)}),
            },
        )
