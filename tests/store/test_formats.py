"""A run directory of every released format opens; one of a format to come, or of none, says what to do."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from rose.errors import RunDirectoryError
from rose.store import Dropped, IterationDone, Run, TaskDropped, lease
from rose.store.database.meta import write_meta
from rose.store.database.schema import DATABASE, FORMAT, open_for_reading, reading
from rose.store.database.sql import read_events, read_iterations, read_labels, read_tasks
from rose.store.lease import last_driver
from rose.watch.summary import summarize

SAMPLES = Path(__file__).parent / "formats"


NUMBERS = range(2, FORMAT + 1)  # 1 was never released


def test_there_is_a_sample_of_every_format() -> None:
    assert {int(path.name) for path in SAMPLES.iterdir() if path.name.isdecimal()} == {*NUMBERS}


@pytest.fixture(params=[f"{number}/{name}" for number in NUMBERS for name in ("finished", "killed")])
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a run directory of an old format: a round of three simulations, a model, predictions, and a number."""
    return Path(shutil.copytree(SAMPLES / request.param, tmp_path / "run"))


def test_an_old_run_is_read(sample: Path) -> None:
    with reading(sample) as connection:
        tasks = {task.key: task for task in read_tasks(connection)}
        labels = list(read_labels(connection))
        events = [event for _, (_, event) in read_events(connection)]
        iterations = list(read_iterations(connection))
        driver = last_driver(connection)
    assert set(tasks) == {
        *(f"w/0/simulation/{index}" for index in range(3)),
        *(f"w/0/{stage}" for stage in ("training/m", "prediction/m/0", "criterion")),
    }
    assert {key for key, task in tasks.items() if task.state == "dropped"} == {"w/0/simulation/2"}
    assert [(label.candidate, label.state) for label in labels] == [(0, "done"), (1, "done"), (2, "dropped")]
    assert [type(event) for event in events] == [TaskDropped, IterationDone]
    assert [(one.workflow, one.iteration, one.carried) for one in iterations] == [("w", 0, '["w/0/training/m"]')]
    assert driver is not None
    assert driver.epoch == 1


def test_an_old_run_is_looked_at(sample: Path) -> None:
    summary = summarize(sample)
    assert summary.state in ("finished", "crashed", "silent")
    assert summary.labels == 2
    (workflow,) = summary.workflows
    assert (workflow.name, workflow.iteration, workflow.tasks["dropped"]) == ("w", 0, 1)


def test_an_old_run_is_resumed(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    monkeypatch.setattr(lease, "SILENCE", 0.1)  # of the driver that was killed, on another machine

    async def main() -> None:
        run = await Run.open(sample)
        labels = list((await run.labels()).values())
        first, second, third = [await label.get() for label in labels]
        assert first == 0.0
        np.testing.assert_array_equal(second, np.arange(3000.0) + 1)
        assert isinstance(third, Dropped)
        assert await run.round("w", 0) is not None
        model = await run.task("w/0/training/m")
        assert model is not None
        assert set(await run.result(model).get()) == {"model", "weights"}
        assert await run.round("w", 1) is None
        await run.done(run.started("w/1/criterion"), 0.5)
        await run.close()

    asyncio.run(main())


def test_a_newer_format_says_what_to_do(tmp_path: Path) -> None:
    sample = Path(shutil.copytree(SAMPLES / f"{FORMAT}/finished", tmp_path / "run"))
    with sqlite3.connect(sample / DATABASE) as connection:
        write_meta(connection, "format", FORMAT + 1)
    connection.close()
    text = f"has format {FORMAT + 1}, and this version of ROSE knows {FORMAT}: install a newer ROSE to open it"
    with pytest.raises(RunDirectoryError, match=text):
        open_for_reading(sample)
    with pytest.raises(RunDirectoryError, match=text):
        asyncio.run(Run.open(sample))


def test_the_format_that_was_not_released_says_how_to_start_again(tmp_path: Path) -> None:
    sample = Path(shutil.copytree(SAMPLES / f"{FORMAT}/finished", tmp_path / "run"))
    with sqlite3.connect(sample / DATABASE) as connection:
        write_meta(connection, "format", 1)
    connection.close()
    for opening in (lambda: summarize(sample), lambda: asyncio.run(Run.open(sample))):
        with pytest.raises(RunDirectoryError, match=r"of a version of ROSE that was not released.* resume='new'"):
            opening()
