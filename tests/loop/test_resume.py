"""Resuming: running the same command again goes on where it was, and what has changed is named."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from rose import LearnerConfig, ParallelUQLearner, Pool, StopReason, TaskConfig, UQLearnerConfig
from rose.engine import ThreadEngine
from rose.errors import ChangedRunError, ConfigurationError, RunDirectoryError
from rose.identity.code import reach
from rose.metrics import MARGIN, MODEL_ACCURACY, PREDICTIVE_ENTROPY
from rose.store import ChangesAccepted
from rose.store.database.schema import reading
from rose.store.database.sql import read_events, read_labels
from tests.programs import Centroids, blobs, lines
from tests.programs import dataflow as small_dataflow

TWO = ["a", "b"]
FUNCTION: dict[str, Any] = {"as_executable": False}


def pool(tmp_path: Path, **options: Any) -> ParallelUQLearner:
    """A pool whose tasks write into `tmp_path/log` that they run; in `tmp_path/run`."""
    X, y = blobs()
    log = tmp_path / "log"
    settings = {"pool": Pool(X, initial=6, seed=0), "run_dir": tmp_path / "run", "acquisition": "top", **options}
    learner = ParallelUQLearner(ThreadEngine(2), **settings)

    def note(*what: object) -> None:
        with log.open("a") as file:
            file.write(" ".join(map(str, what)) + "\n")

    @learner.simulation_task(**FUNCTION)
    def simulate(index: int) -> int:
        note("simulation", index)
        return int(y[index])

    @learner.training_task(**FUNCTION)
    def train(X: Any, y: Any, seed: int, workflow: str, iteration: int, model_name: str) -> Centroids:
        note("training", workflow, iteration, model_name)
        return Centroids(X, y, seed)

    @learner.prediction_task(**FUNCTION)
    def predict(model: Centroids, X: Any) -> np.ndarray:
        return model.predict_proba(X)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4)
    return learner


def ran(tmp_path: Path, kind: str) -> Counter[str]:
    """How often tasks ran."""
    return Counter(lines(tmp_path / "log", kind))


def test_more_rounds_are_added_to_what_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = pool(tmp_path / "whole").run(["w"], TWO, max_iter=5)
    for rounds in (1, 2, 2, 5):
        parts = pool(tmp_path).run(["w"], TWO, max_iter=rounds)
        assert parts["w"].stop_reason == StopReason.MAX_ITER
    assert parts == whole
    np.testing.assert_array_equal(parts["w"].indices, whole["w"].indices)
    np.testing.assert_array_equal(parts["w"].predict(blobs()[0]).mean, whole["w"].predict(blobs()[0]).mean)
    assert ran(tmp_path, "") == ran(tmp_path / "whole", ""), "each task once, however often it was resumed"


def test_fewer_rounds_end_earlier_and_lose_nothing(tmp_path: Path) -> None:
    whole = pool(tmp_path).run(["w"], TWO, max_iter=3)["w"]
    before = ran(tmp_path, "")
    fewer = pool(tmp_path).run(["w"], TWO, max_iter=2)["w"]
    assert [i["labels"] for i in fewer.iterations] == [i["labels"] for i in whole.iterations][:2]
    assert fewer.stop_reason == StopReason.MAX_ITER
    assert pool(tmp_path).run(["w"], TWO, max_iter=3)["w"] == whole
    assert ran(tmp_path, "") == before


def test_a_workflow_that_is_added_shares_what_was_simulated(tmp_path: Path) -> None:
    first = pool(tmp_path).run(workflows={"entropy": PREDICTIVE_ENTROPY}, model_names=TWO, max_iter=3)
    both = {"entropy": PREDICTIVE_ENTROPY, "margin": MARGIN}
    second = pool(tmp_path).run(workflows=both, model_names=TWO, max_iter=3)
    assert second["entropy"] == first["entropy"]
    assert set(ran(tmp_path, "simulation").values()) == {1}
    labelled = set(second["entropy"].indices) | set(second["margin"].indices)
    assert len(ran(tmp_path, "simulation")) == len(labelled)


def test_other_ends_are_remembered(tmp_path: Path) -> None:
    def run(threshold: float, **options: Any) -> Any:
        learner = pool(tmp_path, **options)

        @learner.as_stop_criterion(MODEL_ACCURACY, threshold=threshold, **FUNCTION)
        def criterion(y: Any) -> float:
            return len(y) / 100

        return learner.run(["w"], TWO, max_iter=9)["w"]

    result = run(0.12)
    assert (result.stop_reason, len(result.indices)) == (StopReason.CRITERION_MET, 14)
    before = ran(tmp_path, "")
    assert run(0.12) == result
    assert ran(tmp_path, "") == before
    with pytest.raises(ChangedRunError, match=r"criterion was model_accuracy >= 0.12, and is model_accuracy >= 0.2"):
        run(0.2)
    result = run(0.2, accept_changes=True)
    assert (result.stop_reason, len(result.indices)) == (StopReason.CRITERION_MET, 22)
    assert set(ran(tmp_path, "simulation").values()) == {1}


def changed(tmp_path: Path, what: str, **options: Any) -> Any:
    """The run with one thing changed."""
    configs, names = None, TWO
    if what == "pool":
        options["pool"] = Pool(blobs()[0], initial=6, seed=1)
    elif what == "acquisition":
        options["acquisition"] = "diverse"
    elif what == "model_names":
        names = ["a", "c"]
    learner = pool(tmp_path, **options)
    if what == "simulation":
        y, log = blobs()[1], tmp_path / "log"

        @learner.simulation_task(**FUNCTION)
        def simulate(index: int) -> int:
            with log.open("a") as file:
                file.write(f"simulation {index}\n")
            return int(y[index]) + 0

    elif what == "training":
        learner.training_task(**FUNCTION)(lambda X, y, seed: Centroids(X, y, seed + 1))
    elif what == "criterion":
        learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0, **FUNCTION)(lambda y: 0.5)
    elif what == "uncertainty":
        learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=5)
    elif what == "configuration":
        configs = {"w": UQLearnerConfig(query_size=5)}
    return learner.run(["w"], names, learner_configs=configs, max_iter=4)["w"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("simulation", "simulation task has changed"),
        ("training", "training task has changed"),
        ("criterion", "stop criterion was none, and is model_accuracy >= 2.0; criterion task was none, and is "),
        ("pool", r"Pool\(seed=\) was 0, and is 1; Pool\(initial=\) has changed"),
        ("acquisition", "acquisition was top, and is diverse"),
        ("model_names", "model_names was a, b, and is a, c"),
        ("uncertainty", "query_size=4, .*, and is predictive_entropy, query_size=5"),
        ("configuration", "workflow 'w' was configured otherwise in iteration 0"),
    ],
)
def test_what_has_changed_is_named_and_can_be_accepted(what: str, message: str, tmp_path: Path) -> None:
    before = pool(tmp_path).run(["w"], TWO, max_iter=2)["w"]
    with pytest.raises((ChangedRunError, ConfigurationError, Exception), match=message) as refused:
        changed(tmp_path, what)
    error = refused.value
    assert isinstance(error if isinstance(error, ChangedRunError) else error.__cause__, ChangedRunError)
    assert "accept_changes=True" in str(error)
    assert set(ran(tmp_path, "simulation").values()) == {1}, "nothing was simulated for it"

    result = changed(tmp_path, what, accept_changes=True)
    assert len(result.iterations) == 4
    assert set(ran(tmp_path, "simulation").values()) == {1}, "nothing that was recorded is simulated again"
    if what not in ("pool", "simulation"):
        assert list(result.indices[: len(before.indices)]) == list(before.indices)
    with reading(tmp_path / "run") as connection:
        accepted = [event for _, (_, event) in read_events(connection) if isinstance(event, ChangesAccepted)]
        labels = [label.candidate for label in read_labels(connection)]
    assert accepted
    assert len(set(labels)) == len(labels)
    assert changed(tmp_path, what) == result, "what was accepted needs no acceptance again"


def test_comments_and_layout_are_no_change(tmp_path: Path) -> None:
    def run(other: bool) -> None:
        learner = pool(tmp_path)
        if other:
            learner.prediction_task(**FUNCTION)(
                lambda model, X: model.predict_proba(X)  # the same
            )

            @learner.training_task(retries=2, **FUNCTION)
            def train(X: Any, y: Any, seed: int) -> Any:
                """Train."""
                return Centroids(  # as before
                    X, y, seed
                )

        else:
            learner.prediction_task(**FUNCTION)(lambda model, X: model.predict_proba(X))

            @learner.training_task(**FUNCTION)
            def train(X: Any, y: Any, seed: int) -> Any:
                """Train a model."""
                return Centroids(X, y, seed)

        learner.run(["w"], TWO, max_iter=1)

    run(False)
    run(True)


def test_the_order_of_sets_in_code_is_no_change() -> None:
    """It differs from process to process."""
    one = eval("lambda x: x in {0, 8}")
    constants = [frozenset([8, 0]) if isinstance(const, frozenset) else const for const in one.__code__.co_consts]
    other = FunctionType(one.__code__.replace(co_consts=tuple(constants)), {})
    assert repr(one.__code__.co_consts) != repr(other.__code__.co_consts)
    assert reach(one) == reach(other)


def test_resources_and_policies_may_change(tmp_path: Path) -> None:
    pool(tmp_path).run(["w"], TWO, max_iter=1)
    config = LearnerConfig(simulation=TaskConfig(retries=2, timeout=60.0), training=TaskConfig(cpus=2))
    result = pool(tmp_path).run(["w"], TWO, learner_configs={"w": config}, max_iter=2)["w"]
    assert len(result.iterations) == 2


def test_resume_may_be_refused_or_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool(tmp_path).run(["w"], TWO, max_iter=1)
    with pytest.raises(RunDirectoryError, match="holds a run, and resume=False"):
        pool(tmp_path, resume=False)
    learner = pool(tmp_path, resume="new")
    learner.run(["w"], TWO, max_iter=1)
    assert learner.run_dir == tmp_path / "run-2"
    assert f"this run is in {tmp_path / 'run-2'}" in caplog.text
    assert set(ran(tmp_path, "simulation").values()) == {2}
    with pytest.raises(ConfigurationError, match="resume='never' must be True, False or 'new'"):
        pool(tmp_path, resume="never")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match="is not empty, and holds no run"):
        pool(tmp_path, run_dir=tmp_path / "other")
    with pytest.raises(ConfigurationError, match="is a file"):
        pool(tmp_path, run_dir=tmp_path / "other" / "thesis.tex")


def test_a_dataflow_resumes_in_the_middle_of_a_round(tmp_path: Path) -> None:
    """Its functions are called for what is not recorded, and the states of all rounds are given again."""
    stop_at: list[int | None] = [1]

    def learner() -> Any:
        made = small_dataflow(ThreadEngine(2), tmp_path / "log")
        made._run_dir = tmp_path / "run"
        return made

    async def states() -> list[dict[str, Any]]:
        seen = []
        async for state in learner().start(["x", "y"], TWO, num_predictions=2, max_iter=3):
            seen.append(state.to_dict())
            if stop_at[0] is not None and state.iteration == stop_at[0]:
                break
        return seen

    asyncio.run(states())
    stop_at[0] = None
    seen = asyncio.run(states())
    assert sorted((state["learner_id"], state["iteration"]) for state in seen) == [
        (w, i) for w in "xy" for i in range(3)
    ]
    assert len(lines(tmp_path / "log", "criterion")) in (12, 13, 14), "at most what was under way ran twice"
    before = (tmp_path / "log").read_text()
    again = asyncio.run(states())
    key = lambda state: (state["learner_id"], state["iteration"])  # noqa: E731
    assert sorted(again, key=key) == sorted(seen, key=key)
    assert (tmp_path / "log").read_text() == before
