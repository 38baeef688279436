"""Give learners that run one program, or several copies of it, what they have in common: requests, names, numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from rose.errors import ConfigurationError
from rose.learners.custom import SubmittingLearner
from rose.loop import checks
from rose.loop.changes import AcceptChanges
from rose.loop.limits import check_limits
from rose.loop.protocol import RunRequest
from rose.loop.state import IterationState
from rose.stages.config import LearnerConfig

R = TypeVar("R")
Configure = Callable[[LearnerConfig | None, str], LearnerConfig]


@dataclass(frozen=True)
class Numbered:
    """Name workflows 0, 1, ... as a `RunRequest` wants it.

    Attributes:
        names: the texts of the numbers.
        ids: the numbers by name, which states carry as `learner_id`.
        configs: the configurations by name.
    """

    names: tuple[str, ...]
    ids: dict[str, int]
    configs: dict[str, LearnerConfig]


def numbered(
    parallel_learners: int,
    learner_configs: Sequence[LearnerConfig | None] | None,
    configure: Configure,
    alone: str,
) -> Numbered:
    """Return the numbers, names and configurations of so many workflows.

    Args:
        parallel_learners: how many, at least two.
        learner_configs: one for each, None for an empty one; None: all are empty.
        configure: checks one (`Learner._config`).
        alone: the class that runs one workflow.

    Raises:
        ConfigurationError: if there are too few, or not as many configurations.
    """
    count = checks.check_count(parallel_learners, "parallel_learners", 1)
    if count < 2:
        raise ConfigurationError(f"For single learner, use {alone}; parallel_learners must be 2 or more")
    if learner_configs is not None and (isinstance(learner_configs, str) or not isinstance(learner_configs, Sequence)):
        raise ConfigurationError(f"learner_configs must be a list, one for each learner, got {learner_configs!r}")
    given = [None] * count if learner_configs is None else list(learner_configs)
    if len(given) != count:
        raise ConfigurationError(
            f"learner_configs length must match parallel_learners: {len(given)} for {count} learners; None stands for "
            "an empty one"
        )
    names = tuple(map(str, range(count)))
    configs = {name: configure(config, "learner_configs") for name, config in zip(names, given, strict=True)}
    return Numbered(names, {name: number for number, name in enumerate(names)}, configs)


class DataflowLearner(SubmittingLearner[R]):
    """Hold what learners of one dataflow have in common, which have no ensemble.

    Args:
        asyncflow: what executes tasks: a WorkflowEngine, or what `rose.learners.base.Learner` takes as `engine`.
        register_and_submit: whether calling a decorated function submits it; None: as the class does.
        run_dir, resume, accept_changes, keep_models: as `rose.learners.base.Learner` says.

    Raises:
        ConfigurationError: if one of them cannot be.
    """

    submits = False  # whether calling a decorated function submits it
    learner_id: int | None = None  # a program's own; states of workflows side by side have theirs

    def __init__(
        self,
        asyncflow: Any = None,
        register_and_submit: bool | None = None,
        *,
        run_dir: str | Path | None = None,
        resume: bool | Literal["new"] = True,
        accept_changes: AcceptChanges = False,
        keep_models: int = 1,
    ) -> None:
        told: dict[str, Any] = {"run_dir": run_dir, "resume": resume, "accept_changes": accept_changes}
        submits = self.submits if register_and_submit is None else register_and_submit
        super().__init__(asyncflow, submits, keep_models=keep_models, **told)

    def get_current_state(self, learner_name: str | int | None = None) -> IterationState | None:
        """Return the state after the last iteration of a workflow (None: of the first one); None: there was none."""
        for workflow in self._workflows:
            if learner_name is None or workflow.name == str(learner_name):
                return workflow.state
        return None

    def get_max_iterations(self) -> int | None:
        """Return the most iterations that the last run may have; None: any number, or nothing was run."""
        return (self._workflows[0].limits.max_iter or None) if self._workflows else None

    def _request(
        self,
        configs: Mapping[str, LearnerConfig],
        max_iter: int,
        max_time: float | None,
        skip_pre_loop: bool,
        ids: Mapping[str, int] | None = None,
    ) -> RunRequest:
        """Return the request of workflows with these configurations."""
        return RunRequest(
            names=tuple(configs),
            stages=dict.fromkeys(configs, self.registered()),
            model_names=(),
            num_predictions=1,
            configs=configs,
            limits=check_limits(max_iter, None, max_time),
            skip_pre_loop=bool(skip_pre_loop),
            learner_ids=ids is not None,
            ids=ids or {},
            hooks=self.hooks(),
        )

    def _only(
        self, initial_config: LearnerConfig | None, learner_config: LearnerConfig | None
    ) -> dict[str, LearnerConfig]:
        """Return the configuration of the one workflow, by its name; ROSE calls it so or so."""
        if initial_config is not None and learner_config is not None:
            raise ConfigurationError("initial_config and learner_config are one thing: give one of them")
        if learner_config is not None:
            return {self.learner_name: self._config(learner_config, "learner_config")}
        return {self.learner_name: self._config(initial_config, "initial_config")}
