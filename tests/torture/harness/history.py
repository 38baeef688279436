"""A short run made of the store's own calls: every kind of record, small and large, three rounds, resumed by replay."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rose.store import IterationDone, Result, Run, Sample, TaskDropped
from rose.store.database.schema import reading
from rose.store.database.sql import read_events, read_iterations, read_labels, read_tasks
from rose.store.files.objects import ObjectStore
from rose.store.files.paths import OBJECTS
from rose.store.records import DONE, DROPPED, decode

ROUNDS, SAMPLES = 2, 3
STAGES = ("training/m", "prediction/m/0", "criterion")
DROPPED_SAMPLE = 2
Ran = Callable[[str], None]


def label_of(index: int) -> Any:
    """A sample's label: every other one is a file."""
    return np.arange(3000.0) + index if index % 2 else index * 1.5


def result_of(key: str) -> Any:
    """A task's result: a number, a model that is pickled, or an array."""
    if key.endswith("criterion"):
        return 0.25
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "little")
    return {"model": number, "weights": bytes([number % 256]) * 20_000} if "training" in key else np.full(3000, number)


def content_of(index: int) -> bytes:
    """What identifies a sample."""
    return hashlib.blake2b(str(index).encode(), digest_size=16).digest()


def sample_of(index: int) -> Sample:
    """One candidate of the pool."""
    return Sample(content_of(index), index, content_of(-1 - index), np.array([float(index)]))


async def play(path: Path, ran: Ran = lambda key: None) -> None:
    """Open the run and play it to its end, telling the keys of the tasks that had to be run."""
    run = await Run.open(path)
    try:
        labels = await run.labels()
        for iteration in range(ROUNDS):
            if await run.round("w", iteration) is None:
                await _label(run, iteration, labels, ran)
                await _learn(run, iteration, ran)
                carried = [f"w/{iteration}/training/m"]
                await run.round_done(IterationDone("w", iteration), {"round": iteration}, {"reported": 1.5}, carried)
        run.outcome = "finished"
    finally:
        await run.close()


async def _label(run: Run, iteration: int, labels: Any, ran: Ran) -> None:
    for index in range(iteration * SAMPLES, (iteration + 1) * SAMPLES):
        if content_of(index) in labels:
            continue
        ran(f"w/{iteration}/simulation/{index}")
        running = run.started(f"w/{iteration}/simulation/{index}")
        if index == DROPPED_SAMPLE:
            await run.dropped(running, RuntimeError("it failed"), [sample_of(index)])
        else:
            await run.labelled(running, [sample_of(index)], [label_of(index)])


async def _learn(run: Run, iteration: int, ran: Ran) -> None:
    for stage in STAGES:
        key = f"w/{iteration}/{stage}"
        record = run.recorded("w", iteration, key)
        if record is not None:
            await run.result(record).get()
            continue
        ran(key)
        await run.done(run.started(key), result_of(key), note=({"reported": iteration}, 0.5, None))


ROUNDS_KEYS = [f"w/{iteration}/round" for iteration in range(ROUNDS)]


def read(path: Path) -> set[str]:
    """Read all that is recorded, and check each value: the keys of the tasks and labels that are there.

    A task's result may be missing only where its round is complete: there it has been freed.

    Raises:
        CorruptRunError: if something is damaged, and found to be.
    """
    objects, found = ObjectStore(path / OBJECTS), set()
    freed: dict[str, Result] = {}
    with reading(path) as connection:
        for task in read_tasks(connection):
            if task.state in (DONE, DROPPED):
                found.add(task.key)
            if task.file is not None and task.file not in objects:
                freed["/".join(task.key.split("/")[:2]) + "/round"] = Result(objects, None, task.file)
            elif task.value is not None or task.file is not None:
                assert same(Result(objects, task.value, task.file).load(), result_of(task.key)), task.key
        for one in read_iterations(connection):
            found.add(f"w/{one.iteration}/round")
            assert one.record is not None
            assert decode(one.record) == {"round": one.iteration}
        for label in read_labels(connection):
            found.add(f"label {label.candidate}")
            assert label.content == content_of(label.candidate)
            assert label.state == (DROPPED if label.candidate == DROPPED_SAMPLE else DONE)
            if label.state == DONE:
                value = Result(objects, label.value, label.file).load()
                assert same(value, label_of(label.candidate)), label.candidate
        for _, (_, event) in read_events(connection):
            if isinstance(event, IterationDone):
                assert event == IterationDone("w", event.iteration, dropped=[], failed_members=[])
            else:
                assert event == TaskDropped(f"w/0/simulation/{DROPPED_SAMPLE}", "it failed")
    for round_key, result in freed.items():  # files go when their round is done; if its row is lost, that is an error
        if round_key not in found:
            result.load()
    return found


COMPLETE = {
    *ROUNDS_KEYS,
    *(f"label {index}" for index in range(ROUNDS * SAMPLES)),
    *(f"w/{index // SAMPLES}/simulation/{index}" for index in range(ROUNDS * SAMPLES)),
    *(f"w/{iteration}/{stage}" for iteration in range(ROUNDS) for stage in STAGES),
}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, to the last bit."""
    if isinstance(other, np.ndarray):
        return isinstance(one, np.ndarray) and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    return type(one) is type(other) and bool(one == other)
