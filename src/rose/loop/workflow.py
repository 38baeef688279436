"""Drive a loop: one iteration after the other, each recorded, until something says stop."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rose.errors import ChangedRunError
from rose.loop._orders import Change, changed
from rose.loop.changes import settings_of
from rose.loop.identity import describe_config
from rose.loop.limits import Ending, Limits
from rose.loop.protocol import NO_HOOKS, Hooks, Loop, NothingLeft, Outcome, RunRequest, building
from rose.loop.saved.frames import Entry
from rose.loop.state import ENOUGH, IterationState, StopReason, WorkflowResult
from rose.stages.config import LearnerConfig
from rose.stages.reporting import Reports, reports
from rose.stages.stage import StopCriterion
from rose.store import EventLog, IterationDone, Run, decode


@dataclass
class Workflow:
    """Drive one loop: its name, its history, and its configuration, which may be replaced between two iterations."""

    name: str
    learner_id: str | int | None
    loop: Loop
    limits: Limits
    criterion: StopCriterion | None
    config: LearnerConfig
    hooks: Hooks = NO_HOOKS
    control: bool = False  # whether it is there for the others to be compared with
    settings: Mapping[str, Any] = field(default_factory=dict)  # as results and records tell them
    iteration: int = -1  # that is being played
    replayed: bool = False  # whether that one was recorded as complete by an earlier program
    ended: bool = False
    state: IterationState | None = None  # after the last one that has ended
    changes: list[Change] = field(default_factory=list)
    stop_reason: StopReason = StopReason.STOPPED
    error: BaseException | None = None
    metrics: dict[int, float] = field(default_factory=dict)
    uncertainties: dict[int, float] = field(default_factory=dict)
    iterations: list[dict[str, Any]] = field(default_factory=list)

    async def run(
        self,
        run: Run,
        events: EventLog,
        shared_state: Reports,
        publish: Callable[[IterationState], Awaitable[None]],
    ) -> StopReason:
        """Play rounds until one stops; every state is published before the next round begins.

        A round that is recorded as complete is not played: its outcome is.

        Args:
            run: where rounds are recorded.
            events: the run's event log.
            shared_state: what was registered outside any workflow; part of every state. Its listeners are told of all
                that comes to be in a state, in this thread; what they raise ends the workflow.
            publish: takes the state after each round, and returns when the next may begin.
        """
        started = time.monotonic()
        for iteration in itertools.count():
            reported = Reports(shared_state.listeners, threading.get_ident(), shared_state.through)
            reports.set(reported)
            self.iteration, self.replayed = iteration, False
            config = changed(self.config, self.changes, iteration) if self.changes else self.config
            ending = self._ending(iteration, started)
            recorded = await self._recorded(run, iteration, config, ending, reported)
            try:
                outcome = recorded or await self.loop.play(iteration, config, ending)
            except NothingLeft as end:
                return end.reason
            done = self._remember(iteration, outcome)
            if recorded is None:
                await self._record(run, done, config, outcome, reported)
            else:
                events.append(done)
            shared_state.tell()
            reported.tell()
            added = {key: value for key, value in outcome.state().items() if key not in {**shared_state, **reported}}
            for key, value in added.items():
                if value is not None:
                    reported.register(key, value)
            self.state = self._state(iteration, outcome, config, {**added, **shared_state, **reported})
            await publish(self.state)
            if outcome.stop is not None:
                return outcome.stop
        raise AssertionError("the loop has no end of its own")

    def _ending(self, iteration: int, started: float) -> Ending:
        """Return what to ask in an iteration; the limits are those of the moment when it is asked."""
        return lambda labels: self.limits.ending(iteration, started)(labels)

    def result(self) -> WorkflowResult:
        """Return history, end, and what was learned."""
        result = self.loop.result()
        result.settings = self.settings
        error = None if self.error is None else f"{type(self.error).__name__}: {self.error}"
        result.state = self.state
        result.update(stop_reason=str(self.stop_reason), error=error, iterations=[Entry(i) for i in self.iterations])
        return result

    async def _recorded(
        self, run: Run, iteration: int, config: LearnerConfig, ending: Ending, reported: Reports
    ) -> Outcome | None:
        """Return the outcome of a round that is recorded as complete, and holds; it fills `reported`."""
        row = await run.round(self.name, iteration)
        if row is None or row.record is None:
            return None
        record = decode(row.record)
        now = describe_config(config, iteration)
        if record["config"] != now:
            if not run.accepts_changes:
                raise ChangedRunError(
                    f"workflow {self.name!r} was configured otherwise in iteration {iteration}, which is recorded; "
                    "give it what it had, or accept_changes=True to keep what is recorded and go on with this one"
                )
            run.accept(["configuration"], self.name, iteration)
            if run.relabels and record["labelling"] != describe_config(config, iteration, labelling=True):
                await run.forget_rounds(self.name, iteration)
                return None
            run.revise(row, {**record, "config": now})
        self.replayed = True
        outcome = Outcome.from_record(record["outcome"]).under_limits(ending, run.changed)
        if outcome is None:
            await run.recall(self.name, iteration)
            return None
        await self.loop.restore(iteration, config, outcome, record["checkpoint"])
        if outcome.stop == StopReason.POOL_EXHAUSTED and (
            self.loop.goes_on() or await run.complete_round(self.name, iteration + 1) is not None
        ):
            outcome = replace(outcome, stop=ending(outcome.labels))
        for key, value in ({} if row.note is None else decode(row.note)).items():
            reported.register(key, value)
        return outcome

    async def _record(
        self, run: Run, done: IterationDone, config: LearnerConfig, outcome: Outcome, reported: Mapping[str, Any]
    ) -> None:
        iteration = done.iteration
        record = {
            "outcome": outcome.to_record(),
            "checkpoint": dict(self.loop.checkpoint()),
            "config": describe_config(config, iteration),
            "labelling": describe_config(config, iteration, labelling=True),
        }
        await run.round_done(done, record, dict(reported), self.loop.carries())

    def _remember(self, iteration: int, outcome: Outcome) -> IterationDone:
        if outcome.metric_value is not None:
            self.metrics[iteration] = outcome.metric_value
        if outcome.uncertainty is not None:
            self.uncertainties[iteration] = outcome.uncertainty
        entry = outcome.entry(iteration)
        self.iterations.append(entry)
        told = {key: value for key, value in entry.items() if key not in ("iteration", "metric")}
        name = self.criterion.metric_name if self.criterion else None
        return IterationDone(self.name, iteration, metric_name=name, metric_value=entry["metric"], **told)

    def _state(self, iteration: int, outcome: Outcome, config: LearnerConfig, state: dict[str, Any]) -> IterationState:
        made = IterationState(
            iteration=iteration,
            metric_name=self.criterion.metric_name if self.criterion else None,
            metric_value=outcome.metric_value,
            metric_threshold=self.criterion.threshold if self.criterion else None,
            metric_history=list(self.metrics.values()),
            should_stop=outcome.met or outcome.stop in ENOUGH,
            current_config=config,
            learner_id=self.learner_id,
            workflow=self.name,
            state=state,
            replayed=self.replayed,
        )
        if self.hooks.state is None:
            return made
        token = building.set(made)
        try:
            told = {"metric_value": made.metric_value, "should_stop": made.should_stop, "current_config": config}
            return self.hooks.state(iteration, **told)
        finally:
            building.reset(token)


def workflows_of(request: RunRequest, loops: Mapping[str, Loop]) -> list[Workflow]:
    """Return the workflows of a request, which drive these loops."""
    return [
        Workflow(
            name=name,
            learner_id=request.ids.get(name, name) if request.learner_ids or name in request.controls else None,
            hooks=request.hooks,
            loop=loops[name],
            limits=request.limits,
            criterion=request.stages[name].criterion,
            config=request.configs[name],
            control=name in request.controls,
            settings=settings_of(request, name),
        )
        for name in request.names
    ]
