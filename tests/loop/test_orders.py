"""What people order of a run that goes on is obeyed, or refused with the reason; and recorded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool, StopReason
from rose.engine import ThreadEngine
from rose.errors import RunFailedError
from rose.metrics import PREDICTIVE_VARIANCE
from rose.store import Label, Order, OrderObeyed, OrderRefused, RunReader, Set, Stop, Withdraw, WorkflowStopped, place

X = np.arange(30.0)


class Program:
    """Two workflows over a pool whose simulations of 20 and above wait for a gate that is closed."""

    def __init__(self, run_dir: Path, initial: Any = 3, names: tuple[str, ...] = ("a", "b")) -> None:
        self.simulated: Counter[int] = Counter()
        self.gate = asyncio.Event()
        self.held = asyncio.Event()
        self.run_dir = run_dir
        self.names = list(names)
        self.learner = ParallelUQLearner(ThreadEngine(2), pool=Pool(X, initial=initial), run_dir=run_dir)

        @self.learner.simulation_task(as_executable=False, waits=True)
        async def simulate(x: float, index: int) -> float:
            self.simulated[index] += 1
            if index >= 20:
                self.held.set()
                await self.gate.wait()
            return float(x)

        self.learner.training_task(as_executable=False)(lambda y, model_name: float(np.sum(y)) + len(model_name))
        self.learner.prediction_task(as_executable=False)(lambda model, X: np.cos(X * model))
        self.learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)

    async def order(self, order: Order) -> OrderObeyed | OrderRefused:
        """Place an order as another process would, and wait for its answer."""
        answer: asyncio.Future[OrderObeyed | OrderRefused] = asyncio.get_running_loop().create_future()

        def look(event: Any) -> None:
            if isinstance(event, (OrderObeyed, OrderRefused)) and not answer.done():
                answer.set_result(event)

        self.learner.events.subscribe(look)
        await asyncio.to_thread(place, self.run_dir, order, "ada")
        found = await answer
        self.learner.events.unsubscribe(look)
        return found

    def __call__(self, act: Callable[[Program, int, str], Awaitable[None]], max_iter: int = 4) -> Any:
        """Run, with `act` called after each iteration of each workflow."""

        self.gate.set()

        async def main() -> Any:
            async for state in self.learner.start(self.names, ["x", "yy"], max_iter=max_iter):
                await act(self, state.iteration, str(state.learner_id))

        asyncio.run(main())
        return {workflow.name: workflow.result() for workflow in self.learner._workflows}


REFUSED = [
    (Set({"query_size": 2.5}), "query_size=2.5"),
    (Set({"budget": 0}), "budget=0"),
    (Set({"max_iter": 0}, "a"), "max_iter=0"),
    (Set({"query_size": 4}, "c"), "no workflow 'c'"),
    (Stop("c"), "no workflow 'c'"),
    (Withdraw("a", 29), "candidate 29 is not being simulated"),
    (Label(29, 1.0), "candidate 29 is not being simulated"),
]


async def nothing(program: Program, iteration: int, name: str) -> None:
    """Give no order."""


def test_settings_hold_from_the_next_iteration_on_also_when_resumed(tmp_path: Path) -> None:
    answers: list[Any] = []

    async def act(program: Program, iteration: int, name: str) -> None:
        if iteration == 1 and name == "a":
            answers.append(await program.order(Set({"query_size": 3, "threshold": -1.0}, "a")))
            answers.append(await program.order(Set({"max_iter": 3}, "a")))
            answers.extend([await program.order(order) for order, _ in REFUSED])

    results = Program(tmp_path, initial=[0, 1, 2])(act)
    sizes = {name: [len(one["selection"]) for one in result["iterations"]] for name, result in results.items()}
    assert sizes == {"a": [2, 2, 0], "b": [2, 2, 2, 0]}
    assert [type(answer) for answer in answers] == [OrderObeyed] * 2 + [OrderRefused] * 7
    assert "from iteration 2 on" in answers[0].text
    assert answers[0].who == "ada"
    for answer, why in zip(
        answers[2:], ("query_size=2.5", "budget=0", "max_iter=0", "'c'", "'c'", "29", "29"), strict=True
    ):
        assert why in answer.text
    with RunReader(tmp_path) as reader:
        told = [event for _, event in reader.since().events if isinstance(event, (OrderObeyed, OrderRefused))]
    assert told == answers
    # The setting is a part of the run; its limits are those of whoever resumes it.
    again = Program(tmp_path, initial=[0, 1, 2])(nothing, max_iter=4)
    sizes = {name: [len(one["selection"]) for one in result["iterations"]] for name, result in again.items()}
    assert sizes == {"a": [2, 2, 3, 0], "b": [2, 2, 2, 0]}


def test_one_workflow_or_the_run_is_stopped(tmp_path: Path) -> None:
    async def act(program: Program, iteration: int, name: str) -> None:
        if name == "a" and iteration == 1:
            assert isinstance(await program.order(Stop("a")), OrderObeyed)
        if name == "b" and iteration == 2:
            assert isinstance(await program.order(Stop()), OrderObeyed)

    results = Program(tmp_path, initial=[0, 1, 2])(act)
    assert {name: result.stop_reason for name, result in results.items()} == dict.fromkeys("ab", StopReason.STOPPED)
    assert {name: len(result.iterations) for name, result in results.items()} == {"a": 2, "b": 3}
    again = Program(tmp_path, initial=[0, 1, 2])(nothing)
    assert {result.stop_reason for result in again.values()} == {StopReason.MAX_ITER}


@pytest.mark.parametrize("given", [False, True])
def test_what_is_pending_is_withdrawn_or_labelled_by_a_person(given: bool, tmp_path: Path) -> None:
    async def main(program: Program) -> None:
        async def help_out() -> None:
            await program.held.wait()
            order = Label(25, 7.0) if given else Withdraw("a", 25)
            assert isinstance(await program.order(order), OrderObeyed)

        helping = asyncio.create_task(help_out())
        async for _ in program.learner.start(["a"], ["x", "yy"], max_iter=1):
            pass
        await helping

    program = Program(tmp_path, initial=[1, 2, 25])
    asyncio.run(main(program))
    result = program.learner._workflows[0].result()
    assert result.indices.tolist() == ([1, 2, 25] if given else [1, 2])
    assert result.labels.tolist() == ([1.0, 2.0, 7.0] if given else [1.0, 2.0])
    again = Program(tmp_path, initial=[1, 2, 25], names=("a",))
    again.gate.set()
    assert again(nothing, max_iter=2)["a"].indices.tolist()[: len(result.indices)] == result.indices.tolist()
    assert not again.simulated[25], "what a person has decided is not simulated"


def test_what_is_ordered_while_no_driver_lives_holds_from_the_first_iteration_that_is_not_recorded(
    tmp_path: Path,
) -> None:
    Program(tmp_path, initial=[0, 1, 2])(nothing, max_iter=3)
    place(tmp_path, Set({"query_size": 5}), "ada")
    for max_iter, last in ((5, [5, 0]), (6, [5, 5, 0])):
        results = Program(tmp_path, initial=[0, 1, 2])(nothing, max_iter=max_iter)
        sizes = {name: [len(one["selection"]) for one in result["iterations"]] for name, result in results.items()}
        assert sizes == {name: [2, 2, 2, *last] for name in "ab"}


def test_an_order_that_cannot_be_obeyed_ends_nothing(tmp_path: Path) -> None:
    answers: list[Any] = []
    program, ended = Program(tmp_path, initial=[0, 1, 2]), asyncio.Event()
    program.learner.events.subscribe(lambda event: ended.set() if isinstance(event, WorkflowStopped) else None)

    def failing(candidate: int, label: Any) -> None:
        raise ZeroDivisionError("by accident")

    async def act(program: Program, iteration: int, name: str) -> None:
        if name == "a" and iteration == 0:
            await program.order(Set({"max_iter": 1}, "a"))
        if name == "b" and ended.is_set() and not answers:
            program.learner._workflows[1].loop.give = failing  # type: ignore[method-assign, assignment]
            orders = Set({"max_iter": 9}, "a"), Stop("a"), Label(3, 1.0), Stop()
            answers.extend([await program.order(order) for order in orders])

    program(act, max_iter=12)
    assert [(type(answer), answer.text) for answer in answers] == [
        (OrderRefused, "workflow 'a' has ended"),
        (OrderRefused, "workflow 'a' has ended"),
        (OrderRefused, "ZeroDivisionError: by accident"),
        (OrderObeyed, "the run ends"),
    ]


def test_a_person_gives_what_can_be_a_label(tmp_path: Path) -> None:
    answers: list[Any] = []

    async def main(program: Program) -> None:
        async def help_out() -> None:
            await program.held.wait()
            answers.extend([await program.order(Label(25, value)) for value in (None, [1.0, None], 7.0)])

        helping = asyncio.create_task(help_out())
        await program.learner.teach(["a", "b"], ["x", "yy"], max_iter=1)
        await helping

    program = Program(tmp_path, initial=[1, 2, 25])
    asyncio.run(main(program))
    assert [type(answer) for answer in answers] == [OrderRefused, OrderRefused, OrderObeyed]
    assert "the label of candidate 25 cannot be None" in answers[0].text
    for workflow in program.learner._workflows:
        assert list(workflow.result().labels) == [1.0, 2.0, 7.0]


def test_what_was_withdrawn_stays_so_when_another_workflow_has_its_label(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()

    def program() -> Program:
        made = Program(tmp_path / "run", initial=[1, 2, 25])

        @made.learner.training_task(as_executable=False)
        def train(y: Any, model_name: str) -> float:
            if broken.exists():
                raise OSError("no licence")
            return float(np.sum(y)) + len(model_name)

        return made

    async def main(program: Program) -> None:
        async def help_out() -> None:
            await program.held.wait()
            assert isinstance(await program.order(Withdraw("a", 25)), OrderObeyed)
            program.gate.set()

        helping = asyncio.create_task(help_out())
        with pytest.raises(RunFailedError, match="no licence"):
            await program.learner.teach(["b", "a"], ["x", "yy"], max_iter=1)
        await helping

    asyncio.run(main(program()))
    broken.unlink()
    found = program().learner.run(["b", "a"], ["x", "yy"], max_iter=1)
    assert {name: result.indices.tolist() for name, result in found.items()} == {"b": [1, 2, 25], "a": [1, 2]}
