"""Hold what a run gives back: the state after each iteration, why a workflow stopped, and what it learned."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rose.errors import ConfigurationError, UnknownStateError, near_miss
from rose.loop.saved.directory import SavedWorkflow, versions_here, write_saved
from rose.loop.saved.frames import frame_of
from rose.loop.saved.prediction import Prediction
from rose.loop.saved.surrogate import Surrogate
from rose.loop.saved.watched import report_of, worth_of
from rose.stages.config import LearnerConfig
from rose.stages.parsing import plain

if TYPE_CHECKING:
    from rose.watch.facts.worth import Worth
    from rose.watch.report import Report


class StopReason(StrEnum):
    """Name the reasons for which a workflow ends."""

    OTHERS_ENDED = "others_ended"
    CRITERION_MET = "criterion_met"
    CERTAIN_ENOUGH = "uncertainty_below_threshold"
    CERTIFIED = "certified"
    STABLE = "predictions_stable"
    NOT_WORTH_IT = "gain_below_cost"
    MAX_ITER = "max_iter_reached"
    BUDGET = "budget_spent"
    MAX_TIME = "max_time_reached"
    POOL_EXHAUSTED = "pool_exhausted"
    STREAM_EXHAUSTED = "stream_exhausted"
    SIMULATIONS_FAILED = "simulations_failed"
    STOPPED = "stopped"
    NOT_A_NUMBER = "not_a_number"
    ERROR = "error"


# What says that the workflow knows enough: these come before limits that are reached in the same iteration.
ENOUGH = (
    StopReason.CRITERION_MET,
    StopReason.CERTAIN_ENOUGH,
    StopReason.CERTIFIED,
    StopReason.STABLE,
    StopReason.NOT_WORTH_IT,
)


def overall(reasons: Sequence[StopReason]) -> StopReason:
    """Return why a run of several workflows ended: the reason of all, else the worst.

    >>> overall([StopReason.MAX_ITER, StopReason.ERROR, StopReason.CRITERION_MET])
    <StopReason.ERROR: 'error'>
    """
    order = list(StopReason)
    return max(reasons, key=order.index, default=StopReason.STOPPED)


@dataclass
class IterationState:
    """Describe one workflow after one iteration.

    `state` holds what tasks reported (`register_state`, results that are dicts) beside `uq_value` and
    `criterion_values`; its entries are attributes too: `state.uq_value`. What ROSE calls `metric_value`, `uq_value` and
    `learner_id` is `metric`, `uncertainty` and `workflow` in results and their tables, and here, too.

    Attributes:
        iteration: 0-based.
        metric_name, metric_value, metric_threshold: the stop criterion's; the value is None where it was not computed.
        metric_history: all values so far, this one included.
        should_stop: whether the criterion or the uncertainty threshold is met.
        current_config: the workflow's configuration in this iteration.
        learner_id: the workflow's name (a number where the user gave one); None where there is one workflow only.
        replayed: whether the iteration was recorded as complete by an earlier program, which this one goes on from.
        workflow: its name, always.
    """

    iteration: int
    metric_name: str | None = None
    metric_value: float | None = None
    metric_threshold: float | None = None
    metric_history: list[float] = field(default_factory=list)
    should_stop: bool = False
    current_config: LearnerConfig | None = None
    learner_id: int | str | None = None
    state: dict[str, Any] = field(default_factory=dict)
    replayed: bool = False
    workflow: str | None = None

    @property
    def metric(self) -> Any:
        """Return the stop criterion's value, or what a task has reported as `metric`."""
        return self.state.get("metric", self.metric_value)

    @property
    def uncertainty(self) -> Any:
        """Return the ensemble's uncertainty, or what a task has reported as `uncertainty`."""
        return self.state.get("uncertainty", self.state.get("uq_value"))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "state":  # copy and pickle look for these before `state` exists
            raise AttributeError(name)
        try:
            return self.state[name]
        except KeyError:
            known = {*self.state, *(f.name for f in dataclasses.fields(self))}
            raise UnknownStateError(
                f"no state {name!r} in iteration {self.iteration} of {self.learner_id!r}; {near_miss(name, known)}"
            ) from None

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value from `state`, or `default` where no task has reported it."""
        return self.state.get(key, default)

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain JSON values, the entries of `state` at the top level; none of them hides a field."""
        own = {
            "iteration": self.iteration,
            "metric_name": self.metric_name,
            "metric_value": self.metric_value,
            "metric_threshold": self.metric_threshold,
            "metric_history": list(self.metric_history),
            "should_stop": self.should_stop,
            "learner_id": self.learner_id,
        }
        return own | {key: plain(value) for key, value in self.state.items() if key not in own}


