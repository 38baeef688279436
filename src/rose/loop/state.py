"""Hold what a run gives back: the state after each iteration, why a workflow stopped, and what it learned."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from rose.errors import ConfigurationError, UnknownStateError, near_miss
from rose.stages.config import LearnerConfig
from rose.stages.parsing import plain
from rose.store import Result


class StopReason(StrEnum):
    """Name the reasons for which a workflow ends."""

    CRITERION_MET = "criterion_met"
    CERTAIN_ENOUGH = "uncertainty_below_threshold"
    MAX_ITER = "max_iter_reached"
    BUDGET = "budget_spent"
    MAX_TIME = "max_time_reached"
    POOL_EXHAUSTED = "pool_exhausted"
    STREAM_EXHAUSTED = "stream_exhausted"
    SIMULATIONS_FAILED = "simulations_failed"
    STOPPED = "stopped"
    NOT_A_NUMBER = "not_a_number"
    ERROR = "error"


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
    `criterion_values`; its entries are attributes too: `state.uq_value`.

    Attributes:
        iteration: 0-based.
        metric_name, metric_value, metric_threshold: the stop criterion's; the value is None where it was not computed.
        metric_history: all values so far, this one included.
        should_stop: whether the criterion or the uncertainty threshold is met.
        current_config: the workflow's configuration in this iteration.
        learner_id: the workflow's name.
        replayed: whether the iteration was recorded as complete by an earlier program, which this one goes on from.
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


class _MeanAndUncertainty(NamedTuple):
    mean: np.ndarray
    uncertainty: np.ndarray


class Prediction(_MeanAndUncertainty):
    """Hold what an ensemble says of some samples: a pair, `mean, uncertainty = result.predict(X)`.

    Attributes:
        mean: `[n, C]` mean probabilities, or `[n]` mean values.
        uncertainty: `[n]`, by the metric of the workflow that trained the ensemble.
        classes: the label of each column of the probabilities; None for values, or where no model says it.
    """

    classes: list[Any] | None

    def __new__(cls, mean: np.ndarray, uncertainty: np.ndarray, classes: list[Any] | None = None) -> Prediction:
        made = super().__new__(cls, mean, uncertainty)
        made.classes = classes
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.classes)


class WorkflowResult(dict[str, Any]):
    """Hold what one workflow learned: as a dict, its history in plain JSON; as attributes, what was paid for.

    Keys: `workflow`, `stop_reason`, `error` (a text, or None), `iterations` (a list of dicts: iteration, metric,
    uncertainty, selection, ...).

    Iterating gives what ROSE's `teach` gives: for each iteration a dict of `iterations`, `uq` and `criterion`, which
    `result[0]` is the first of.

    Attributes:
        indices, labels: the labelled candidates of the pool, in the order they were labelled.
        state: what was known after the last iteration; None where there was none.
    """

    state: IterationState | None = None

    def __init__(
        self,
        workflow: str,
        *,
        models: Mapping[str, Result] | None = None,
        indices: np.ndarray | None = None,
        labels: Any = None,
        predictor: Callable[[Mapping[str, Any], Any], Prediction] | None = None,
    ) -> None:
        super().__init__(workflow=workflow, stop_reason=None, error=None, iterations=[])
        self._models = dict(models or {})
        self.indices = np.empty(0, np.int64) if indices is None else indices
        self.labels = labels
        self._predictor = predictor

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        for one in self["iterations"]:
            values = one["criterion_values"]
            criterion = [] if values is None else list(values.values())
            yield {"iterations": one["iteration"], "uq": one["uncertainty"], "criterion": criterion}

    def __missing__(self, key: object) -> Any:
        return _place(key, list(self), self.keys(), "entry")

    @cached_property
    def models(self) -> dict[str, Any]:
        """Return the last ensemble by model name; a resumed run's is read from its directory at the first call."""
        return {name: result.load() for name, result in self._models.items()}

    @property
    def iterations(self) -> list[dict[str, Any]]:
        """Return the history: one dict an iteration."""
        return list(self["iterations"])

    @property
    def stop_reason(self) -> str | None:
        """Return why the workflow ended: one of `StopReason`."""
        reason: str | None = self["stop_reason"]
        return reason

    def predict(self, X: Any) -> Prediction:
        """Predict with the last ensemble, in this process: mean and uncertainty.

        Args:
            X: samples as the prediction function takes them, `[n, ...]`.

        Raises:
            ConfigurationError: if this workflow trained no ensemble, or predicts by a command.
        """
        if self._predictor is None or not self._models:
            raise ConfigurationError(
                f"workflow {self['workflow']!r} holds no ensemble to predict with "
                "(its models are files of yours, or it ended before one was trained)"
            )
        return self._predictor(self.models, X)


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
    """

    def __iter__(self) -> Iterator[IterationState]:  # type: ignore[override]
        return iter([result.state for result in self.values() if result.state is not None])

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
