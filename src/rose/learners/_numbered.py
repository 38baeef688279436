"""Number the workflows of learners that run several copies of one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rose.errors import ConfigurationError
from rose.loop import checks
from rose.stages.config import LearnerConfig

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
