"""Load what was learned, from a run directory or from saved results: `rose.load`."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rose.engine import TaskKey
from rose.errors import NotPlainError, RunDirectoryError
from rose.loop.protocol import Outcome
from rose.loop.saved.directory import MANIFEST, SavedWorkflow, checked, read_saved
from rose.loop.saved.frames import Entry
from rose.loop.saved.watched import paired
from rose.loop.state import ENOUGH, IterationState, Results, WorkflowResult
from rose.paths import expanded
from rose.stages.kinds import TRAINING
from rose.stages.reporting import Note
from rose.stages.runner import collecting
from rose.store import (
    DriverStarted,
    IterationDone,
    Result,
    TaskRecord,
    WorkflowStopped,
    as_label,
    given,
    holds_run,
    later,
    stacked,
)
from rose.store.recorded import RecordedRun, read_recorded
from rose.store.safe_unpickle import load_plainly


def load(path: str | os.PathLike[str]) -> Results:
    """Load what was learned: from a run directory (living, finished or dead), or from results that were saved.

    The program that made it is not needed, and nothing is changed there. Histories, and which candidates have labels,
    are read at once; labels, models and what predicts when they are asked for. A run that goes on frees the models of
    earlier rounds: load it again for the newest.

    Models are pickles, and to read one runs its code, as `pickle.load` does. They are read only from the directory that
    you name, each checked against its digest: name none that others can write whom you do not trust. Histories run no
    code.

    Args:
        path: a run directory (`run_dir=`), or where `results.save` wrote.

    Returns:
        The results by workflow, as `learner.run(...)` gives them: `models`, `labels`, `indices`, `curves`,
        `iterations`, `predict(X)`, `to_frame()`; where there is one workflow, `predict(X)` of the whole is its.

    Raises:
        RunDirectoryError: if there is neither a run nor saved results, or they are of a newer format.
        CorruptRunError: if what is there is damaged.
        MissingDefinitionError, OtherPythonError: when a model is asked for, if it is of a class that cannot be imported
            here, or holds code of another Python.

    Example:
        >>> import numpy as np, rose, tempfile
        >>> from sklearn.linear_model import Ridge
        >>> learner = rose.SeqUQLearner(1, pool=rose.Pool(np.linspace(0.0, 1.0, 50)[:, None], initial=5))
        >>> learner.models(a=Ridge(), b=Ridge(alpha=1e-3))
        >>> @learner.simulation_task(as_executable=False)
        ... def simulate(x):
        ...     return float(x[0]) ** 2
        >>> _ = learner.uncertainty_quantification(uq_metric_name="predictive_variance", query_size=5)
        >>> result = learner.run(max_iter=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved = result.save(folder + "/surrogate")
        ...     again = rose.load(saved)
        ...     same = again.predict([[0.5]]).mean == result.predict([[0.5]]).mean
        >>> bool(same), len(again["UQLearner"].indices)
        (True, 10)
    """
    place = expanded(path, "path").absolute()
    if (place / MANIFEST).is_file():
        found = read_saved(place)
    elif holds_run(place):
        found = _of_run(read_recorded(place))
    else:
        inside = sorted(one.parent.name for one in place.glob(f"*/{MANIFEST}")) if place.is_dir() else []
        there = "it holds" if place.is_dir() else "there is"
        hint = f" (but {inside[0]!r} in it does: name that)" if inside else ""
        raise RunDirectoryError(f"{str(place)!r}: {there} neither a run nor saved results{hint}; see `rose runs`")
    return paired(Results({one.name: _result(one) for one in found}))


def _result(saved: SavedWorkflow) -> WorkflowResult:
    result = WorkflowResult(saved.name, saved)
    history = [Entry(one) for one in saved.iterations]
    result.update(stop_reason=saved.stop_reason, error=saved.error, iterations=history)
    result.settings = saved.settings
    if history:
        result.state = _state(saved, history)
    return result


def _state(saved: SavedWorkflow, history: Sequence[Entry]) -> IterationState:
    """Return the last state as the history tells it; what tasks reported is not in it."""
    last = history[-1]
    values = last.get("criterion_values")
    state = {
        "uq_value": last["uncertainty"],
        "criterion_values": None if values is None else list(values.values()),
        "selection": last.get("selection"),
        "labels": last.get("labels"),
        "holdout": last.get("holdout"),
    }
    return IterationState(
        iteration=last["iteration"],
        metric_name=saved.metric_name,
        metric_value=last["metric"],
        metric_threshold=saved.metric_threshold,
        metric_history=[one["metric"] for one in history if one["metric"] is not None],
        should_stop=saved.stop_reason in ENOUGH,
        learner_id=saved.name,
        state={name: value for name, value in state.items() if value is not None},
        workflow=saved.name,
    )


def _of_run(run: RecordedRun) -> list[SavedWorkflow]:
    """Return what a run has learned, workflow by workflow, those of its last driver first."""
    names: dict[str, None] = {}
    metrics: dict[str, str | None] = {}
    ends: dict[str, WorkflowStopped] = {}
    for event in run.events:
        if isinstance(event, DriverStarted):
            names, ends = dict.fromkeys(event.workflows), {}
        elif isinstance(event, WorkflowStopped):
            ends[event.workflow] = event
        elif isinstance(event, IterationDone):
            metrics[event.workflow] = event.metric_name
    names |= dict.fromkeys(run.iterations)
    return [_of_workflow(run, name, metrics.get(name), ends.get(name)) for name in names]


def _of_workflow(run: RecordedRun, name: str, metric_name: str | None, end: WorkflowStopped | None) -> SavedWorkflow:
    history: list[dict[str, Any]] = []
    indices: list[int] = []
    contents: list[bytes] = []
    said: dict[str, Any] = {}
    for row in run.iterations.get(name, ()):
        record = _plain(row.record)
        if record is None:
            continue
        outcome, left = Outcome.from_record(record["outcome"]), record["checkpoint"]
        history.append(outcome.entry(row.iteration))
        new = zip(left.get("arrived", ()), left.get("contents", ()), strict=True)
        labelled = [(index, content) for index, content in new if index not in outcome.dropped]
        indices += [index for index, _ in labelled]
        contents += [content for _, content in labelled]
        if "predictor" in left or "unkept" in left:
            said.clear()
        said |= {"learned": row.iteration, "conformal": None, **left}
    whose = f"of workflow {name!r} in {str(run.path)!r}"
    versions = said.get("versions") or {}
    predictor = None
    if "predictor" in said:
        what = f"the prediction function {whose}"
        predictor = checked(Result(None, said["predictor"], what=what), what, versions)
        predictor = _at(predictor, said["learned"], said.get("conformal"))
    return SavedWorkflow(
        name=name,
        stop_reason=None if end is None else end.reason,
        error=None if end is None else end.error,
        iterations=history,
        metric_name=metric_name,
        models=_models(run, name, said, whose, versions),
        indices=np.array(indices, dtype=np.int64),
        labels=later(lambda: _labels(run, indices, contents)) if indices else given(np.empty(0)),
        predictor=predictor,
        unkept=said.get("unkept"),
        versions=versions,
        settings=run.settings.get(name, {}),
    )


def _at(predictor: Result, iteration: int, conformal: Mapping[str, Any] | None) -> Result:
    """Return what predicts as in that iteration: it was recorded in an earlier one, and has not changed since."""
    return later(lambda: predictor.load().at(iteration, conformal))


def _plain(data: bytes | None) -> Any:
    return None if data is None else load_plainly(io.BytesIO(data))


def _models(
    run: RecordedRun, name: str, said: Mapping[str, Any], whose: str, versions: Mapping[str, str]
) -> dict[str, Result]:
    found = {}
    for model in said.get("members", ()):
        key = TaskKey(name, said["learned"], TRAINING.name, model)
        record, collected = run.carried.get(str(key)), run.carried.get(str(collecting(key)))
        what = f"model {model!r} {whose}"
        if record is None:
            continue
        directory = _directory(run.path, record)
        if collected is not None:
            found[model] = checked(run.model(collected, what), what, versions)
        elif directory is not None:
            found[model] = given(directory)
        elif record.value is not None or record.file is not None:
            found[model] = checked(run.model(record, what), what, versions)
    return found


def _directory(run: Path, record: TaskRecord) -> Path | None:
    """Return where a command has worked, which is its model where nothing was collected; None of a function."""
    try:
        note = _plain(record.note)
    except NotPlainError:  # what a function has reported: a command reports nothing
        return None
    workdir = None if note is None else Note(*note).workdir
    return None if workdir is None else run / workdir


def _labels(run: RecordedRun, indices: Sequence[int], contents: Sequence[bytes]) -> Any:
    found = []
    for index, content in zip(indices, contents, strict=True):
        record = run.labels.get(content)
        if record is None:
            raise RunDirectoryError(f"the label of candidate {index} is not in {str(run.path)!r} any more")
        found.append(as_label(run.result(record, f"the label of candidate {index}").load()))
    array = stacked(found)
    return found if array is None else array
