"""Define a loop, what it is asked for, and what an iteration of it comes to: ask, tell, carry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from rose.identity.parts import Parts
from rose.loop.limits import Ending, Limits
from rose.loop.saved.frames import Entry
from rose.loop.state import IterationState, StopReason, WorkflowResult
from rose.stages.config import LearnerConfig
from rose.stages.parsing import plain
from rose.stages.runner import Runner
from rose.stages.stage import Registered, Stage

Verdict = Callable[[Any], tuple[bool, float]]  # of a task's result: whether to stop, and the value

# The state of the iteration that has just ended, while the user's method is asked for one.
building: ContextVar[IterationState | None] = ContextVar("rose_building", default=None)


@dataclass(frozen=True)
class Hooks:
    """Name the methods that a subclass has overridden; None: the loop does as it does.

    Attributes:
        compare: `(metric_name, value, threshold, operator)` -> whether the threshold is met.
        criterion: `(result)` of a stop criterion's task -> whether to stop, and the value.
        uncertainty: the same of an uncertainty task.
        state: `(iteration, metric_value=, should_stop=, current_config=)` -> what is given after an iteration.
    """

    compare: Callable[[str, float, float, str], bool] | None = None
    criterion: Verdict | None = None
    uncertainty: Verdict | None = None
    state: Callable[..., IterationState] | None = None

    def judging(self) -> list[str]:
        """Return what it has to say of numbers."""
        return [name for name in ("compare", "criterion", "uncertainty") if getattr(self, name) is not None]


NO_HOOKS = Hooks()


@dataclass(frozen=True)
class ControlOf:
    """Say what a control is compared with, and how it chooses: at "random", or by "lhs" to fill space."""

    kind: str
    of: tuple[str, ...]


@dataclass(frozen=True)
class RunRequest:
    """Tell what `teach`, `start` or `run` was asked for.

    Attributes:
        names: the workflows.
        stages: what is registered for each of them, by name; workflows may differ in it.
        model_names, num_predictions: the members of each ensemble, and the stochastic passes of each.
        configs: the configuration of each workflow, by name.
        limits: the ends of each workflow.
        skip_pre_loop: whether the first iteration begins with what is there already (ROSE's dataflow).
        learner_ids: whether states carry the workflow's name; not where there is one workflow only.
        ids: what states carry instead of a name that the user gave as a number.
        hooks: what the learner's own methods decide.
        controls: those of the workflows that choose without an ensemble, for the others to be compared with.
        noted: what else the driver notes for who looks at the run, by name, in plain JSON.
    """

    names: tuple[str, ...]
    stages: Mapping[str, Registered]
    model_names: tuple[str, ...]
    num_predictions: int
    configs: Mapping[str, LearnerConfig]
    limits: Limits
    skip_pre_loop: bool = False
    learner_ids: bool = True
    ids: Mapping[str, int] = field(default_factory=dict)
    hooks: Hooks = NO_HOOKS
    controls: Mapping[str, ControlOf] = field(default_factory=dict)
    noted: Mapping[str, Any] = field(default_factory=dict)

    def by_stages(self) -> list[tuple[tuple[str, ...], Registered]]:
        """Return what is registered, once, each with the workflows that have it."""
        found: dict[int, list[str]] = {}
        for name in self.names:
            found.setdefault(id(self.stages[name]), []).append(name)
        return [(tuple(names), self.stages[names[0]]) for names in found.values()]


class NothingLeft(Exception):
    """Say, raised by `Loop.play`, that there is nothing to play any more: the workflow ends, for this reason."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Outcome:
    """Tell what one iteration came to.

    `selection` is what was chosen to be simulated next, in plain JSON; `quality` says how good the ensemble is on a
    pool's hold-out; `dropped` candidates could not be simulated, and `failed_members` not trained, and their policy was
    to go on without. `met` says that the criterion is met where that does not end the workflow.
    """

    metric_value: float | None = None
    criterion_values: Mapping[str, float] | None = None
    uncertainty: float | None = None
    selection: Any = None
    labels: int | None = None
    quality: Mapping[str, float | None] | None = None
    dropped: Sequence[int] = ()
    failed_members: Sequence[str] = ()
    stop: StopReason | None = None
    met: bool = False
    stopping: Mapping[str, Any] | None = None
    statement: str | None = None

    def state(self) -> dict[str, Any]:
        """Return what it adds to the state of its iteration; what tasks call so is theirs, and stays."""
        values = None if self.criterion_values is None else list(self.criterion_values.values())
        state = {"uq_value": self.uncertainty, "criterion_values": values, "selection": self.selection}
        if self.labels is not None:  # in ROSE's dataflow they are the user's files
            state["labels"] = self.labels
        if self.quality is not None:
            state["holdout"] = dict(self.quality)
        return state

    def entry(self, iteration: int) -> Entry:
        """Return it as the history of results has it."""
        return Entry(
            iteration=iteration,
            metric=plain(self.metric_value),
            labels=self.labels,
            criterion_values=plain(self.criterion_values),
            uncertainty=plain(self.uncertainty),
            selection=self.selection,
            **({} if self.quality is None else {"holdout": plain(self.quality)}),
            **({"dropped": list(self.dropped)} if self.dropped else {}),
            **({"failed_members": list(self.failed_members)} if self.failed_members else {}),
            **({"stopping": plain(self.stopping)} if self.stopping else {}),
            **({"statement": self.statement} if self.statement else {}),
        )

    def to_record(self) -> dict[str, Any]:
        """Return it in plain values, as a run directory keeps it."""
        values = {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        stop = None if self.stop is None else self.stop.value
        return values | {"metric_value": self.metric_value, "uncertainty": self.uncertainty, "stop": stop}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """Return the outcome that `to_record` wrote."""
        stop = record["stop"]
        return cls(**{**record, "stop": None if stop is None else StopReason(stop)})

    def under_limits(self, ending: Ending, changed: bool) -> Outcome | None:
        """Return this outcome, which is recorded, under the limits of now; None: it has to be judged anew."""
        reason = ending(self.labels)
        if self.stop == StopReason.OTHERS_ENDED:  # they may go on now
            return None
        if self.stop is None:
            return self if reason is None else replace(self, selection=[], stop=reason)
        if self.stop in (StopReason.MAX_ITER, StopReason.BUDGET, StopReason.MAX_TIME):
            return None if reason is None else replace(self, stop=reason)
        # How many simulations may fail is a policy, which may be another one now.
        return None if changed or self.stop == StopReason.SIMULATIONS_FAILED else self


class Loop(Protocol):
    """Play the iterations of one workflow: ROSE's dataflow, a loop over a pool, or another.

    It asks for what it needs through a `Runner`, tells what an iteration came to, and carries what the next one needs.
    Whoever drives it records all that, and has it restored when a run is resumed.
    """

    @property
    def settings(self) -> Collection[str]:
        """Return the names of the settings that may be changed while it runs."""
        ...

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        """Learn from what was chosen before, judge, and choose; `ending` tells whether the workflow has to end."""
        ...

    def carries(self) -> Collection[str]:
        """Return the keys of the tasks whose results are needed after the last iteration, by the next or the user.

        Results that are files of all its other tasks are freed.
        """
        ...

    def checkpoint(self) -> Mapping[str, Any]:
        """Return what the last iteration leaves behind, beside its outcome, in plain values."""
        ...

    async def restore(
        self, iteration: int, config: LearnerConfig, outcome: Outcome, checkpoint: Mapping[str, Any]
    ) -> None:
        """Restore what the workflow had after that iteration, which is recorded."""
        ...

    def goes_on(self) -> bool:
        """Tell whether there are candidates since the last iteration, though it found none left."""
        ...

    def pending(self) -> Sequence[int]:
        """Return the candidates that were asked for and have no label yet, in the order of asking."""
        ...

    def limit(self, limits: Limits) -> None:
        """Go on under these limits."""
        ...

    async def withdraw(self, candidate: int) -> bool:
        """Do without a candidate that is pending; tells whether it is."""
        ...

    async def give(self, candidate: int, label: Any) -> bool:
        """Take a label from a person for a candidate that is pending; tells whether it is taken."""
        ...

    def end(self) -> None:
        """Let go of what is pending: the workflow has ended."""
        ...

    def result(self) -> WorkflowResult:
        """Return what has been learned so far."""
        ...


class Plan(Protocol):
    """Make the loops of a run: all that can be known to be wrong has been found."""

    @property
    def request(self) -> RunRequest:
        """Return what was asked for."""
        ...

    @property
    def labels(self) -> bool:
        """Tell whether simulations give labels, which are recorded by who asked for them, with the end of the task."""
        ...

    @property
    def variants(self) -> Mapping[str, Stage]:
        """Return the stages as their tasks may see them, by name."""
        ...

    @property
    def code(self) -> Mapping[str, Parts]:
        """Return the user's functions, by stage."""
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """Return what a resumed run must have been begun with, by name."""
        ...

    async def open(self, runner: Runner, stack: AsyncExitStack) -> Mapping[str, Loop]:
        """Return the loops by workflow, ready to be played; what has to be closed after them goes on the stack."""
        ...