class WorkflowResult(Surrogate):
    """Hold what one workflow learned: as a dict, its history in plain JSON; as attributes, what was paid for.

    Keys: `workflow`, `stop_reason`, `error` (a text, or None), `iterations` (a list of dicts: iteration, metric,
    uncertainty, selection, ...). ROSE's names are found, too: `learner_id`, `metric_value`, `uq_value`.

    Iterating gives what ROSE's `teach` gives: for each iteration a dict of `iterations`, `uq` and `criterion`, which
    `result[0]` is the first of. Pickled, it has models and labels in it, and what the script defines.

    Attributes:
        indices: the labelled candidates, by their places in the pool, in the order they were labelled; int64 `[L]`.
        state: what was known after the last iteration; None where there was none.
        run_dir: where the run is recorded; None: nowhere.
        settings: how it was configured, in plain JSON, as records tell it.
        controls: the controls that it was compared with (`control=`), by name.
    """

    state: IterationState | None = None
    run_dir: Path | None = None
    settings: Mapping[str, Any] = {}
    controls: Mapping[str, WorkflowResult] = {}

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        for one in self["iterations"]:
            values = one["criterion_values"]
            criterion = [] if values is None else list(values.values())
            yield {"iterations": one["iteration"], "uq": one["uncertainty"], "criterion": criterion}

    def __missing__(self, key: object) -> Any:
        return self["workflow"] if key == "learner_id" else _place(key, list(self), self.keys(), "entry")

    @property
    def iterations(self) -> list[dict[str, Any]]:
        """Return the history: one dict an iteration."""
        return list(self["iterations"])

    @property
    def stop_reason(self) -> str | None:
        """Return why the workflow ended: one of `StopReason`."""
        reason: str | None = self["stop_reason"]
        return reason

    @property
    def worth(self) -> list[Worth]:
        """Return what it saved against its controls; see `Results.worth`."""
        return self._and_controls.worth

    @property
    def _and_controls(self) -> Results:
        return Results({self["workflow"]: self, **self.controls})

    @property
    def statement(self) -> str | None:
        """Return in one sentence what a rule of `stop_when` found, as the workflow ended by it; None: none did."""
        return self["iterations"][-1].get("statement") if self["iterations"] else None

    def save(self, path: str | PathLike[str]) -> Path:
        """Save it as a directory, and its controls, which `rose.load` reads; see `Results.save`."""
        return self._and_controls.save(path)

    def report(self) -> Report:
        """Return the report of the whole run, see `Results.report`; without a directory, of this workflow."""
        return report_of(self.run_dir, self._and_controls)

    def saved(self) -> SavedWorkflow:
        """Return what is kept of it, models and labels unread where they are."""
        said: dict[str, Any] = {name: self[name] for name in ("stop_reason", "error", "iterations")}
        said["settings"] = self.settings or self._kept.settings
        if self.state is not None:
            said |= {"metric_name": self.state.metric_name, "metric_threshold": self.state.metric_threshold}
        return replace(self._kept, versions=self._kept.versions or versions_here(), **said)


