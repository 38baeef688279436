"""Follow runs in MLflow, through a process that writes for all trackers of this one: MLflow computes for long."""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from typing import Any

from rose.integrations._mlflow_writer import Writer, surroundings, writer
from rose.integrations._told import missing, parameters, told
from rose.learners.tracking import PipelineManifest, TrackerBase

_numbers = itertools.count()


class MLflowTracker(TrackerBase):
    """Log parameters, metrics and tags to MLflow, in a process of its own: no run is made the active one.

    Params are what the run is made of (`learner_type`, `criterion/threshold`, `task.training.as_executable`, ...),
    metrics the criterion's value by its name, every number of the state, and `config/STAGE/NAME` of configurations,
    whose texts are tags; `stop_reason` and `final_iteration` are tags. Of several workflows each has a nested run of
    its own, and in the outer one its metrics begin with `WORKFLOW/`.

    A run that is resumed goes on in its MLflow run, and no metric is logged twice.

    The process that writes begins with the first tracker, and ends with this one, however that ends, when it has
    written what it was told.

    Args:
        experiment_name: which is made if there is none; None: what MLFLOW_EXPERIMENT_NAME says, or "rose".
        run_name: None: the learner's class.
        tracking_uri: of the server or database; None: what MLflow is told otherwise (MLFLOW_TRACKING_URI, ...).

    Raises:
        ImportError: if MLflow is not installed.
        MlflowException: if there is no such database. A new one is set up, which takes seconds.
    """

    def __init__(
        self, experiment_name: str | None = None, run_name: str | None = None, *, tracking_uri: str | None = None
    ) -> None:
        _check_installed()
        self._run_name = run_name
        self._number = next(_numbers)
        loaded: Any = sys.modules.get("mlflow")
        if tracking_uri is None and loaded is not None:  # the program may have said it to MLflow
            tracking_uri = loaded.get_tracking_uri()
        name = experiment_name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "rose"
        self._opening = (name, tracking_uri)
        self._where = surroundings()
        self._writer: Writer | None = None  # the one that knows it
        self._tell("idle", waits=True)

    def on_start(self, manifest: PipelineManifest) -> None:
        """Begin a run, or go on in the one that an earlier program began; log what it is made of."""
        params = {name: str(value) for name, value in parameters(manifest, ".").items()}
        self._tell("start", self._run_name or manifest.learner_type, manifest.run, params, waits=True)

    def on_iteration(self, state: Any) -> None:
        """Have a state noted, to be written a moment later."""
        self._tell("iteration", state.learner_id, state.iteration, told(state))

    def on_idle(self) -> None:
        """Have written what was noted."""
        self._tell("idle", waits=True)

    def on_workflow_stop(self, learner_id: str | int, final_state: Any | None, reason: str) -> None:
        """Have a workflow's run ended."""
        self._tell("end", learner_id, None if final_state is None else final_state.iteration, str(reason))

    def on_stop(self, final_state: Any | None, reason: str) -> None:
        """Have the run ended, as FAILED after an error."""
        self._tell("end", None, None if final_state is None else final_state.iteration, str(reason), waits=True)

    def _tell(self, method: str, *arguments: Any, waits: bool = False) -> None:
        now = writer(self._where)
        if self._writer is not now:  # it has not heard of this tracker
            now.tell(self._number, "open", self._opening, waits=True)
            self._writer = now
        now.tell(self._number, method, arguments, waits=waits)


def _check_installed() -> None:
    """Look for MLflow without importing it, which takes seconds.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        found = importlib.util.find_spec("mlflow")
    except ValueError:  # what stands in its place is no module
        found = None
    if found is None:
        raise ImportError(missing("mlflow", "MLflowTracker"))
