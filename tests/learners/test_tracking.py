"""What trackers are told of runs: of what they are made, which iterations are replayed, how each workflow ended."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rose import Learner, SeqUQLearner
from rose.engine import ThreadEngine
from rose.errors import ChangedRunError, RunFailedError
from rose.learners.tracking import TRACKERS
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY
from rose.tracking import JSONTracker, PipelineManifest, TrackerBase
from tests.integrations import runs
from tests.programs import dataflow, teach


class Notes(TrackerBase):
    def __init__(self) -> None:
        self.manifests: list[PipelineManifest] = []
        self.told: list[Any] = []
        self.ends: dict[Any, Any] = {}

    def on_start(self, manifest: PipelineManifest) -> None:
        self.manifests.append(manifest)

    def on_iteration(self, state: Any) -> None:
        self.told.append((state.learner_id, state.iteration, state.replayed))

    def on_workflow_stop(self, learner_id: Any, final_state: Any, reason: str) -> None:
        self.ends[learner_id] = (final_state and final_state.iteration, reason)

    def on_stop(self, final_state: Any, reason: str) -> None:
        self.told.append((final_state and final_state.iteration, reason))


def test_iterations_that_a_resumed_run_replays_are_marked(tmp_path: Path) -> None:
    told, log = [], tmp_path / "log"
    for max_iter in (2, 3, 3):  # the last iteration of the first is judged anew by the second, which goes on
        notes, made = Notes(), runs.learner(tmp_path / "run")
        made.add_tracker(JSONTracker(log))
        runs.teach(made, notes, max_iter)
        told.append([replayed for _, _, replayed in notes.told[:-1]])
        if max_iter == 2:  # a program that was killed had recorded an iteration, and not yet told of it
            lines = [line for line in log.read_text().splitlines() if '"iteration": 1,' not in line or "stop" in line]
            log.write_text("\n".join(lines) + '\n{"event": "iter')
        assert notes.told[-1] == (max_iter - 1, "max_iter_reached")
        assert notes.manifests[0].run
    assert told == [[False, False], [True, True, False], [True, True, True]]
    written = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
    assert [line["iteration"] for line in written if line["event"] == "iteration"] == [0, 1, 2]
    assert len({line["run"] for line in written}) == 1
    refused = decorated(SeqUQLearner(ThreadEngine(1), run_dir=tmp_path / "run"))
    refused.add_tracker(notes := Notes())
    with pytest.raises(ChangedRunError):
        teach(refused, ["m"], max_iter=1)
    assert not notes.manifests  # it has not begun
    assert not notes.told


def test_what_a_run_is_made_of_and_how_its_workflows_ended() -> None:
    made, notes = runs.learner(parallel=True), Notes()
    made.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=2, threshold=0.1, as_executable=False)(
        lambda *args, **kwargs: 0.7
    )
    with pytest.raises(RunFailedError):
        runs.teach(made, notes, workflows=("fine", "bad"))
    (manifest,) = notes.manifests
    assert (manifest.learner_type, manifest.parallel_count, manifest.run) == ("ParallelUQLearner", 2, None)
    assert [*manifest.tasks] == ["simulation", "training", "prediction", "active_learn", "uncertainty"]
    assert manifest.tasks["uncertainty"].log_params == {
        "metric_name": PREDICTIVE_ENTROPY, "query_size": 2, "threshold": 0.1
    }  # fmt: skip
    assert manifest.criterion is not None
    assert (manifest.criterion.metric_name, manifest.criterion.log_params) == (MODEL_ACCURACY, {"split": "test"})
    assert notes.ends == {"fine": (1, "max_iter_reached"), "bad": (None, "error")}
    assert notes.told[-1] == (1, "error")


def test_one_is_added_before_all_or_while_a_run_goes_on_and_follows_run_too() -> None:
    early, late = Notes(), Notes()
    learner = SeqUQLearner(ThreadEngine(2))
    learner.add_tracker(early)
    decorated(learner)

    async def main() -> None:
        async for state in learner.start(["m"], max_iter=9):
            if state.iteration == 2:
                learner.stop()
            learner.add_tracker(late)

    asyncio.run(main())
    assert "training" in early.manifests[0].tasks
    assert late.manifests == early.manifests
    assert early.told == [*[(None, i, False) for i in range(3)], (2, "stopped")]
    assert late.told == early.told[1:]
    learner.run(["m"], max_iter=1)
    assert early.told[4:] == late.told[3:] == [(None, 0, False), (0, "max_iter_reached")]


def decorated(learner: Any) -> Any:
    for register in (learner.simulation_task, learner.training_task, learner.prediction_task):
        register(as_executable=False)(nothing)
    learner.active_learn_task(as_executable=False)(nothing)
    return learner


def nothing(*args: Any, **kwargs: Any) -> int:
    return 1


def test_a_program_of_ones_own_replays_what_its_criterion_said(tmp_path: Path) -> None:
    async def program(rounds: int) -> Notes:
        learner, notes = Learner(ThreadEngine(2), run_dir=tmp_path / "run"), Notes()
        for tracker in (notes, JSONTracker(tmp_path / "log")):
            learner.add_tracker(tracker)
        check = learner.as_stop_criterion(MODEL_ACCURACY, threshold=2, as_executable=False)(float)
        for value in range(rounds):
            await check(value)
        await learner.shutdown()
        return notes

    assert asyncio.run(program(2)).told[:2] == [(None, 0, False), (None, 1, False)]
    assert asyncio.run(program(3)).told[:3] == [(None, 0, True), (None, 1, True), (None, 2, False)]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["iteration"] for line in lines if line["event"] == "iteration"] == [0, 1, 2]


def test_a_workflow_engine_is_followed_as_any(tmp_path: Path) -> None:
    pytest.importorskip("radical.asyncflow")
    from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

    async def main() -> Notes:
        flow = await WorkflowEngine.create(await LocalExecutionBackend(ThreadPoolExecutor(2)), work_dir=str(tmp_path))
        learner, notes = dataflow(flow, tmp_path / "log"), Notes()
        learner.add_tracker(notes)
        await learner.teach(["a", "b"], ["m"], max_iter=2)
        await learner.shutdown()
        return notes

    notes = asyncio.run(main())
    assert Counter(name for name, iteration, replayed in notes.told[:-1]) == {"a": 2, "b": 2}
    assert notes.ends == dict.fromkeys("ab", (1, "max_iter_reached"))


def test_trackers_are_known_by_names_and_say_what_they_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"json", "mlflow", "tensorboard", "clearml"} <= {*TRACKERS.names()}
    learner = SeqUQLearner(1)
    learner.add_tracker("json")
    for library, name in (("mlflow", "MLflowTracker"), ("clearml", "ClearMLTracker"), ("tensorboard", "TensorBoard")):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ImportError, match=rf"{library} is required for {name}.*: pip install rose-uq\[{library}\]"):
            learner.add_tracker(library)
