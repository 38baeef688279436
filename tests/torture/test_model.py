"""Random operations, crashes and take-overs on a run, against a model of it in memory."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rose.errors import RunLockedError, RunLostError
from rose.store import CANCELLED, DONE, DROPPED, FAILED, RUNNING, IterationDone, Result, Run, Sample, encode
from rose.store.database.meta import read_meta
from rose.store.database.schema import reading
from rose.store.database.sql import read_events, read_iterations, read_labels, read_tasks
from rose.store.files.objects import ObjectStore
from rose.store.files.paths import DATABASE, OBJECTS
from rose.store.garbage import collect_garbage
from rose.store.journal import Journal

from .harness.history import same

WORKFLOWS, ROUNDS = st.sampled_from(["a", "b"]), st.integers(0, 2)
STAGES = st.sampled_from(["training/m", "prediction/m/0", "criterion"])
INDICES = st.integers(0, 5)
VALUES = st.sampled_from(["small", "text", "array", "model", "same array"])
Value = Any


def value_of(kind: str, number: int) -> Value:
    """A result: small ones are kept in the journal, the others are files; "same array" has the same content always."""
    values: dict[str, Value] = {
        "small": number,
        "text": str(number) * 10,
        "array": np.arange(2500.0) + number,
        "model": {"weights": number.to_bytes(4, "big") * 5000},
        "same array": np.ones(2500),
    }
    return values[kind]


def is_file(kind: str) -> bool:
    """Whether such a value becomes a file."""
    return kind in ("array", "model", "same array")


def sample_of(index: int) -> Sample:
    """A candidate."""
    content = hashlib.blake2b(str(index).encode(), digest_size=16).digest()
    return Sample(content, index, content[::-1], float(index))


class Store(RuleBasedStateMachine):
    """A run, and what has to be in it.

    `tasks` and `labels` hold what was acknowledged: (state, kind of the value, its number); a kind of None: no value.
    `maybe` holds what was put and not yet acknowledged: after a crash it may be there or not.
    """

    @initialize()
    def begin(self) -> None:
        shared = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="rose-model-", dir=shared if shared.is_dir() else None))
        self.path = self.folder / "0"
        self.loop = asyncio.new_event_loop()
        self.run: Run | None = None
        self.number = 0
        self.tasks: dict[str, tuple[str, str | None, int]] = {}
        self.labels: dict[int, tuple[str, str | None, int]] = {}
        self.notes: dict[str, int] = {}
        self.complete: dict[tuple[str, int], int] = {}
        self.rounds = 0
        self.maybe: dict[str, tuple[str, str | None, int]] = {}
        self.pending: list[tuple[str, asyncio.Task[Any]]] = []
        self.lost: list[Run] = []
        self.open()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @property
    def driver(self) -> Run:
        assert self.run is not None
        return self.run

    # --- what drivers do ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.run is None)
    @rule()
    def open(self) -> None:
        self.run = self.wait(Run.open(self.path))

    @precondition(lambda self: self.run is not None)
    @rule(workflow=WORKFLOWS, iteration=ROUNDS, stage=STAGES, kind=VALUES)
    def done(self, workflow: str, iteration: int, stage: str, kind: str) -> None:
        key, number = f"{workflow}/{iteration}/{stage}", self.next()
        self.settle()
        self.wait(self.give(key, value_of(kind, number)))
        self.tasks[key] = (DONE, kind, number)

    async def give(self, key: str, value: Value) -> None:
        await self.driver.done(self.driver.started(key), value)

    @precondition(lambda self: self.run is not None)
    @rule(keys=st.lists(st.tuples(WORKFLOWS, ROUNDS, STAGES, VALUES), min_size=1, max_size=4), turns=st.integers(0, 8))
    def done_later(self, keys: list[tuple[str, int, str, str]], turns: int) -> None:
        """Several at once, and nobody waits for them yet."""
        self.settle()
        for workflow, iteration, stage, kind in keys:
            key, number = f"{workflow}/{iteration}/{stage}", self.next()
            if key in self.maybe:
                continue
            self.pending.append((key, self.loop.create_task(self.give(key, value_of(kind, number)))))
            self.maybe[key] = (DONE, kind, number)

        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.wait(turn())

    @precondition(lambda self: self.run is not None)
    @rule(workflow=WORKFLOWS, iteration=ROUNDS, stage=STAGES, state=st.sampled_from([FAILED, CANCELLED, DROPPED]))
    def ended(self, workflow: str, iteration: int, stage: str, state: str) -> None:
        key = f"{workflow}/{iteration}/{stage}"
        self.settle()

        async def end() -> None:
            running = self.driver.started(key)
            if state == DROPPED:
                await self.driver.dropped(running, RuntimeError("why"))
            else:
                self.driver.ended(running, state, RuntimeError("why"))
                await self.driver.journal.committed()

        self.wait(end())
        self.tasks[key] = (state, None, 0)

    @precondition(lambda self: self.run is not None)
    @rule(workflow=WORKFLOWS, indices=st.sets(INDICES, min_size=1), kind=VALUES, drop=st.booleans())
    def labelled(self, workflow: str, indices: set[int], kind: str, drop: bool) -> None:
        new = sorted(indices - self.labels.keys())
        if not new:
            return
        self.settle()
        key, number = f"{workflow}/0/simulation/{new[0]}", self.next()
        samples = [sample_of(index) for index in new]

        async def label() -> None:
            running = self.driver.started(key)
            if drop:
                await self.driver.dropped(running, RuntimeError("why"), samples)
            else:
                await self.driver.labelled(running, samples, [value_of(kind, number + index) for index in new])

        self.wait(label())
        self.tasks[key] = (DROPPED if drop else DONE, None, 0)
        for index in new:
            self.labels[index] = (DROPPED, None, 0) if drop else (DONE, kind, number + index)

    @precondition(lambda self: self.run is not None)
    @rule(workflow=WORKFLOWS, iteration=ROUNDS)
    def round_done(self, workflow: str, iteration: int) -> None:
        self.settle()
        number = self.next()
        carried = [f"{workflow}/{iteration}/training/m"]
        self.wait(self.driver.round_done(IterationDone(workflow, iteration), number, None, carried))
        self.complete[workflow, iteration] = number
        self.rounds += 1
        self.free(lambda key: key.startswith(f"{workflow}/{iteration}/") and key not in carried)
        if (workflow, iteration - 1) in self.complete:
            self.free(lambda key: key == f"{workflow}/{iteration - 1}/training/m")

    def free(self, spent: Callable[[str], bool]) -> None:
        for key, (state, kind, number) in self.tasks.items():
            if spent(key) and kind and is_file(kind):
                self.tasks[key] = (state, f"freed {kind}", number)

    @precondition(lambda self: self.run is not None)
    @rule(name=st.sampled_from(["identity", "simulation"]))
    def note(self, name: str) -> None:
        self.notes[name] = self.next()
        self.wait(self.driver.journal.note(name, self.notes[name]))

    @precondition(lambda self: self.run is not None)
    @rule()
    def settle(self) -> None:
        """Wait for all that is under way: then it is acknowledged."""
        if self.pending:
            self.wait(asyncio.wait([work for _, work in self.pending]))
        for _, work in self.pending:
            work.result()
        self.pending.clear()
        self.tasks.update(self.maybe)
        self.maybe.clear()

    # --- what happens to them ----------------------------------------------------------------------------------

    @precondition(lambda self: self.run is not None)
    @rule(outcome=st.sampled_from(["finished", "failed"]))
    def close(self, outcome: str) -> None:
        self.settle()
        self.driver.outcome = outcome
        self.wait(self.driver.close())
        self.run = None

    @precondition(lambda self: self.run is None)
    @rule()
    def collect(self) -> None:
        collect_garbage(self.path)
        for workflow in ("a", "b"):
            last = max((i for name, i in self.complete if name == workflow), default=-1)
            gone = tuple(f"{workflow}/{iteration}/" for iteration in range(last + 1))
            carried = f"{workflow}/{last}/training/m"
            self.free(lambda key, gone=gone, carried=carried: key.startswith(gone) and key != carried)  # type: ignore[misc]

    @precondition(lambda self: self.run is not None)
    @rule()
    def crash(self) -> None:
        """What is on the disk now is all that there is: it goes on from a copy, as after `kill -9`."""
        old, target = self.driver, self.folder / str(self.next())

        def copy() -> None:  # in the journal's thread: SQLite's files are not written meanwhile
            target.mkdir()
            for name in (DATABASE, f"{DATABASE}-wal"):
                if (self.path / name).exists():
                    shutil.copy(self.path / name, target)
            if (self.path / OBJECTS).exists():
                shutil.copytree(self.path / OBJECTS, target / OBJECTS)

        self.wait(old.journal.run(copy))
        if self.pending:
            self.wait(asyncio.wait([work for _, work in self.pending]))
        self.wait(old.close())
        self.pending.clear()
        self.path, self.run = target, None
        self.resolve()

    def resolve(self) -> None:
        """See what of that which was not acknowledged is there."""
        with reading(self.path) as connection:
            there = {task.key: task for task in read_tasks(connection)}
        for key, (state, kind, number) in self.maybe.items():
            record = there.get(key)
            if record is not None and record.state == RUNNING:
                self.tasks.pop(key, None)
            if record is not None and record.state == state and self.is_value(record, kind, number):
                self.tasks[key] = (state, kind, number)
        self.maybe.clear()

    @precondition(lambda self: self.run is not None)
    @rule()
    def another(self) -> None:
        """A second driver is refused."""
        with pytest.raises(RunLockedError, match="is being written by process"):
            Journal.open(self.path)

    @precondition(lambda self: self.run is not None)
    @rule()
    def taken_over(self) -> None:
        """The driver was taken for dead, and another takes its place: it writes nothing more."""
        self.settle()
        old = self.driver

        def dead() -> None:
            old.journal._connection.execute("UPDATE driver SET pid = 4194305")  # there is no such process

        self.wait(old.journal.run(dead))
        self.run = self.wait(Run.open(self.path))

        async def late() -> None:
            with pytest.raises(RunLostError):
                await old.done(old.started("a/0/criterion"), "too late")
            await old.close()

        self.wait(late())

    def next(self) -> int:
        self.number += 100
        return self.number

    # --- what must hold ----------------------------------------------------------------------------------------

    def is_value(self, record: Any, kind: str | None, number: int) -> bool:
        """Whether a record holds that value, or may have lost it where it was freed."""
        if record.value is None and record.file is None:
            return kind is None or kind.startswith("freed")
        if kind is None:
            return False
        value = Result(ObjectStore(self.path / OBJECTS), record.value, record.file).load()
        return same(value, value_of(kind.removeprefix("freed "), number))

    @invariant()
    def is_as_the_model_says(self) -> None:
        if not hasattr(self, "tasks"):
            return
        with reading(self.path) as connection:
            tasks = {task.key: task for task in read_tasks(connection)}
            labels = {label.candidate: label for label in read_labels(connection)}
            events = [event for _, (_, event) in read_events(connection)]
            complete = {(one.workflow, one.iteration): one.record for one in read_iterations(connection)}
            notes = {name: read_meta(connection, name) for name in self.notes}
        for key, (state, kind, number) in self.tasks.items():
            if key in self.maybe:
                continue
            assert key in tasks, f"{key} is lost"
            assert tasks[key].state == state
            assert self.is_value(tasks[key], kind, number), key
        assert labels.keys() == self.labels.keys()
        for index, (state, kind, number) in self.labels.items():
            assert labels[index].content == sample_of(index).content
            assert labels[index].state == state
            assert self.is_value(labels[index], kind, number), index
        assert sum(isinstance(event, IterationDone) for event in events) == self.rounds
        assert complete == {key: encode(number) for key, number in self.complete.items()}
        assert notes == self.notes

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        if self.run is not None:
            self.settle()
            self.wait(self.run.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)


def test_random_histories(kills: int, request: pytest.FixtureRequest) -> None:
    number = request.getfixturevalue("seed")
    print(f"--torture-seed {number}")
    histories = settings(
        max_examples=2 * kills or 10,
        stateful_step_count=20 if kills else 12,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if kills else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(Store), settings=histories)
