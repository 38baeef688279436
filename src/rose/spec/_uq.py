"""Give ROSE's UQ learners what their file says, so that they start as the other learners of files do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rose.errors import ConfigurationError
from rose.learners import uq
from rose.loop.protocol import Plan
from rose.stages.config import LearnerConfig


class SeqUQLearner(uq.SeqUQLearner):
    """Run one workflow; the models and the number of predictions are its file's, where the caller does not say."""

    of_file: Mapping[str, Any] = MappingProxyType({})

    def plan(
        self,
        model_names: Sequence[str] | None = None,
        *args: Any,
        initial_config: LearnerConfig | None = None,
        **kwargs: Any,
    ) -> Plan:
        """Check all that is asked for, as `rose.SeqUQLearner.plan`; `initial_config` is its `learning_config`."""
        if initial_config is not None:
            kwargs["learning_config"] = initial_config
        said = {"model_names": model_names} if model_names is not None else {}
        return super().plan(*args, **{**self.of_file, **said, **kwargs})


class ParallelUQLearner(uq.ParallelUQLearner):
    """Run workflows 0, 1, ...; the models and the number of predictions are the file's."""

    of_file: Mapping[str, Any] = MappingProxyType({})

    def plan(  # type: ignore[override]
        self,
        parallel_learners: int = 2,
        *,
        learner_configs: Sequence[LearnerConfig | None] | None = None,
        **kwargs: Any,
    ) -> Plan:
        """Check all that is asked for, as `rose.ParallelUQLearner.plan`, of so many workflows.

        Raises:
            ConfigurationError: also if there are not as many configurations.
        """
        if learner_configs is not None and len(learner_configs) != parallel_learners:
            raise ConfigurationError(
                f"there are {len(learner_configs)} learner_configs for {parallel_learners} learners"
            )
        names = list(range(parallel_learners))
        configs = None if learner_configs is None else dict(enumerate(learner_configs))
        return super().plan(names, **{**self.of_file, "learner_configs": configs, **kwargs})