class StateResult(WorkflowResult):
    """Hold what one workflow learned, and as attributes its last state too, as ROSE's `teach` gives it.

    So `result.metric_value`, `result.iteration` and `result.loss`, which a task reported, are those of the state. The
    dict is the history; of what tasks reported `get` knows, too.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.state is None:
            raise AttributeError(
                f"{name!r}: {type(self).__name__} has no such attribute, and no state after an iteration"
            )
        return getattr(self.state, name)

    def get(self, key: str, default: Any = None) -> Any:
        """Return an entry of the history, or else of the last state, or `default`."""
        return self[key] if key in self.keys() else default if self.state is None else self.state.get(key, default)


class Results(dict[str, WorkflowResult]):
    """Hold the workflows' results by name; `json.dump` writes them as they are.

    Iterating gives, as ROSE's list does, the last state of each workflow (that had an iteration), and `results[0]` is
    the first of them; names and results are in `keys()` and `items()`. A misspelt name raises a KeyError that offers
    the near miss.

    Attributes:
        run_dir: where the run is recorded; None: nowhere.
    """

    run_dir: Path | None = None

    @property
    def worth(self) -> list[Worth]:
        """Return what choosing saved against each control, best first; printed, one is what the report says of it."""
        return worth_of(self)

    def report(self) -> Report:
        """Return the report of the run, which a notebook shows and `.save(path)` writes: one page that says all of it.

        Of a run without a directory, it says what these results hold: no times, no tasks.

        Raises:
            RunDirectoryError: if the directory is there no more.
        """
        return report_of(self.run_dir, self)

    def __iter__(self) -> Iterator[IterationState]:  # type: ignore[override]
        return iter([result.state for result in self.values() if result.state is not None])

    def predict(self, X: Any, level: float | None = None, **asked: Any) -> Prediction:
        """Predict with the ensemble of the only workflow (controls aside), as `WorkflowResult.predict`.

        Raises:
            ConfigurationError: if there are several: say results[NAME].predict(X); or none.
        """
        own = [result for result in self.values() if "control_of" not in result.settings]
        if len(own) != 1:
            raise ConfigurationError(
                f"there are {len(self)} workflows ({', '.join(self.keys())}): say which, results[NAME].predict(X)"
            )
        return own[0].predict(X, level, **asked)

    def to_frame(self) -> Any:
        """Return the histories as a pandas DataFrame, a row an iteration of a workflow.

        Raises:
            MissingPackageError: if pandas is not installed.
        """
        return frame_of({name: result["iterations"] for name, result in self.items()})

    def save(self, path: str | PathLike[str]) -> Path:
        """Save all of it as a directory, which `rose.load` reads in programs that have not made it.

        It holds models, labels, candidates' indices, histories, and what `predict` needs. It appears whole, or not at
        all; results that were saved there before are replaced. Models that are files of a command's stay where they
        are.

        Returns:
            Where it is.

        Raises:
            ConfigurationError: if something else is there, or a model cannot be pickled.
            OSError: if the disk refuses.
        """
        return write_saved(path, [result.saved() for result in self.values()])

    def __missing__(self, name: object) -> Any:
        if isinstance(name, int) and str(name) in self.keys():  # a workflow that the user calls so
            return self[str(name)]
        return _place(name, list(self), self.keys(), "workflow")


def _place(key: object, listed: Sequence[Any], names: Collection[str], what: str) -> Any:
    """Return what stands at a place, for those who take the dict for a list."""
    if isinstance(key, int):
        return listed[key]
    raise KeyError(f"no {what} {key!r}; {near_miss(str(key), names)}")


R = TypeVar("R")


class States(AsyncIterator[IterationState], Generic[R]):
    """Iterate over the states of a run, or run it to its end where it is awaited, as ROSE's documentation does.

    Nothing runs before the first state is asked for, or it is awaited: then it runs to its end, and the result is what
    `teach` gives.

    Args:
        states: gives each state as it comes.
        result: gives what was learned when they have ended.
        leave: is told when nobody can ask for a state any more, as after a `break`.
    """

    def __init__(
        self, states: AsyncGenerator[IterationState, None], result: Callable[[], R], leave: Callable[[], None]
    ) -> None:
        self._states = states
        self._result = result
        self._leave = leave

    def __del__(self) -> None:
        self._leave()

    async def __anext__(self) -> IterationState:
        return await anext(self._states)

    def __await__(self) -> Generator[Any, None, R]:
        return self._rest().__await__()

    async def aclose(self) -> None:
        """End the run, as leaving the iteration does."""
        self._leave()
        await self._states.aclose()

    async def _rest(self) -> R:
        async for _ in self._states:
            pass
        return self._result()
