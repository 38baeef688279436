"""What a run's drivers have written down, and what its journal says: the judge of interrupted runs."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rose.store.database.schema import DATABASE, holds_run, open_for_reading
from rose.store.database.sql import read_iterations, read_labels, read_tasks
from rose.store.records import DONE, DROPPED


@dataclass
class Life:
    """What one driver did: the tasks it ran, the candidates simulated for it, the records that were acknowledged."""

    ran: list[str] = field(default_factory=list)
    simulated: list[int] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)


def lives(ledger: Path) -> list[Life]:
    """The drivers of a run, in order."""
    found: list[Life] = []
    for line in ledger.read_text().splitlines():
        kind, what = line.split(" ", 1)
        if kind == "driver":
            found.append(Life())
        elif kind == "simulated":
            found[-1].simulated.append(int(what))
        else:
            (found[-1].ran if kind == "ran" else found[-1].acknowledged).append(what)
    return found


@dataclass
class Recorded:
    """What is on disk: keys of tasks that are done, and the candidates of the labels."""

    done: set[str] = field(default_factory=set)
    labels: list[int] = field(default_factory=list)


@contextlib.contextmanager
def journal_of(run_dir: Path) -> Iterator[sqlite3.Connection | None]:
    """A run's journal as it lies there, from a copy: reading changes what a crash has left. None: there is none."""
    if not holds_run(run_dir):
        yield None
        return
    with tempfile.TemporaryDirectory() as copy:
        for path in run_dir.glob(f"{DATABASE}*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy)
        try:
            connection = open_for_reading(Path(copy))
        except OSError as error:
            if "tables are missing" not in str(error):
                raise
            connection = None  # killed before the first commit
        yield connection
        if connection is not None:
            connection.close()


def recorded(run_dir: Path) -> Recorded:
    """Read what is on disk of a run."""
    with journal_of(run_dir) as journal:
        if journal is None:
            return Recorded()
        done = {task.key for task in read_tasks(journal) if task.state in (DONE, DROPPED)}
        done |= {f"{one.workflow}/{one.iteration}/round" for one in read_iterations(journal)}
        return Recorded(done, [label.candidate for label in read_labels(journal)])


@dataclass
class Tally:
    """What went wrong in a run that was interrupted; all must stay empty."""

    lost: list[str] = field(default_factory=list)
    rerun: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)  # tasks that were dropped, and are to be tried again

    def after_death(self, ledger: Path, there: Recorded) -> None:
        """After a driver's death: whatever was acknowledged to anyone is on disk."""
        for life in lives(ledger):
            self.lost += [key for key in life.acknowledged if key not in there.done | self.withdrawn]

    def after_life(self, ledger: Path, before: Recorded) -> None:
        """After another driver's life: nothing ran that was recorded when it began, and nothing twice in it."""
        life = lives(ledger)[-1]
        labels = set(before.labels)
        self.rerun += [key for key in life.ran if key in before.done]
        self.rerun += [f"candidate {index}" for index in life.simulated if index in labels]
        self.twice += [f"task {key}" for key, count in Counter(life.ran).items() if count > 1]
        self.twice += [f"candidate {index}" for index, count in Counter(life.simulated).items() if count > 1]

    def at_the_end(self, there: Recorded, labelled_sets: Sequence[Sequence[int]]) -> None:
        """No sample is labelled twice, in the journal or in a workflow."""
        for what in (there.labels, *labelled_sets):
            self.twice += [f"label of {index}" for index, count in Counter(what).items() if count > 1]

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.lost or self.rerun or self.twice)
