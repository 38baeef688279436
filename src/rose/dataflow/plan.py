"""Workflows of ROSE's dataflow, ready to run; what can be known to be wrong is found here, before anything runs."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from functools import cached_property

from rose.dataflow.base import Dataflow, DataflowRounds
from rose.dataflow.calls import check_calls, tell_of_the_untold
from rose.errors import ConfigurationError, UnknownMetricError
from rose.loop import checks
from rose.loop.changes import Code, code_of, identity_of
from rose.loop.identity import check_configured
from rose.loop.protocol import Request, make_workflow
from rose.loop.workflow import Workflow
from rose.scoring import get_metric
from rose.stages.runner import Runner
from rose.stages.stage import Registered

_log = logging.getLogger("rose")


class DataflowPlan:
    """Workflows of ROSE's dataflow; `variants` are the stages as their tasks may see them, by name.

    Raises:
        ConfigurationError: if a stage is missing or nothing would ever end the run.
        BindingError: if a stage's function cannot take what it will be given.
    """

    rounds: type[DataflowRounds] = DataflowRounds  # a loop with more stages brings its own

    def __init__(self, registered: Registered, request: Request) -> None:
        checks.check_stages(registered.stages, ("simulation", "training", "prediction", "active_learn"))
        self._registered = registered
        self._request = request
        self._stages = registered.all_stages()
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
            if stage.row.label and stage.on_failure == "drop":
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
        return make_workflow(request, name, self.rounds(flow, runner), registered.criterion)
