"""What viewers read: what is new since a cursor, of a run that goes on, that has ended, and that died."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from rose.errors import ConfigurationError, NotPlainError, RunDirectoryError
from rose.store import (
    DONE,
    FAILED,
    DriverStarted,
    IterationDone,
    Run,
    RunReader,
    Sample,
    TaskBegan,
    TaskDone,
    TaskFailed,
    TaskQueued,
)
from rose.store.database import schema
from rose.store.records import EventRecord
from rose.watch.summary import Fold, summarize


class Mine:
    """A result that only its own code can load."""


async def play(run: Run, iteration: int) -> None:
    """An iteration with a label, a model and a failure."""
    key = f"w/{iteration}"
    waiting = run.queued(f"{key}/training/m")
    content = bytes([iteration]) * 16
    await run.labelled(run.started(f"{key}/simulation/{iteration}"), [Sample(content, iteration, content, 0.5)], [1.5])
    await run.done(run.began(waiting, "node7:42"), np.arange(3) + iteration)
    run.ended(run.started(f"{key}/prediction/m"), FAILED, RuntimeError("no licence"))
    await run.round_done(IterationDone("w", iteration, labels=iteration + 1, selection=[3]), {}, {})


def test_a_run_that_goes_on_is_read_bit_by_bit(tmp_path: Path) -> None:
    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        run.emit(DriverStarted(1, ["w"]))
        await play(run, 0)
        with RunReader(tmp_path / "run") as reader:
            fold = Fold(reader.path)
            first = reader.since()
            assert [event for _, event in first.events] == [
                DriverStarted(1, ["w"]),
                IterationDone("w", 0, labels=1, selection=[3], dropped=[], failed_members=[]),
            ]
            states = {task.key.split("/")[2]: task.state for task in first.tasks}
            assert states == {"simulation": DONE, "training": DONE, "prediction": FAILED}
            training = next(task for task in first.tasks if task.worker == "node7:42")
            assert training.ended is not None
            assert training.began is not None
            assert training.queued <= training.began <= training.ended
            assert training.seconds == training.ended - training.began
            assert [(label.candidate, label.task) for label in first.labels] == [(0, "w/0/simulation/0")]
            assert first.drivers[-1].alive
            for text in ("1-2-3", "a-0-0-0", f"{10**20}-0-0-0", 7):
                with pytest.raises(ConfigurationError, match="is no cursor"):
                    reader.since(text)  # type: ignore[arg-type]
            fold.add(first)

            nothing = reader.since(first.cursor)
            assert (nothing.cursor, nothing.tasks, nothing.events) == (first.cursor, [], [])
            assert reader.now() == first.cursor
            await play(run, 1)
            second = reader.since(first.cursor)
            assert {task.key.split("/")[1] for task in second.tasks} == {"1"}
            assert len(second.events) == len(second.labels) == 1
            fold.add(second)
            assert fold.summary().state == "running"

            run.outcome = "finished"
            await run.close()
            last = reader.since(second.cursor)
            assert (last.tasks, last.drivers[-1].outcome) == ([], "finished")
            fold.add(last)
            assert fold.summary() == summarize(reader.path)
            (workflow,) = fold.summary().workflows
            assert (workflow.iteration, workflow.labels, workflow.tasks) == (1, 2, {DONE: 4, FAILED: 2})
            assert fold.summary().stages["training"].tasks == 2

            np.testing.assert_array_equal(reader.value_of("w/1/training/m"), [1, 2, 3])
            with pytest.raises(KeyError):
                reader.value_of("w/1/prediction/m")
            ((candidate, read),) = reader.labels_of("w/1/simulation/1")
            assert (candidate, read()) == (1, 1.5)
            assert reader.keys("w/1/") == sorted(task.key for task in second.tasks)

            again = await Run.open(tmp_path / "run")
            await again.done(again.started("w/2/training/m"), Mine())
            assert [task.key for task in reader.since(last.cursor).tasks] == ["w/2/training/m"], "it was resumed"
            with pytest.raises(NotPlainError):
                reader.value_of("w/2/training/m")
            await again.close()

    asyncio.run(main())
    with RunReader(tmp_path / "run") as reader, pytest.raises(ConfigurationError, match="is no cursor"):
        reader.since("yesterday")
    with pytest.raises(RunDirectoryError, match="holds no run"):
        RunReader(tmp_path)


def test_labels_show_as_they_come(tmp_path: Path) -> None:
    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        run.emit(DriverStarted(1, ["w"]))
        await play(run, 0)
        for index in (5, 6):
            sample = Sample(bytes([index]) * 16, index, bytes(16), 0.5)
            await run.labelled(run.started(f"w/1/simulation/{index}"), [sample], [1.5])
        waiting = run.queued("w/1/training/m")
        run.queued("w/1/training/n")
        run.began(waiting, "node7:42")
        await asyncio.sleep(0.4)  # what begins, or waits, is written a moment later
        summary = summarize(tmp_path / "run")
        assert (summary.labels, summary.workflows[0].labels, summary.workflows[0].arrived) == (3, 1, 2)
        assert [task.key for task in summary.running] == ["w/1/training/m"]
        assert [task.key for task in summary.queued] == ["w/1/training/n"]
        assert summary.workflows[0].tasks == {DONE: 4, FAILED: 1, "running": 1, "queued": 1}
        await run.close()

    asyncio.run(main())


def test_iterations_that_were_forgotten_give_no_labels(tmp_path: Path) -> None:
    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        run.emit(DriverStarted(1, ["w"]))
        for iteration in range(3):
            await play(run, iteration)
        await run.forget_rounds("w", 0)
        sample = Sample(bytes([9]) * 16, 9, bytes(16), 0.5)
        await run.dropped(run.started("w/0/simulation/9"), RuntimeError("no licence"), [sample])
        await run.round_done(IterationDone("w", 0, labels=1), {}, {})
        await run.close()
        (workflow,) = summarize(tmp_path / "run").workflows
        assert (workflow.iteration, workflow.labels, workflow.arrived) == (0, 1, 0)
        with RunReader(tmp_path / "run") as reader:
            assert [candidate for candidate, _ in reader.labels_of("w/2/simulation/2")] == [2]
            assert reader.labels_of("w/0/simulation/9") == [], "what was dropped has none"

    asyncio.run(main())


def test_events_of_newer_versions_are_read_past(tmp_path: Path) -> None:
    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        await play(run, 0)
        run.journal.put(EventRecord(1.0, "LaterIdea", "{}"))
        await run.close()

    asyncio.run(main())
    with RunReader(tmp_path / "run") as reader:
        changes = reader.since()
        assert [type(event) for _, event in changes.events] == [IterationDone]
        assert changes.cursor == reader.now()


def test_a_dead_run_where_one_cannot_write_is_seen_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a driver left there is read from a copy, which is made anew when the run has changed."""
    path = tmp_path / "run"
    monkeypatch.setattr(schema, "_may_write", lambda path: False)

    async def begin(number: int, close: bool) -> None:
        run = await Run.open(path)
        await run.done(run.started(f"w/0/training/{number}"), number)
        if close:
            await run.close()
        else:
            os._exit(0)

    child = os.fork()
    if not child:
        asyncio.run(begin(0, close=False))
    os.waitpid(child, 0)
    (path / "journal.sqlite-shm").unlink()
    with RunReader(path) as reader:
        changes = reader.since()
        assert [task.key for task in changes.tasks] == ["w/0/training/0"]
        for number in (1, 2):  # what a closed run leaves is read as it is
            asyncio.run(begin(number, close=True))
            changes = reader.since(changes.cursor)
            assert [task.key for task in changes.tasks] == [f"w/0/training/{number}"]


def test_who_watches_is_told_by_the_same_call(tmp_path: Path) -> None:
    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        seen: list[object] = []
        run.events.subscribe(seen.append)
        await play(run, 0)
        await run.close()
        kinds = [type(event) for event in seen]
        assert kinds.count(TaskQueued) == kinds.count(TaskBegan) == 3
        assert (kinds.count(TaskDone), kinds.count(TaskFailed), kinds[-1]) == (2, 1, IterationDone)
        assert TaskBegan("w/0/training/m", "node7:42") in seen

    asyncio.run(main())
