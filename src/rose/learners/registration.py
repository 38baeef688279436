"""Decorate functions, to tell a learner what its stages are."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, overload

from rose.errors import ConfigurationError
from rose.learners._task_dicts import TaskDict, arguments_of, described, kept, same, stage_of
from rose.metrics import TOTAL_UNCERTAINTY
from rose.pool.stopping.rules import StopRules
from rose.stages.config import AdaptiveSchedule, TaskConfig, check_kind_name, iteration_schedule
from rose.stages.estimators import estimator_stages, estimator_task, is_of_estimators, named
from rose.stages.kinds import (
    ACTIVE_LEARN,
    COMMON,
    CRITERION,
    KINDS,
    NAMES,
    PREDICTION,
    SIMULATION,
    TRAINING,
    UNCERTAINTY,
    UTILITY,
    Kind,
    loop_kinds,
    register_kind,
)
from rose.stages.options import make_stage, options_of
from rose.stages.stage import (
    Reduction,
    Registered,
    Stage,
    StopCriterion,
    UncertaintyRule,
    make_criterion,
    make_rule,
)

_log = logging.getLogger("rose")

_CRITERION, _RULE = CRITERION.name, UNCERTAINTY.name
QUERY_SIZE = 10  # candidates that a round chooses, where the user does not say

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def explained(kind: Kind) -> Callable[[F], F]:
    """Return what adds to a decorator's docstring what its functions may ask for, its options and an example."""
    asked = dict.fromkeys(kind.provides, "")
    for names, where in ((kind.provides_batch, " (with batch)"), (kind.provides_tested, " (with a hold-out)")):
        asked |= dict.fromkeys((name for name in names if name not in asked), where)
    lines = []
    if kind.provides != COMMON:
        lines += ["With a pool, a function is given, by name, what it asks for of these:", ""]
        lines += [f"    {name}: {NAMES[name]}{where}" for name, where in asked.items()]
    if kind.returns:
        lines += ["", f"It returns {kind.returns}."]
    upstream = "the results of the stages before it" if kind.upstream else "what was chosen before, or nothing"
    told = f", and if it has `**kwargs` also {', '.join(kind.injects)}" if kind.injects else ""
    lines += ["", f"Without a pool it gets {upstream} by position{told}.", "", "Options:"]
    lines += [f"    {name}: {text}" for name, text in options_of(kind).items()]
    if kind.example:
        lines += ["", "Example:", *(f"    {line}" for line in kind.example.splitlines())]

    def with_more(decorator: F) -> F:
        if decorator.__doc__:  # there is none under `python -OO`
            said = inspect.cleandoc(decorator.__doc__)
            decorator.__doc__ = said + "\n\n" + "\n".join(lines).strip() + "\n"
        return decorator

    return with_more


