"""Write to MLflow's runs: one for each of ROSE's, and within it one for each of several workflows."""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from rose.integrations._told import Told, failed, same

_METRICS, _OTHERS = 1000, 100  # that MLflow takes at once
_RUN = "rose.run"  # the tag by which a resumed run finds its own


class MLflowRuns:
    """Write to MLflow what one tracker is told, as it comes from the driver.

    Args:
        experiment: its name; it is made if there is none.
        uri: of the server or database; None: what MLflow is told otherwise.

    Raises:
        MlflowException: if there is no such database. A new one is set up, which takes seconds.
    """

    def __init__(self, experiment: str, uri: str | None) -> None:
        from mlflow import MlflowClient

        self._experiment_name = experiment
        self._client: Any = MlflowClient(uri)
        self._experiment = ""
        self._runs: dict[str | int | None, _Run] = {}  # by workflow; None: the outer one

    def start(self, name: str, run: str | None, params: Mapping[str, Any]) -> None:
        """Begin a run, or go on in the one that an earlier program began; log what it is made of."""
        self._experiment = self._experiment_id()
        self._runs = {}
        outer = self._begin(None, name, {} if run is None else {_RUN: run})
        outer.set_params(params)
        outer.write()

    def iteration(self, workflow: str | int | None, iteration: int, said: Told) -> None:
        """Note a state, to be written a moment later."""
        outer = self._runs[None]
        if workflow is None:
            outer.note(said, iteration)
            return
        if workflow not in self._runs:
            ours = {"mlflow.parentRunId": outer.id, "rose.workflow": str(workflow)}
            self._begin(workflow, str(workflow), ours)
        self._runs[workflow].note(said, iteration)
        outer.note(said, iteration, f"{workflow}/")

    def idle(self) -> None:
        """Write what was noted."""
        for run in self._runs.values():
            run.write()

    def end(self, workflow: str | int | None, iteration: int | None, reason: str) -> None:
        """End a workflow's run, or (None) the whole."""
        if workflow is None:
            self.idle()
        if workflow in self._runs:
            self._runs[workflow].end(iteration, reason)

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self._experiment_name
        found = self._client.get_experiment_by_name(name)
        try:
            return str(self._client.create_experiment(name) if found is None else found.experiment_id)
        except MlflowException:  # another process was first
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _begin(self, workflow: str | int | None, name: str, tags: Mapping[str, str]) -> _Run:
        """Begin a run, or go on in the last one that has these tags."""
        found = None
        if tags:
            wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in _quotable(tags))
            found = next(iter(self._client.search_runs([self._experiment], wanted, max_results=1)), None)
        begun = found or self._client.create_run(self._experiment, tags=dict(tags), run_name=name)
        run = self._runs[workflow] = _Run(self._client, begun.info.run_id)
        if found is not None:
            run.go_on(found)
        return run


def _quotable(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, value.replace("'", "''")) for key, value in tags.items())


class _Run:
    """Log to one MLflow run, many metrics at once."""

    def __init__(self, client: Any, run: str) -> None:
        self.id = run
        self._client = client
        self._known: dict[tuple[str, int], float] = {}  # what earlier programs have logged
        self._params: dict[str, str] = {}  # of earlier programs, which cannot be changed
        self._tags: dict[str, str] = {}
        self._noted: dict[str, list[Any]] = defaultdict(list)  # metrics, params and tags, not written yet

    def go_on(self, found: Any) -> None:
        """Go on in a run of an earlier program."""
        self._client.update_run(self.id, status="RUNNING")
        self._params, self._tags = dict(found.data.params), dict(found.data.tags)
        for name in found.data.metrics:
            self._known |= {(name, m.step): _kept(m.value) for m in self._client.get_metric_history(self.id, name)}

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; one that a resumed run has changed is a tag beside what it was."""
        from mlflow.entities import Param

        for name, value in params.items():
            key, text = _key(name), str(value)[:6000]
            if key not in self._params:
                self._noted["params"].append(Param(key, text))
            elif self._params[key] != text:
                self.set_tag(key, text)

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag, if it is not what it is already."""
        from mlflow.entities import RunTag

        if self._tags.get(key := _key(name)) != value:
            self._tags[key] = value
            self._noted["tags"].append(RunTag(key, value[:5000]))

    def note(self, said: Told, step: int, prefix: str = "") -> None:
        """Note metrics, but for those that are logged already, and tags."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for name, value in said.numbers.items():
            key = _key(prefix + name)
            if not same(self._known.get((key, step)), _kept(value)):
                self._noted["metrics"].append(Metric(key, value, now, step))
        for name, text in said.texts.items():
            self.set_tag(prefix + name, text)

    def write(self) -> None:
        """Write what was noted."""
        noted, self._noted = self._noted, defaultdict(list)
        for what, at_once in (("metrics", _METRICS), ("params", _OTHERS), ("tags", _OTHERS)):
            for first in range(0, len(noted[what]), at_once):
                self._client.log_batch(self.id, **{what: noted[what][first : first + at_once]})

    def end(self, iteration: int | None, reason: str) -> None:
        """Write what is left, and why it ended, after which iteration."""
        self.set_tag("stop_reason", reason)
        if iteration is not None:
            self.set_tag("final_iteration", str(iteration))
        self.write()
        self._client.set_terminated(self.id, "FAILED" if failed(reason) else "FINISHED")


def _key(name: str) -> str:
    """Return a name as MLflow takes it: a path of letters, digits and some signs.

    >>> _key("config/simulation/--n"), _key("acc@5"), _key("../a//b")
    ('config/simulation/--n', 'acc_5', 'a/b')
    """
    parts = re.sub(r"[^/\w.\- :]", "_", name).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))[:250] or "_"


def _kept(value: float) -> float:
    """Return a value as MLflow's databases keep it: an infinite one as the largest."""
    return max(min(value, sys.float_info.max), -sys.float_info.max)
