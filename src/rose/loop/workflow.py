"""The one loop: round after round until something says stop."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from rose.errors import ChangedRunError
from rose.loop.identity import describe_config
from rose.loop.state import IterationState, StopReason, WorkflowResult
from rose.stages.config import LearnerConfig
from rose.stages.parsing import plain
from rose.stages.reporting import Reports, reports
from rose.stages.stage import StopCriterion
from rose.store import EventLog, IterationDone, Run, decode

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
    good the ensemble is on a pool's hold-out; `dropped` candidates could not be simulated, and `failed_members` not
    trained, and their policy was to go on without."""

    metric_value: float | None = None
    criterion_values: Mapping[str, float] | None = None
    uncertainty: float | None = None
    selection: Any = None
    labels: int | None = None
    quality: Mapping[str, float | None] | None = None
    dropped: Sequence[int] = ()
    failed_members: Sequence[str] = ()
    stop: StopReason | None = None

    def state(self) -> dict[str, Any]:
        """Return what it adds to the state of its iteration; what tasks call so is theirs, and stays."""
        values = None if self.criterion_values is None else list(self.criterion_values.values())
        state = {"uq_value": self.uncertainty, "criterion_values": values, "selection": self.selection}
        if self.labels is not None:  # in ROSE's dataflow they are the user's files
            state["labels"] = self.labels
        if self.quality is not None:
            state["holdout"] = dict(self.quality)
        return state

    def to_record(self) -> dict[str, Any]:
        """In plain values, as a run directory keeps it."""
        values = {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return values | {"metric_value": self.metric_value, "uncertainty": self.uncertainty}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """What `to_record` wrote."""
        stop = record["stop"]
        return cls(**{**record, "stop": None if stop is None else StopReason(stop)})

    def again(self, ending: Ending, changed: bool) -> Outcome | None:
        """This outcome of a recorded round under the limits of now; None: the round has to be judged anew."""
        reason = ending(self.labels)
        if self.stop is None:
            return self if reason is None else replace(self, selection=[], stop=reason)
        if self.stop in (StopReason.MAX_ITER, StopReason.BUDGET, StopReason.MAX_TIME):
            return None if reason is None else replace(self, stop=reason)
        # How many simulations may fail is a policy, which may be another one now.
        return None if changed or self.stop == StopReason.SIMULATIONS_FAILED else self


class Rounds(Protocol):
    """What one round does: ROSE's dataflow, or a pool's own."""

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Learn from what was chosen before, judge, and choose; `ending` tells whether the workflow has to end."""
        ...

    def memento(self) -> Mapping[str, Any]:
        """What the last round leaves behind, beside its outcome, that the next one needs; in plain values."""
        ...

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, memento: Mapping[str, Any]
    ) -> None:
        """Be as after that round, which is recorded."""
        ...

    def carries(self, iteration: int) -> Collection[str]:
        """The keys of the tasks whose results are needed after a round that is complete now."""
        ...

    def goes_on(self) -> bool:
        """Whether there are candidates since the last round, though it found none left."""
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
            reported = Reports(shared_state.listeners, threading.get_ident())
            reports.set(reported)
            config = self.config
            ending = self.limits.ending(iteration, started)
            recorded = await self._recorded(run, iteration, config, ending, reported)
            outcome = recorded or await self.rounds.play(iteration, config, ending)
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
            await publish(self._state(iteration, outcome, config, {**added, **shared_state, **reported}))
            if outcome.stop is not None:
                return outcome.stop
        raise AssertionError("the loop has no end of its own")

    def result(self) -> WorkflowResult:
        """History, end, and what was learned."""
        result = self.rounds.result()
        error = None if self.error is None else f"{type(self.error).__name__}: {self.error}"
        result.update(stop_reason=str(self.stop_reason), error=error, iterations=[dict(i) for i in self.iterations])
        return result

    async def _recorded(
        self, run: Run, iteration: int, config: LearnerConfig, ending: Ending, reported: Reports
    ) -> Outcome | None:
        """The outcome of a round that is recorded as complete, and holds; what it reported goes to `reported`."""
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
            simulation = describe_config(config, iteration, "simulation")
            if run.relabels and record.get("simulation", simulation) != simulation:
                await run.forget_rounds(self.name, iteration)
                return None
            run.revise(row, {**record, "config": now})
        outcome = Outcome.from_record(record["outcome"]).again(ending, run.changed)
        if outcome is None:
            await run.recall(self.name, iteration)
            return None
        await self.rounds.restore(iteration, config, outcome, record["memento"])
        if outcome.stop == StopReason.POOL_EXHAUSTED and (
            self.rounds.goes_on() or await run.complete_round(self.name, iteration + 1) is not None
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
            "memento": dict(self.rounds.memento()),
            "config": describe_config(config, iteration),
            "simulation": describe_config(config, iteration, "simulation"),
        }
        await run.round_done(done, record, dict(reported), self.rounds.carries(iteration))

    def _remember(self, iteration: int, outcome: Outcome) -> IterationDone:
        if outcome.metric_value is not None:
            self.metrics[iteration] = outcome.metric_value
        if outcome.uncertainty is not None:
            self.uncertainties[iteration] = outcome.uncertainty
        told = {
            "labels": outcome.labels,
            "criterion_values": plain(outcome.criterion_values),
            "uncertainty": plain(outcome.uncertainty),
            "selection": outcome.selection,
            **({} if outcome.quality is None else {"holdout": plain(outcome.quality)}),
            **({"dropped": list(outcome.dropped)} if outcome.dropped else {}),
            **({"failed_members": list(outcome.failed_members)} if outcome.failed_members else {}),
        }
        metric = plain(outcome.metric_value)
        self.iterations.append({"iteration": iteration, "metric": metric, **told})
        name = self.criterion.metric_name if self.criterion else None
        return IterationDone(self.name, iteration, metric_name=name, metric_value=metric, **told)

    def _state(self, iteration: int, outcome: Outcome, config: LearnerConfig, state: dict[str, Any]) -> IterationState:
        return IterationState(
            iteration=iteration,
            metric_name=self.criterion.metric_name if self.criterion else None,
            metric_value=outcome.metric_value,
            metric_threshold=self.criterion.threshold if self.criterion else None,
            metric_history=list(self.metrics.values()),
            should_stop=outcome.stop in (StopReason.CRITERION_MET, StopReason.CERTAIN_ENOUGH),
            current_config=config,
            learner_id=self.learner_id,
            state=state,
        )
