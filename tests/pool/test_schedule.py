"""Asking is one thing, gathering another; and workflows of one run may differ in their stages."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool
from rose.engine import ThreadEngine
from rose.errors import ChangedRunError, ConfigurationError, RunFailedError
from rose.loop.protocol import Plan, RunRequest
from rose.loop.schedule import Gather, Order, Rounds, Schedule
from rose.metrics import PREDICTIVE_VARIANCE
from rose.pool.plan import PoolPlan

X = np.arange(40.0)


@dataclass(frozen=True)
class Some:
    """Learn from so many labels at a time, whatever else is pending."""

    count: int
    order: Order

    def gathers(self, labels: int, pending: int) -> Gather:
        return Gather(self.count, self.order)


class Scheduled(ParallelUQLearner):
    """A learner over a pool with a schedule."""

    schedule: Schedule = Rounds()

    def planned(self, request: RunRequest) -> Plan:
        assert self.pool is not None
        return PoolPlan(request, self.pool, self.acquisition, self.schedule)


class Program:
    """A run with six labels asked for at first, and two an iteration, of which two are learned from at a time."""

    def __init__(self, run_dir: Path | None, order: Order, delays: Callable[[int], float]) -> None:
        self.simulated: Counter[int] = Counter()
        self.trained: list[list[float]] = []
        self.fail_after = 10**9
        self.learner = Scheduled(ThreadEngine(2), pool=Pool(X, initial=6), run_dir=run_dir, accept_changes=True)
        self.learner.schedule = Some(2, order)

        @self.learner.simulation_task(as_executable=False, waits=True)
        async def simulate(x: float, index: int) -> float:
            self.simulated[index] += 1
            await asyncio.sleep(delays(index))
            return float(x)

        @self.learner.training_task(as_executable=False)
        def train(y: Any, model_name: str) -> float:
            if len(y) > self.fail_after:
                raise OSError("no licence")
            if model_name == "a":
                self.trained.append(list(y))
            return float(y[-1]) + (model_name == "a")

        @self.learner.prediction_task(as_executable=False)
        def predict(model: float, X: Any) -> Any:
            return np.cos(model * X)

        self.learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)

    def __call__(self, max_iter: int) -> Any:
        return self.learner.run(["w"], ["a", "b"], max_iter=max_iter)["w"]


def test_what_is_gathered_in_order_of_submission_is_the_same_whatever_comes_first(tmp_path: Path) -> None:
    found = []
    for seed in (1, 2):
        delays = random.Random(seed).sample([0.0, 0.001, 0.002, 0.004, 0.008, 0.016], 6)
        program = Program(tmp_path / str(seed), "submitted", lambda index, delays=delays: delays[index % 6])
        result = program(4)
        assert [len(labels) for labels in program.trained] == [2, 4, 6, 8], "it learns before all have come"
        assert set(program.simulated.values()) == {1}
        found.append((result.indices.tolist(), [one["selection"] for one in result.iterations], program.trained))
    assert found[0] == found[1]
    chosen = [index for one in found[0][1] for index in one]
    assert len(set(chosen)) == len(chosen) == 6, "what is pending is not chosen again, and the last chooses nothing"


def test_what_came_first_is_recorded_before_it_is_learned_from(tmp_path: Path) -> None:
    late = Program(tmp_path / "run", "arrival", lambda index: 0.0 if index % 2 else 0.02)
    late.fail_after = 3
    with pytest.raises(RunFailedError, match="no licence"):
        late(3)
    assert len(late.trained) == 1
    again = Program(tmp_path / "run", "arrival", lambda index: 0.0 if not index % 2 else 0.02)
    result = again(3)
    assert [labels[:2] for labels in again.trained] == [late.trained[0]] * 2, "the recorded iteration is as it was"
    assert [len(labels) for labels in again.trained] == [4, 6]
    assert result.indices.tolist()[:2] == [int(x) for x in late.trained[0]]
    assert not {index for index in again.simulated if index in result.indices[:4]}, "what had arrived is not run again"


def two(run_dir: Path | None, simulations: int = 1, far: int = 2) -> Any:
    """Two workflows that differ in who chooses, and, where there are two, in their simulations."""

    class Selecting(ParallelUQLearner):
        def planned(self, request: RunRequest) -> Plan:
            assert self.pool is not None
            for name, place in (("near", 0), ("far", far)):
                self.active_learn_task(as_executable=False)(choosing(place))
                if simulations == 2:
                    self.simulation_task(as_executable=False)(labelling(place))
                request.stages[name] = self.registered()  # type: ignore[index]
            return PoolPlan(request, self.pool, self.acquisition)

    log: Counter[float] = Counter()

    def labelling(offset: int) -> Any:
        def simulate(x: float) -> float:
            log[float(x)] += 1
            return float(x) + offset

        return simulate

    def choosing(place: int) -> Any:
        return lambda candidates, query_size: np.arange(query_size) + place

    learner = Selecting(ThreadEngine(2), pool=Pool(X, initial=[0, 1, 2]), run_dir=run_dir)
    learner.simulation_task(as_executable=False)(labelling(0))
    learner.training_task(as_executable=False)(lambda y: float(np.sum(y)))
    learner.prediction_task(as_executable=False)(lambda model, X: X * model)
    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
    return lambda max_iter: learner.run(["near", "far"], ["a", "b"], max_iter=max_iter), log


def test_workflows_may_differ_in_their_stages_and_share_labels(tmp_path: Path) -> None:
    run, log = two(tmp_path / "run")
    results = run(2)
    assert results["near"].indices.tolist() == [0, 1, 2, 3, 4]
    assert results["far"].indices.tolist() == [0, 1, 2, 5, 6]
    assert set(log.values()) == {1}
    run, log = two(tmp_path / "run")
    assert run(2) == results
    assert not log
    run, _ = two(tmp_path / "run", far=3)
    with pytest.raises(ChangedRunError, match=r"workflow 'far': active_learn task has changed"):
        run(2)
    run, log = two(None, simulations=2)
    with pytest.raises(ConfigurationError, match="workflows 'near' and 'far' have different simulations"):
        run(2)
    assert not log


def test_what_cannot_be_waited_for() -> None:
    for count, order, message in ((0, "arrival", "count=0"), (-1, "submitted", "count=-1"), (2, "arival", "'arrival'")):
        with pytest.raises(ConfigurationError, match=message):
            Gather(count, order)  # type: ignore[arg-type]
