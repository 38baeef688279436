"""Give learners their state, and the methods by which a subclass of the user's has a say in a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rose.engine import TaskKey
from rose.errors import ConfigurationError
from rose.learners._task_dicts import TaskDict
from rose.learners.registration import Registration
from rose.loop.protocol import Hooks, building
from rose.loop.session import Session
from rose.loop.state import IterationState, Results
from rose.loop.workflow import Workflow
from rose.metrics import compare
from rose.stages.config import LearnerConfig
from rose.stages.parsing import number
from rose.stages.reporting import Listener, Reports, register, reports
from rose.stages.stage import make_criterion


class StateOfLearner(Registration):
    """Hold what is registered, the state that tasks and the program report, and the documented hooks.

    A subclass may override `register_state`, `compare_metric`, `build_iteration_state` and, of UQ learners in ROSE's
    dataflow, `_check_stop_criterion` and `_check_uncertainty`: a run calls them.
    """

    learner_name: str
    one_is_enough = False  # whether a run goes well if one of its workflows does
    reports = True  # whether a report is written into the run directory at the end of a run
    register_and_submit = False  # whether calling a decorated function submits it, or just calls it

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Listener] = []
        self._workflows: list[Workflow] = []
        self._sessions: list[Session] = []
        own = self.register_state if self._overrides("register_state") else None
        self._state = Reports(self._callbacks, through=own)
        self._last: IterationState | None = None  # of the last run, after its last iteration

    def _overrides(self, method: str) -> bool:
        """Tell whether a subclass of the user's, or who set it on the instance, has that method."""
        found = getattr(self, method)
        return not getattr(found, "__module__", "").startswith("rose.learners.")

    # --- state ---------------------------------------------------------------------------------------------------

    def register_state(self, key: str, value: Any) -> None:
        """Report a value to whoever looks at the iterations: it becomes `state.key` of the workflow that is running.

        Outside of tasks it becomes part of every workflow's later states.
        """
        held = reports.get()
        if held is None:
            self._state.note(key, value)
        elif isinstance(held, Reports):
            held.note(key, value)
            held.tell()
        else:
            register({key: value})

    def get_state(self, key: str, default: Any = None) -> Any:
        """Return a value of `get_all_state`, or `default` where there is none."""
        return self.get_all_state().get(key, default)

    def get_all_state(self) -> dict[str, Any]:
        """Return what was registered outside of tasks, or by the stage that runs now.

        Of a learner of one workflow, what was known after its last iteration is in it, too.
        """
        last = {} if self._last is None or self._last.learner_id is not None else self._last.state
        return {**last, **self._state, **(reports.get() or {})}

    def clear_state(self) -> None:
        """Forget what `get_all_state` gives; states that were given stay as they are."""
        self._last = None
        self._state.clear()
        held = reports.get()
        if held is not None:
            held.clear()

    def on_state_update(self, callback: Listener) -> None:
        """Call `callback(key, value)` for each value that comes to be in a state.

        These are what `register_state` is given, in workers too (when the task's result arrives), the entries of
        results that are dicts, and what the round itself adds: `uq_value`, `criterion_values`, ... It is called in the
        thread of the run's event loop; what it raises ends the workflow that the value is of, as a failed task would.

        Raises:
            ConfigurationError: if it cannot be called, or is async: nobody would await it.
        """
        if not callable(callback) or inspect.iscoroutinefunction(callback):
            raise ConfigurationError(f"on_state_update takes a plain function of (key, value), got {callback!r}")
        self._callbacks.append(callback)

    def remove_state_callback(self, callback: Listener) -> None:
        """Call it no more; one that was never given is fine, as in ROSE."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    # --- the last run --------------------------------------------------------------------------------------------

    def get_metric_results(self) -> dict[Any, Any]:
        """Return the criterion's values of the last run by iteration, under `learner-NAME` where there are names."""
        return self._by_workflow(lambda workflow: dict(workflow.metrics))

    def get_uncertainty_results(self) -> dict[Any, Any]:
        """Return the uncertainties of the last run by iteration, under `learner-NAME` where there are names."""
        return self._by_workflow(lambda workflow: dict(workflow.uncertainties))

    @property
    def metric_values_per_iteration(self) -> dict[Any, Any]:
        """Return what `get_metric_results` does."""
        return self.get_metric_results()

    @property
    def uncertainty_values_per_iteration(self) -> dict[Any, Any]:
        """Return what `get_uncertainty_results` does."""
        return self.get_uncertainty_results()

    @property
    def iteration(self) -> int:
        """Return how many iterations of the last run have ended, in the workflow that is furthest."""
        return max((len(workflow.iterations) for workflow in self._workflows), default=0)

    @property
    def results(self) -> Results:
        """Return what the last run has learned so far, by workflow: also while it goes on, and after `start`."""
        return self._sessions[-1].results() if self._sessions else Results()

    learner_results = results  # as ROSE calls it

    # --- what a subclass may override ------------------------------------------------------------------------------

    def compare_metric(self, metric_name: str, metric_value: float, threshold: float, operator: str = "") -> bool:
        """Tell whether a metric's value meets a threshold, by `operator` or else the metric's own.

        Raises:
            ConfigurationError: for a metric that has none, without `operator`.
        """
        return compare(metric_value, make_criterion(metric_name, threshold, operator).operator, threshold)

    def _check_stop_criterion(self, stop_task_result: Any) -> tuple[bool, float]:
        """Return whether the result of a criterion's task meets it, and the value."""
        rule = self.registered().criterion
        if rule is None:
            raise ConfigurationError("there is no stop criterion: register one with @learner.as_stop_criterion(...)")
        key = TaskKey(self.learner_name, 0, "criterion")
        value = number(stop_task_result, key, ("metric_value", rule.metric_name))
        return self.compare_metric(rule.metric_name, value, rule.threshold, rule.operator), value

    def build_iteration_state(
        self,
        iteration: int,
        metric_value: float | None = None,
        should_stop: bool = False,
        current_config: LearnerConfig | None = None,
    ) -> IterationState:
        """Return a state: in a run that of the iteration that has just ended, else what is known now."""
        made = building.get()
        if made is None:
            rule = self.criterion_function
            made = IterationState(
                iteration,
                metric_name=rule.get("metric_name"),
                metric_threshold=rule.get("threshold"),
                metric_history=list(self._recorded_values().values()),
                state=self.get_all_state(),
            )
        config = made.current_config if current_config is None else current_config
        told: dict[str, Any] = {"metric_value": metric_value, "should_stop": should_stop, "current_config": config}
        return replace(made, iteration=iteration, **told)

    def _get_iteration_task_config(
        self, base_task: TaskDict, config: LearnerConfig | None, task_key: str, iteration: int
    ) -> TaskDict:
        """Return a task's dict with the arguments that a configuration has for one iteration, where it has any."""
        found = None if config is None else config.get_task_config(task_key, iteration)
        return {**base_task, **({} if found is None else {"args": found.args, "kwargs": found.kwargs})}

    def _recorded_values(self) -> dict[int, float]:
        return dict(self._workflows[0].metrics) if len(self._workflows) == 1 else {}

    def _by_workflow(self, values: Callable[[Workflow], dict[int, float]]) -> dict[Any, Any]:
        if len(self._workflows) == 1 and self._workflows[0].learner_id is None:
            return values(self._workflows[0])
        return {f"learner-{workflow.name}": values(workflow) for workflow in self._workflows}

    def hooks(self) -> Hooks:
        """Return those of these methods that a run is to call."""

        def own(method: str) -> Callable[..., Any] | None:
            return getattr(self, method) if hasattr(self, method) and self._overrides(method) else None

        return Hooks(
            own("compare_metric"),
            own("_check_stop_criterion"),
            own("_check_uncertainty"),
            own("build_iteration_state"),
        )