class Registration(StopRules):
    """Hold what has been registered. Registering a stage again replaces it, as re-running a notebook cell does.

    Every decorator works bare (`@learner.simulation_task`) and called (`@learner.simulation_task(cpus=2)`), and gives
    the function back unchanged; `help(learner.training_task)` lists its options, and what its functions may ask for.

    What is registered is also a dict, `learner.simulation_function` and so on, with `func`, `args`, `kwargs`,
    `decor_kwargs`, `log_params` and `as_executable`; what it says when a run begins counts.
    """

    simulation_function: TaskDict
    training_function: TaskDict
    prediction_function: TaskDict
    active_learn_function: TaskDict
    criterion_function: TaskDict
    uncertainty_function: TaskDict

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[str, Stage] = {}
        self.criterion: StopCriterion | None = None
        self.rule: UncertaintyRule | None = None
        self.estimators: dict[str, Any] = {}
        self._kinds: list[tuple[Callable[..., Any], str]] = []
        self._registered_as: dict[str, TaskDict] = {}  # what the dicts said then
        for kind in loop_kinds():
            self._describe(kind, {})

    @overload
    def simulation_task(self, func: F) -> F: ...
    @overload
    def simulation_task(self, func: None = None, **options: Any) -> Decorator[Any]: ...
    @explained(SIMULATION)
    def simulation_task(self, func: Any = None, **options: Any) -> Any:
        """Register what labels a candidate."""
        return self._register(SIMULATION, func, options)

    @overload
    def training_task(self, func: F) -> F: ...
    @overload
    def training_task(self, func: None = None, **options: Any) -> Decorator[Any]: ...
    @explained(TRAINING)
    def training_task(self, func: Any = None, **options: Any) -> Any:
        """Register what trains one member of the ensemble."""
        return self._register(TRAINING, func, options)

    @overload
    def prediction_task(self, func: F) -> F: ...
    @overload
    def prediction_task(self, func: None = None, **options: Any) -> Decorator[Any]: ...
    @explained(PREDICTION)
    def prediction_task(self, func: Any = None, **options: Any) -> Any:
        """Register what predicts with one member."""
        return self._register(PREDICTION, func, options)

    @overload
    def active_learn_task(self, func: F) -> F: ...
    @overload
    def active_learn_task(self, func: None = None, **options: Any) -> Decorator[Any]: ...
    @explained(ACTIVE_LEARN)
    def active_learn_task(self, func: Any = None, **options: Any) -> Any:
        """Register what chooses the next candidates."""
        return self._register(ACTIVE_LEARN, func, options)

    def register_decorator(self, task_attr_name: str, kind: Kind | None = None) -> Callable[..., Any]:
        """Add a stage of another kind: return its decorator, which is also the attribute `NAME_task` from now on.

        It is for loops of your own; configurations take the name, too, as in `LearnerConfig(environment=TaskConfig())`.

        Args:
            task_attr_name: the name of the kind, such as "environment".
            kind: what its tasks are like; None: as registered before, else the defaults of `rose.stages.kinds.Kind`.

        Raises:
            ConfigurationError: if the name cannot be one, means something else, or `kind` is called otherwise.
        """
        row = kind or KINDS.get(task_attr_name) or Kind(task_attr_name)
        if not isinstance(row, Kind):
            raise ConfigurationError(
                f"register_decorator({task_attr_name!r}) takes a rose.stages.kinds.Kind, got {row!r}"
            )
        if row.name != task_attr_name:
            raise ConfigurationError(f"register_decorator({task_attr_name!r}) was given the kind {row.name!r}")
        check_kind_name(str(task_attr_name))
        register_kind(row)
        if not hasattr(self, f"{task_attr_name}_function"):
            self._describe(task_attr_name, {})
        if not hasattr(self, f"{task_attr_name}_task"):

            def decorator(func: Any = None, **options: Any) -> Any:
                return self._register(KINDS[task_attr_name], func, options)

            setattr(self, f"{task_attr_name}_task", decorator)
        made: Callable[..., Any] = getattr(self, f"{task_attr_name}_task")
        return made

    @explained(UNCERTAINTY)
    def uncertainty_quantification(
        self,
        uq_metric_name: str = TOTAL_UNCERTAINTY,
        query_size: float = QUERY_SIZE,
        threshold: float | None = None,
        operator: str = "",
        as_executable: bool = True,
        *,
        reduction: Reduction | None = None,
        **options: Any,
    ) -> Decorator[Any]:
        """Say how candidates are scored; decorating a function makes it the score. With a pool the call is enough.

        Args:
            uq_metric_name: a metric of `rose.scoring`, or a name for the decorated function's. By default what the
                members together are unsure of: the entropy of their mean probabilities, or the variance of their values
                with what they know of their own.
            query_size: how many candidates a round chooses.
            threshold: stop when the uncertainty (with a pool: the mean score of the `query_size` most uncertain
                candidates) is below it, or above it for metrics where low means uncertain. None (pools): never.
            operator: `<  >  =  <=  >=` instead of the metric's own.
            as_executable: whether the decorated function returns a command line.
            reduction: how the scores of several outputs, predictions `[n, D]`, become one: "mean", "max", "sum" or
                "norm".
            **options: as for the other decorators.

        Raises:
            ConfigurationError: if the threshold is NaN or the query size not 1, 2, 3, ...
        """
        self.rule = make_rule(uq_metric_name, query_size, threshold, operator, reduction)
        self._describe(UNCERTAINTY.name, {})
        said = {"uq_metric_name": uq_metric_name, "query_size": query_size, "threshold": threshold}
        said |= {"operator": operator, "reduction": reduction}
        return self._rule_decorator(self.rule, {"as_executable": as_executable, **options}, said)

    @explained(CRITERION)
    def as_stop_criterion(
        self,
        metric_name: str,
        threshold: float,
        operator: str = "",
        as_executable: bool = True,
        **options: Any,
    ) -> Decorator[Any]:
        """Say when to stop; decorating a function makes it the metric. With a pool's hold-out the call is enough.

        Args:
            metric_name: a metric of `rose.metrics`, or a name of your own together with `operator`.
            threshold: stop when `metric operator threshold` holds.
            operator: `<  >  =  <=  >=` instead of the metric's own.
            as_executable: whether the decorated function returns a command line.
            **options: as for the other decorators.

        Raises:
            ConfigurationError: if the threshold is NaN, or a metric of your own comes without an operator.
        """
        self.criterion = make_criterion(metric_name, threshold, operator)
        self._describe(CRITERION.name, {})
        said = {"metric_name": metric_name, "threshold": threshold, "operator": operator}
        return self._rule_decorator(self.criterion, {"as_executable": as_executable, **options}, said)

    def models(self, *unnamed: Any, **estimators: Any) -> None:
        """Register scikit-learn estimators, by model name, instead of training and prediction functions.

        Each round fits fresh clones; every seed is derived from the task's. Regressors that all know how sure they are
        (`return_std`: Gaussian processes, BayesianRidge) give their variances, too; what has `predict_members`, as
        those of `rose.surrogates` have, is an ensemble by itself. One without a name is called after its class; without
        any it is `rose.surrogates.Auto()`, for candidates that are numbers. A prediction task of your own may go with
        them: it gets what was fitted as `model`.

        Raises:
            ConfigurationError: if one is no estimator, gives no probabilities, or classifiers and regressors are mixed.
        """
        estimators = named(unnamed, estimators)
        training, prediction = estimator_stages(estimators)
        own = self.stages.get(prediction.kind)
        kept = own is not None and not is_of_estimators(own) and (training.kind not in self.stages or self.estimators)
        made = {stage.kind: stage for stage in ([training] if kept else [training, prediction])}
        if not self.estimators and (replaced := [self.stages[kind].name for kind in made if kind in self.stages]):
            _log.warning("models(...) takes the place of %s", " and ".join(replaced))
        self.estimators = dict(estimators)
        self.stages |= made
        for kind in made:
            self._describe(kind, {})

    def registered(self) -> Registered:
        """Return what has been registered, as it and the dicts of its functions are now.

        Raises:
            ConfigurationError: if such a dict has been changed to what cannot be.
        """
        made = self._registered_as
        dicts = {kind: one for kind, one in self._dicts().items() if kind not in made or not same(one, made[kind])}
        stages = dict(self.stages)
        stages |= {kind: stage_of(kind, one) for kind, one in dicts.items() if kind not in (_RULE, _CRITERION)}
        criterion, rule = self.criterion, self.rule
        if one := dicts.get(_CRITERION):
            criterion = make_criterion(one["metric_name"], one["threshold"], one.get("operator", ""))
            criterion = replace(criterion, stage=stage_of(_CRITERION, one))
        if one := dicts.get(_RULE):
            said: Any = {name: one.get(name) for name in ("uq_metric_name", "query_size", "threshold", "reduction")}
            rule = replace(make_rule(operator=one.get("operator") or "", **said), stage=stage_of(_RULE, one))
        task = estimator_task(self.estimators) if is_of_estimators(stages.get(PREDICTION.name)) else None
        return Registered(stages, criterion, rule, dict(self.estimators), task, self.stop_rules)

    def arguments(self) -> dict[str, TaskConfig]:
        """Return the arguments that the functions' dicts give them, by stage; a configuration's own come first."""
        found = {kind: arguments_of(kind, one) for kind, one in self._dicts().items()}
        return {kind: config for kind, config in found.items() if config is not None}

    def create_iteration_schedule(
        self, task_name: str, schedule: Mapping[int, Mapping[str, Any] | TaskConfig]
    ) -> dict[int, TaskConfig]:
        """Return a schedule for a configuration of `{iteration: {"args": ..., "kwargs": ...}}`; -1 is the default."""
        return iteration_schedule(schedule)

    def create_adaptive_schedule(
        self, task_name: str, param_schedule: Callable[[int], Mapping[str, Any]]
    ) -> AdaptiveSchedule:
        """Return a configuration that is computed for each iteration when it comes, by `param_schedule(iteration)`."""
        return AdaptiveSchedule(param_schedule)

    def _register(self, kind: Kind, func: Any, options: dict[str, Any]) -> Any:
        def decorator(function: Any) -> Any:
            self.stages[kind.name] = make_stage(kind.name, function, options)
            self._describe(kind.name, task := described(function, options))
            if kind is TRAINING:
                self.estimators = {}
            return self._decorated(kind, task)

        return decorator if func is None else decorator(func)

    def _rule_decorator(
        self, rule: StopCriterion | UncertaintyRule, options: Mapping[str, Any], said: Mapping[str, Any]
    ) -> Decorator[Any]:
        """Return what registers the function of a criterion or an uncertainty, of which so much has been `said`."""

        def decorator(function: Any) -> Any:
            kind = CRITERION if isinstance(rule, StopCriterion) else UNCERTAINTY
            stage = make_stage(kind.name, function, options)
            if isinstance(rule, StopCriterion):
                self.criterion = replace(rule, stage=stage)
            else:
                self.rule = replace(rule, stage=stage)
            self._describe(kind.name, task := described(function, options, **said))
            return self._decorated(kind, task)

        return decorator

    def _decorated(self, kind: Kind, task: TaskDict) -> Any:
        """Return what takes the place of the function that has been decorated: here the function itself."""
        return task["func"]

    def _describe(self, kind: str, task: TaskDict) -> None:
        setattr(self, f"{kind}_function", task)
        if task:
            self._registered_as[kind] = kept(task)
            self._kinds.append((task["func"], kind))

    def _kind_of(self, task: Mapping[str, Any]) -> str:
        """Return the kind that the function of a dict was last registered as; one that was not is a utility."""
        func = task.get("func") if isinstance(task, Mapping) else None
        if func is None:
            stage_of(UTILITY.name, task)  # which says what it lacks
        return next((kind for known, kind in reversed(self._kinds) if known is func), UTILITY.name)

    def _dicts(self) -> dict[str, TaskDict]:
        """Return the dicts of the functions that are registered by one, by stage."""
        dicts = {kind: getattr(self, f"{kind}_function", None) for kind in loop_kinds()}
        return {kind: one for kind, one in dicts.items() if one}
