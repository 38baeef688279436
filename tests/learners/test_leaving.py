"""What `break` leaves behind: the next run waits for the end of the one before, in every learner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rose import AlgorithmSelector, SeqUQLearner, ThreadEngine
from rose.active_learning import ParallelActiveLearner, SequentialActiveLearner, StreamingActiveLearner
from rose.errors import RunLockedError
from rose.reinforcement_learning import SequentialReinforcementLearner
from rose.tracking import TrackerBase


class Listening(TrackerBase):
    """Note when runs begin and end."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_start(self, manifest: Any) -> None:
        self.told.append("start")

    def on_stop(self, final_state: Any, reason: str) -> None:
        self.told.append("stop")


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number


LEARNERS = [
    SequentialActiveLearner,
    ParallelActiveLearner,
    StreamingActiveLearner,
    AlgorithmSelector,
    SequentialReinforcementLearner,
    SeqUQLearner,
]


@pytest.mark.parametrize("made", LEARNERS)
def test_the_next_run_waits_for_the_end_of_one_that_was_left(made: Any, tmp_path: Path) -> None:
    async def main() -> None:
        learner = made(ThreadEngine(2), run_dir=tmp_path / "run")
        tracker = Listening()
        learner.add_tracker(tracker)
        if made is not StreamingActiveLearner:
            learner.simulation_task(as_executable=False)(lambda *given, **told: 0)
        for decorator in ("training_task", "active_learn_task", "environment_task", "update_task"):
            if hasattr(learner, decorator):
                getattr(learner, decorator)(as_executable=False)(lambda *given, **told: 0)
        learner.prediction_task(as_executable=False)(lambda *given, **told: [[0.5, 0.5]])
        learner.as_stop_criterion("error", threshold=0.1, operator="<", as_executable=False)(lambda *given: 0.5)
        limits = {"max_iter": 3}
        if made is SeqUQLearner:
            limits["model_names"] = ["a"]  # type: ignore[assignment]
        for _ in range(2):
            if made is StreamingActiveLearner:
                limits = {}
                learner.attach_source(numbers())
            async for _ in learner.start(**limits):
                break
        if made is StreamingActiveLearner:
            learner.attach_source(numbers())
        assert [state.iteration async for state in learner.start(**limits)][-1] >= 2
        await learner.shutdown()
        assert tracker.told == ["start", "stop"] * 3

    asyncio.run(main())


def test_a_run_that_is_kept_in_the_middle_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        learner = SequentialReinforcementLearner(ThreadEngine(1), run_dir=tmp_path / "run")
        learner.environment_task(as_executable=False)(lambda *given: 0)
        learner.update_task(as_executable=False)(lambda *given: 0)
        states = learner.start(max_iter=3)
        async for _ in states:
            break
        with pytest.raises(RunLockedError, match=r"which is this program: .*await states.aclose\(\)"):
            await learner.teach(max_iter=3)
        await states.aclose()
        assert len((await learner.teach(max_iter=3)).iterations) == 3

    asyncio.run(main())


def test_a_run_beside_another_of_the_same_learner_is_refused() -> None:
    async def main() -> None:
        learner = SeqUQLearner(ThreadEngine(2))
        learner.simulation_task(as_executable=False)(lambda *given: 0)
        for decorator in (learner.training_task, learner.active_learn_task):
            decorator(as_executable=False)(lambda *given, **told: 0)
        learner.prediction_task(as_executable=False)(lambda *given, **told: [[0.5, 0.5]])
        first, second = await asyncio.gather(
            *(learner.teach(model_names=["a"], max_iter=2) for _ in range(2)), return_exceptions=True
        )
        assert len(first["iterations"]) == 2
        assert isinstance(second, RunLockedError)
        assert "this learner has a run that goes on: await its end" in str(second)
        assert len((await learner.teach(model_names=["a"], max_iter=1))["iterations"]) == 1
        await learner.shutdown()

    asyncio.run(main())
