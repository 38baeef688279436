"""Several environments whose experiences are merged for one update: banks of functions, and banks that are saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rose import LearnerConfig, TaskConfig
from rose.engine import ThreadEngine
from rose.errors import BankError, ChangedRunError, ConfigurationError, RunFailedError
from rose.reinforcement_learning import Experience, ExperienceBank, ParallelExperience
from rose.stages.kinds import KINDS


@pytest.fixture(autouse=True)
def own_kinds() -> Iterator[None]:
    """Forget the environments of a test: they are kinds of stages."""
    there = dict(KINDS)
    yield
    KINDS.clear()
    KINDS.update(there)


def bank_of(*rewards: float, **options: Any) -> ExperienceBank:
    bank = ExperienceBank(**options)
    bank.add_batch(Experience(reward, 0, reward, None, True) for reward in rewards)
    return bank


def rewards_of(path: str) -> list[float]:
    return [one.reward for one in ExperienceBank.load(path)]


def learner_for(engine: Any, folder: Path, **options: Any) -> Any:
    """Return a learner whose update gives what rewards it found, and whose criterion their sum."""
    learner = ParallelExperience(engine, **options)
    learner.work_dir = folder

    @learner.update_task(as_executable=False)
    def update(path: str, **kwargs: Any) -> dict[str, Any]:
        return {"path": path, "rewards": rewards_of(path), "update": kwargs}

    @learner.as_stop_criterion("reward", threshold=100, operator=">", as_executable=False)
    def reward(updated: Any) -> float:
        return float(sum(updated["rewards"]))

    return learner


def test_banks_of_functions_and_of_commands_are_merged(play: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "banks"
    folder.mkdir()
    for count in (0, 1):
        bank_of(3, count).save(tmp_path, f"made_{count}")
    for name in ("experience_bank_old.npz", "experience_bank.npz"):
        bank_of(99).save(folder, name)
    (folder / "experience_bank_broken.pkl").write_text("of somebody else")
    there = {path.name: path.read_bytes() for path in folder.iterdir()}

    async def program(engine: Any) -> list[Any]:
        learner = learner_for(engine, folder)

        @learner.environment_task(name="returned", as_executable=False)
        def environment(value: float = 0, *, by: float = 1) -> ExperienceBank:
            return bank_of(by, value)

        @learner.environment_task(name="saved")
        async def environment_2(*args: Any) -> str:
            return f"cp {tmp_path}/made_{len(args)} {folder}/experience_bank_2.pkl"

        @learner.environment_task(as_executable=False)
        async def quiet(*args: Any, by: float = 0) -> None:
            bank_of(by).save(folder)

        config = LearnerConfig(environment=TaskConfig(kwargs={"by": 5}), saved=TaskConfig(cpus=1))
        states = []
        async for state in learner.start(max_iter=2, initial_config=config):
            states.append(state)
            own = TaskConfig(kwargs={"by": 7})
            learner.set_next_config(LearnerConfig(returned=own, update=TaskConfig(kwargs={"lr": 1})))
        assert learner.environment_function == {}
        assert learner.returned_function["func"].__name__ == "environment"
        await learner.shutdown()
        return states

    states = play(program)
    first, second = [state.rewards for state in states]
    assert (first[:2], sorted(first[2:])) == ([5, 0], [0, 3, 5])
    assert (second[:2], sorted(second[2:])) == ([7, 13], [0, 1, 3])
    assert [state.update for state in states] == [{}, {"lr": 1}]
    assert {state.path for state in states} == {str(folder / "experience_bank.npz")}
    assert sorted(rewards_of(states[0].path)) == sorted(second)
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: left[name] for name in there if name != "experience_bank.npz"} == {
        name: what for name, what in there.items() if name != "experience_bank.npz"
    }
    assert len(left) == len(there) + 1 + 2  # one file of the command, which replaces it, and one a round


def test_an_environment_that_fails_is_not_ignored(tmp_path: Path) -> None:
    told: list[Any] = []

    class Tracker:
        def on_start(self, manifest: Any) -> None:
            told.append(sorted(manifest.tasks))

        def on_iteration(self, state: Any) -> None:
            told.append(state.iteration)

        def on_stop(self, final_state: Any, reason: str) -> None:
            told.append(reason)

    learner = learner_for(ThreadEngine(2), tmp_path)
    learner.add_tracker(Tracker())
    learner.environment_task(name="good", as_executable=False)(lambda *args: bank_of(1))
    learner.environment_task("bad", as_executable=False)(lambda *args: 1 / (1 - len(args)) and bank_of(2))
    with pytest.raises(RunFailedError, match=r"ParallelExperience/1/bad: .*division by zero"):
        learner.run(max_iter=3)
    assert told == [["bad", "good", "update"], 0, "error"]
    assert rewards_of(str(tmp_path / "experience_bank.npz")) == [1, 2]


def test_no_experience_is_an_error(tmp_path: Path) -> None:
    learner = learner_for(ThreadEngine(2), tmp_path)
    learner.environment_task(name="silent", as_executable=False)(lambda *args: None)
    bank_of(3).save(tmp_path, "experience_bank_earlier.npz")
    with pytest.raises(RunFailedError, match=r"ParallelExperience/0/merge: .*no environment has left experiences"):
        learner.run(max_iter=1)
    assert rewards_of(learner.merge_banks()) == [3]
    (tmp_path / "experience_bank.pkl").touch()
    with pytest.raises(ConfigurationError, match=r"holds experience_bank.pkl, which an update may take for the merged"):
        learner.start(max_iter=1)
    learner.work_dir = tmp_path / "nowhere"
    with pytest.raises(ConfigurationError, match=r"work_dir=.*nowhere' is no directory"):
        learner.start(max_iter=1)


def test_begins_with_the_criterion_where_there_is_a_policy(tmp_path: Path) -> None:
    learner = learner_for(ThreadEngine(2), tmp_path)
    learner.environment_task(name="one", as_executable=False)(lambda value: bank_of(value))
    learner.as_stop_criterion("reward", 100, ">", as_executable=False)(lambda *updated: 4 + len(updated))
    result = learner.run(max_iter=2, skip_pre_loop=True)
    assert learner.get_metric_results() == {0: 4.0, 1: 5.0}
    assert result.rewards == [4.0]


def test_what_was_begun_with_other_environments_is_not_resumed(tmp_path: Path) -> None:
    ran: list[str] = []

    def learned(*names: str, max_iter: int = 1) -> Any:
        learner = learner_for(ThreadEngine(2), tmp_path, run_dir=tmp_path / "run")
        for name in names:
            learner.environment_task(name=name, as_executable=False)(lambda *args: ran.append("ran") or bank_of(1))
        return learner.run(max_iter=max_iter)

    learned("one", "two")
    learned("one", "two")
    assert len(ran) == 2
    with pytest.raises(ChangedRunError, match="environments was one, two, and is one"):
        learned("one")
    assert learned("one", "two", max_iter=2).rewards == [1, 1]
    assert len(ran) == 4


def test_calls_of_ones_own(tmp_path: Path) -> None:
    async def main() -> None:
        learner = learner_for(ThreadEngine(2), tmp_path)
        one = learner.environment_task(name="one", as_executable=False)(lambda by: bank_of(by))
        two = learner.environment_task(name="two", as_executable=False)(lambda by: bank_of(by).save(tmp_path))
        assert [len(bank) for bank in await asyncio.gather(one(1), one(2))] == [1, 1]
        assert rewards_of(await two(3)) == [3]
        await learner.shutdown()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("update", "would be the update"),
        ("training", "means something else"),
        ("env-1", "called by a Python name"),
        ("_own", "called by a Python name"),
    ],
)
def test_names_that_cannot_be(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    learner = ParallelExperience(1)
    with pytest.raises(ConfigurationError, match=message):
        learner.environment_task(name=name)(print)
    learner.update_task(print)
    with pytest.raises(ConfigurationError, match=r"must be set! Decorate environments with"):
        learner.start(max_iter=1)
    with pytest.raises(BankError, match="no environment has left"):
        ParallelExperience(1).merge_banks()
