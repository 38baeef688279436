"""What was asked for, and workflows of the dataflow ready to run; what can be known to be wrong is found before."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property

from rose.errors import ConfigurationError, UnknownMetricError
from rose.identity.code import code_of_values
from rose.identity.parts import Parts, parts_digest
from rose.scoring import get_metric
from rose.workflow import checks
from rose.workflow.changes import Code, describe_stage
from rose.workflow.config import LearnerConfig
from rose.workflow.dataflow import Dataflow, DataflowRounds
from rose.workflow.dataflow_calls import check_calls, tell_of_the_untold
from rose.workflow.estimators import is_of_estimators
from rose.workflow.identity import check_configured, describe_estimator
from rose.workflow.registration import Registration
from rose.workflow.rounds import Limits, Rounds, Workflow
from rose.workflow.runner import Runner
from rose.workflow.stages import Stage, StopCriterion

_log = logging.getLogger("rose")


@dataclass(frozen=True)
class Request:
    """What `teach`, `start` or `run` was asked for; without `learner_ids`, states carry no name (one workflow)."""

    names: tuple[str, ...]
    model_names: tuple[str, ...]
    num_predictions: int
    configs: Mapping[str, LearnerConfig]
    limits: Limits
    skip_pre_loop: bool = False
    learner_ids: bool = True


def check_limits(max_iter: int, budget: int | None, max_time: float | None) -> Limits:
    """The ends of a run other than its criterion.

    Raises:
        ConfigurationError: if one cannot be.
    """
    checks.check_count(max_iter, "max_iter", 0)
    if budget is not None:
        checks.check_count(budget, "budget", 1)
    if max_time is not None and (math.isnan(max_time) or max_time <= 0):
        raise ConfigurationError(f"max_time={max_time!r} must be positive seconds")
    return Limits(max_iter, budget, max_time)


def code_of(registered: Registration, stages: Mapping[str, Stage]) -> Code:
    """Return the user's functions that a recorded run was begun with, by stage."""
    own = {
        kind: stage
        for kind, stage in stages.items()
        if not ((kind == "training" and registered.estimators) or is_of_estimators(stage))
    }
    code: dict[str, Parts] = {f"{kind} task": describe_stage(stage) for kind, stage in own.items()}
    for name, estimator in registered.estimators.items():
        classes = code_of_values([estimator, *getattr(estimator, "get_params", dict)().values()])
        code |= {f"code of model {name!r}": classes} if classes else {}
    return code


def identity_of(registered: Registration, request: Request, code: Code) -> dict[str, str]:
    """What a recorded run was begun with: on resume, what is named here has to be the same."""
    named = {"uncertainty_quantification": "none", "stop criterion": "none"}
    named |= {f"{kind} task": "none" for kind in ("active_learn", "uncertainty", "criterion")}
    named |= {name: parts_digest(parts) for name, parts in code.items()}
    for name, estimator in registered.estimators.items():
        named[f"model {name!r}"] = describe_estimator(estimator)
    if registered.rule is not None:
        rule = registered.rule
        named["uncertainty_quantification"] = (
            f"{rule.metric_name}, query_size={rule.query_size}, threshold={rule.threshold}, reduction={rule.reduction}"
            + (f", operator={rule.operator}" if rule.operator else "")
        )
    if registered.criterion is not None:
        criterion = registered.criterion
        named["stop criterion"] = f"{criterion.metric_name} {criterion.operator} {criterion.threshold}"
    named["model_names"] = ", ".join(request.model_names)
    named["num_predictions"] = str(request.num_predictions)
    return named


def make_workflow(request: Request, name: str, rounds: Rounds, criterion: StopCriterion | None) -> Workflow:
    """One workflow of a request."""
    learner_id = name if request.learner_ids else None
    return Workflow(name, learner_id, rounds, request.limits, criterion, request.configs[name])


def all_stages(registered: Registration) -> dict[str, Stage]:
    """The registered stages by kind, those of the uncertainty rule and the criterion among them."""
    stages = {kind: stage for kind, stage in registered.stages.items() if kind != "utility"}
    for one in (registered.rule, registered.criterion):
        if one is not None and one.stage is not None:
            stages[one.stage.kind] = one.stage
    return stages


class DataflowPlan:
    """Workflows of ROSE's dataflow; `variants` are the stages as their tasks may see them, by name.

    Raises:
        ConfigurationError: if a stage is missing or nothing would ever end the run.
        BindingError: if a stage's function cannot take what it will be given.
    """

    def __init__(self, registered: Registration, request: Request) -> None:
        checks.check_stages(registered.stages, ("simulation", "training", "prediction", "active_learn"))
        self._registered = registered
        self._request = request
        self._stages = all_stages(registered)
        limits, rule = request.limits, registered.rule
        if limits.budget is not None:
            raise ConfigurationError(
                "budget= counts the labels of a pool; without a pool they are your files: use max_iter"
            )
        for what, found in (("uncertainty_quantification", rule), ("as_stop_criterion", registered.criterion)):
            if found is not None and found.stage is None:
                raise ConfigurationError(f"{what} decorates no function; only a learner with a pool can do without one")
        if not limits.max_iter and limits.max_time is None and registered.criterion is None:
            raise ConfigurationError("nothing would end the run: give max_iter, or register a stop criterion")
        self._operator = rule.operator if rule else ""
        if rule is not None and not rule.operator:
            try:
                self._operator = get_metric(rule.metric_name).threshold_operator
            except UnknownMetricError:
                self._operator = "<"  # as ROSE's "custom_uq": a function of the user's, higher is more uncertain
        if rule is not None and not rule.query_size:
            _log.warning("query_size=0 means nothing: without a pool, your own functions choose, and how many")
        tell_of_the_untold(self._stages, len(request.model_names), request.num_predictions)
        for name, config in request.configs.items():
            check_configured(config, f"workflow {name!r}: ", strict=False)
            check_calls(self._stages, config, limits.max_iter, request.skip_pre_loop)
            for field in ("uq_metric_name", "query_size", "threshold", "acquisition"):
                if getattr(config, field, None) is not None:
                    raise ConfigurationError(
                        f"workflow {name!r}: {field}= needs a pool; without one your own functions score and choose"
                    )
        self.variants = checks.check_options(self._stages.values(), request.configs, request.model_names)
        for name, stage in self.variants.items():
            if stage.kind == "simulation" and stage.on_failure == "drop":
                raise ConfigurationError(
                    f"{name}: without a pool there are no candidates to drop, and a round cannot do without its "
                    "simulation; use retries=, or give the learner a pool"
                )

    @cached_property
    def code(self) -> Code:
        """Return the user's functions."""
        return code_of(self._registered, self._stages)

    @property
    def identity(self) -> dict[str, str]:
        """What a resumed run must have been begun with, by name."""
        named = identity_of(self._registered, self._request, self.code)
        return named | {"skip_pre_loop": str(self._request.skip_pre_loop)}

    async def open(self, runner: Runner, stack: AsyncExitStack) -> list[Workflow]:
        """The workflows, ready to run."""
        return [self._workflow(name, runner) for name in self._request.names]

    def _workflow(self, name: str, runner: Runner) -> Workflow:
        request, registered = self._request, self._registered
        flow = Dataflow(
            name=name,
            stages=self._stages,
            criterion=registered.criterion,
            rule=registered.rule,
            uncertainty_operator=self._operator,
            model_names=request.model_names,
            num_predictions=request.num_predictions,
            skip_pre_loop=request.skip_pre_loop,
        )
        return make_workflow(request, name, DataflowRounds(flow, runner), registered.criterion)
