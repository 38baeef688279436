"""Run a program that is a file, as it is or with other values."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from rose.errors import ConfigurationError, near_miss
from rose.loop.state import Results
from rose.spec.builder import LearnerBuilder, read_program
from rose.spec.loading import Source, validated
from rose.spec.schema import LearnerSpec, Program, WorkflowConfig

NOT_REMOTE = (
    "execution by RADICAL's services is not ours. Run it here, `rose run FILE --local`, in a batch job of as many "
    "nodes as it needs, or give the learner an engine: a Dask cluster, a WorkflowEngine, an executor"
)


class WorkflowSpec:
    """Hold a program, which can be run, and made another one of."""

    def __init__(self, config: Program) -> None:
        self.config = config

    @property
    def workflow(self) -> Callable[..., Coroutine[Any, Any, Results]]:
        """Return what runs the program when it is called and awaited, and gives what was learned.

        It takes `(broker_url, endpoint_name)` as ROSE's does, which must be None: services are not ours. And `engine`,
        which is shut down at the end.
        """

        async def run(broker_url: None = None, endpoint_name: None = None, *, engine: Any = None) -> Results:
            if broker_url is not None or endpoint_name is not None:
                raise ConfigurationError(NOT_REMOTE)
            builder = LearnerBuilder(self.config, engine)
            learner = builder.build()
            try:
                async for _ in learner.start(**builder.arguments()):
                    pass
                return learner.learner_results
            finally:
                await learner.shutdown()

        return run

    def workflow_with(self, **overrides: Any) -> WorkflowSpec:
        """Return a program that is as this one but for some values.

        Args:
            **overrides: `parameters`, which are added to those there are; `max_iter` and the like of `learner`; or any
                other key of the top level.

        Raises:
            ConfigurationError: if there is no such key, or the value cannot be.
        """
        kind = type(self.config)
        data = self.config.model_dump(exclude_unset=True)
        of_learner = LearnerSpec.model_fields if isinstance(self.config, WorkflowConfig) else {}
        if "learners" in data:  # which count by themselves
            data["learner"].pop("parallel_learners", None)
        for name, value in overrides.items():
            if name == "parameters" and isinstance(value, Mapping):
                data["parameters"] = {**self.config.parameters, **value}
            elif name in of_learner:
                data["learner"] = {**data["learner"], name: value}
            elif name in kind.model_fields:
                data[name] = value
            else:
                known = (*of_learner, *kind.model_fields)
                raise ConfigurationError(f"workflow_with({name}=...): there is no such key; {near_miss(name, known)}")
        source = Source("workflow_with()", self.config.directory, data)
        made = validated(kind, source)
        made._source = source
        return WorkflowSpec(made)


def load_spec(path: str | Path, validate_imports: bool = False) -> WorkflowSpec:
    """Read a program that is a file.

    Args:
        path: a YAML file.
        validate_imports: whether the functions that it names are imported, to see that they are there.

    Raises:
        OSError: if there is no such file.
        ConfigurationError: if it is no program, or a function cannot be imported; the message has the line.
    """
    config = read_program(path)
    if validate_imports:
        LearnerBuilder(config).check_imports()
    return WorkflowSpec(config)
