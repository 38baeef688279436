"""Follow runs in ClearML: a task for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rose.integrations._told import failed, missing, parameters, told
from rose.learners.tracking import PipelineManifest, TrackerBase


class ClearMLTracker(TrackerBase):
    """Report parameters, scalars and tags to a ClearML task; ClearML has one at a time in a process.

    Scalars are the criterion's value by its name, every number of the state, and `config/STAGE/NAME` of configurations,
    whose texts are parameters; workflows are series of one plot. `stop:REASON` and `final_iter:N` are tags. A run that
    is resumed has a new task, with all its iterations; what its tasks have in common is the tag `run:ID`.

    A subclass may use `_task` and `_logger`, ClearML's own, from `on_start` to `on_stop`.

    Args:
        project_name: the project.
        task_name: None: the learner's class.
        learner_names: what series are called, by the number of the workflow, where workflows are numbered.

    Raises:
        ImportError: if ClearML is not installed.
    """

    _task: Any = None
    _logger: Any = None

    def __init__(
        self,
        project_name: str = "rose",
        task_name: str | None = None,
        learner_names: Sequence[str] | None = None,
    ) -> None:
        try:
            import clearml  # noqa: F401  # now, in the program's thread
        except ImportError as error:
            raise ImportError(missing("clearml", "ClearMLTracker")) from error
        self._project_name = project_name
        self._task_name = task_name
        self._learner_names = list(learner_names or ())
        self._texts: dict[str, str] = {}

    def on_start(self, manifest: PipelineManifest) -> None:
        """Begin a task, and report what the run is made of."""
        from clearml import Task

        # A fork of this process would hold its locks and files; threads report as well, and are ended faster.
        Task._report_subprocess_enabled = False
        self._task = Task.init(
            project_name=self._project_name,
            task_name=self._task_name or manifest.learner_type,
            reuse_last_task_id=False,
            auto_connect_arg_parser=False,
            auto_connect_frameworks=False,
            auto_connect_streams=False,
            auto_resource_monitoring=False,
        )
        self._logger = self._task.get_logger()
        self._texts = {}
        self._task.set_parameters(parameters(manifest, "/"))
        if manifest.run is not None:
            self._task.add_tags([f"run:{manifest.run}"])

    def on_iteration(self, state: Any) -> None:
        """Report a state's numbers."""
        said, series = told(state), self._series(state.learner_id)
        for name, value in said.numbers.items():
            self._logger.report_scalar(title=name, series=series, value=value, iteration=state.iteration)
        prefix = "" if state.learner_id is None else f"{series}/"
        for name, text in said.texts.items():
            if self._texts.get(prefix + name) != text:
                self._texts[prefix + name] = text
                self._task.set_parameter(prefix + name, text)

    def on_stop(self, final_state: Any | None, reason: str) -> None:
        """End the task, as failed after an error."""
        last = [] if final_state is None else [f"final_iter:{final_state.iteration}"]
        self._task.add_tags([f"stop:{reason}", *last])
        if failed(reason):
            self._task.mark_failed(status_reason=str(reason))
        self._task.close()

    def _series(self, workflow: str | int | None) -> str:
        if workflow is None:
            return "value"
        names = self._learner_names
        return names[workflow] if isinstance(workflow, int) and 0 <= workflow < len(names) else str(workflow)
