"""Make workflows of ROSE's dataflow ready to run, and find what can be known to be wrong before anything runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import cached_property

from rose.dataflow._calls import check_calls, tell_of_the_untold
from rose.dataflow.uq import UQLoop
from rose.errors import ConfigurationError
from rose.loop import checks
from rose.loop.changes import Code, code_of, identity_of
from rose.loop.identity import check_configured
from rose.loop.protocol import Loop, RunRequest
from rose.stages.kinds import KINDS
from rose.stages.runner import Runner
from rose.stages.stage import Registered, Stage

_log = logging.getLogger("rose")


class DataflowPlan:
    """Plan workflows of ROSE's dataflow; `variants` are the stages as their tasks may see them, by name.

    Raises:
        ConfigurationError: if a stage is missing or nothing would ever end the run.
        BindingError: if a stage's function cannot take what it will be given.
    """

    labels = False
    endless = False  # whether it may go on until it is stopped
    # The stages without which it cannot be played.
    needs: tuple[str, ...] = ("simulation", "training", "prediction", "active_learn")

    def __init__(self, request: RunRequest) -> None:
        self.request = request
        if request.limits.budget is not None:
            raise ConfigurationError(
                "budget= counts the labels of a pool; without a pool they are your files: use max_iter"
            )
        self.variants: dict[str, Stage] = {}
        for names, registered in request.by_stages():
            self._check_registered(registered)
            if registered.stop_rules:
                raise ConfigurationError(
                    "stop_when(...) looks at predictions over a pool, and there is none: give the learner "
                    "pool=rose.Pool(X), or say when to stop by as_stop_criterion or uncertainty_quantification"
                )
            stages = registered.all_stages()
            tell_of_the_untold(stages, len(request.model_names), request.num_predictions)
            for name in names:
                self._check_config(name, stages)
            configs = {name: request.configs[name] for name in names}
            where = "" if len(names) == len(request.names) else f"workflow {names[0]!r}: "
            for name, stage in checks.check_options(stages.values(), configs, request.model_names).items():
                self.variants[where + name] = stage
        for name, stage in self.variants.items():
            if stage.row.label and stage.on_failure == "drop":
                raise ConfigurationError(
                    f"{name}: without a pool there are no candidates to drop, and a round cannot do without its "
                    "simulation; use retries=, or give the learner a pool"
                )

    @cached_property
    def code(self) -> Code:
        """Return the user's functions."""
        return code_of(self.request)

    @property
    def identity(self) -> dict[str, str]:
        """Return what a resumed run must have been begun with, by name."""
        return identity_of(self.request, self.code) | {"skip_pre_loop": str(self.request.skip_pre_loop)}

    async def open(self, runner: Runner, stack: AsyncExitStack) -> Mapping[str, Loop]:
        """Return the loops, ready to be played."""
        return {name: self.make_loop(name, runner) for name in self.request.names}

    def make_loop(self, name: str, runner: Runner) -> Loop:
        """Return the loop of one workflow; a plan of another loop overrides this, and `needs`."""
        return UQLoop(name, self.request.stages[name], self.request, runner)

    def upstream(self, kind: str, iteration: int) -> int | None:
        """Return how many results of earlier stages a stage is given in an iteration; None: it is not called in it.

        A plan of a loop whose results travel otherwise overrides this; from iteration 1 on it is the same.
        """
        row = KINDS[kind]
        if iteration or not self.request.skip_pre_loop:
            return row.upstream
        registered = self.request.stages[self.request.names[0]].all_stages()
        begins = next((name for name in KINDS if name in registered and not KINDS[name].pre_loop), None)
        return None if row.pre_loop else 0 if kind == begins else row.upstream

    def _check_registered(self, registered: Registered) -> None:
        checks.check_stages(registered.stages, self.needs)
        rule, criterion, limits = registered.rule, registered.criterion, self.request.limits
        for what, found in (("uncertainty_quantification", rule), ("as_stop_criterion", criterion)):
            if found is not None and found.stage is None:
                raise ConfigurationError(f"{what} decorates no function; only a learner with a pool can do without one")
        if not (self.endless or limits.max_iter or limits.max_time is not None or criterion is not None):
            raise ConfigurationError("nothing would end the run: give max_iter, or register a stop criterion")
        if rule is not None and not rule.query_size:
            _log.warning("query_size=0 means nothing: without a pool, your own functions choose, and how many")

    def _check_judged(self, registered: Registered, learner: str) -> None:
        """Check what ends the run of a learner that has one model, and so no uncertainty."""
        limits = self.request.limits
        if not (self.endless or limits.max_iter or limits.max_time is not None or registered.criterion is not None):
            raise ConfigurationError(
                "Either max_iter > 0 or criterion_function must be provided. Register one with "
                "@learner.as_stop_criterion(...)"
            )
        if registered.rule is not None:
            raise ConfigurationError(f"uncertainty_quantification: {learner} scores nothing; rose.SeqUQLearner does")

    def _check_config(self, name: str, stages: Mapping[str, Stage]) -> None:
        request, config = self.request, self.request.configs[name]
        check_configured(config, f"workflow {name!r}: ", strict=False)
        check_calls(stages, config, request.limits.max_iter, self.upstream)
        for field in ("uq_metric_name", "query_size", "threshold", "acquisition", "seed"):
            if getattr(config, field, None) is not None:
                raise ConfigurationError(
                    f"workflow {name!r}: {field}= needs a pool; without one your own functions score and choose"
                )
