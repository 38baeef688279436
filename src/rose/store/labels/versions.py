"""Tell which label is of which of the simulations that a run has labelled with, one after the other.

A run that starts over with a changed simulation (`accept_changes="resimulate"`) keeps the labels of the one before, and
may go back to it. Labels are told apart by when they came: each simulation's by the spans of time in which it was the
run's.
"""

from __future__ import annotations

import bisect
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rose.store.database.meta import read_meta, write_meta
from rose.store.database.sql import numbered_labels, read_tasks, write
from rose.store.records import CANCELLED, DONE, DROPPED, LabelRecord

_NOTE = "simulations"


@dataclass(frozen=True)
class Simulations:
    """Hold the simulations of a run.

    Attributes:
        known: of each, what its labels are known by, and the digests of the code that it was while it was the run's.
        spans: the number of the last label before each span, and whose span it is, a place in `known`.
    """

    known: Sequence[tuple[str, Sequence[str]]]
    spans: Sequence[tuple[int, int]] = ((0, 0),)

    @property
    def current(self) -> int:
        """Return the simulation that is the run's now, a place in `known`."""
        return self.spans[-1][1]

    def of(self, label: int) -> int:
        """Return which simulation a label of that number is of, a place in `known`."""
        return self.spans[bisect.bisect_left([after for after, _ in self.spans], label) - 1][1]

    def number(self, simulation: int) -> int:
        """Return 1, 2, ... in the order in which they were the run's last; the highest is the one that is now."""
        last = {whose: place for place, (_, whose) in enumerate(self.spans)}
        return 1 + sorted(last, key=lambda whose: last[whose]).index(simulation)

    def accepted(self, code: str) -> Simulations:
        """Return the simulations with other code for the current one, whose labels are kept."""
        known = list(self.known)
        identity, codes = known[self.current]
        known[self.current] = identity, [*codes, code]
        return replace(self, known=known)

    def changed(self, code: str, identity: str, last: int) -> Simulations:
        """Return the simulations with that of this code as the current one, known or new (by `identity`).

        Args:
            code: the digest of its code.
            identity: what its labels are to be known by, if it is new.
            last: the number of the last label that there is.
        """
        found = [place for place, (_, codes) in enumerate(self.known) if code in codes]
        known = self.known if found else [*self.known, (identity, [code])]
        return Simulations(known, [*self.spans, (last, found[0] if found else len(known) - 1)])

    def to_plain(self) -> dict[str, Any]:
        """Return the simulations as plain JSON."""
        return {"known": [[identity, list(codes)] for identity, codes in self.known], "spans": list(self.spans)}


def read_simulations(connection: sqlite3.Connection) -> Simulations | None:
    """Return the simulations as they are noted; None of a run that has had only one."""
    plain: Mapping[str, Any] | None = read_meta(connection, _NOTE)
    if plain is None:
        return None
    known = [(identity, codes) for identity, codes in plain["known"]]
    return Simulations(known, [(after, whose) for after, whose in plain["spans"]])


def labels_by_simulation(connection: sqlite3.Connection) -> tuple[list[tuple[int, LabelRecord]], int]:
    """Return all labels with the numbers of their simulations, and the number of the run's own."""
    simulations = read_simulations(connection) or Simulations([("", [])])
    found = [(simulations.number(simulations.of(label)), record) for label, record in numbered_labels(connection)]
    return found, simulations.number(simulations.current)


def current_labels(connection: sqlite3.Connection) -> list[LabelRecord]:
    """Return the labels of the run's simulation, in the order in which they came."""
    found, own = labels_by_simulation(connection)
    return [record for number, record in found if number == own]


def last_label(connection: sqlite3.Connection) -> int:
    """Return the number of the last label that was ever written."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'labels'").fetchone()
    return int(row[0]) if row else 0


def write_simulations(connection: sqlite3.Connection, simulations: Simulations) -> None:
    """Note the simulations, inside a transaction."""
    write_meta(connection, _NOTE, simulations.to_plain())


def forget_rounds(connection: sqlite3.Connection, workflow: str | None = None, since: int = 0) -> None:
    """Forget rounds, to be played again: what is recorded of their tasks does not count; inside a transaction.

    Args:
        connection: the journal's.
        workflow: whose rounds; None: all.
        since: the first of them.
    """
    prefix = "" if workflow is None else f"{workflow}/"

    def is_of_these(key: str) -> bool:
        iteration = key[len(prefix) :].partition("/")[0]
        return workflow is None or (iteration.isdecimal() and int(iteration) >= since)

    records = (record for record in read_tasks(connection, prefix) if is_of_these(record.key))
    counted = [record for record in records if record.state in (DONE, DROPPED)]
    write(connection, (one._replace(state=CANCELLED, value=None, file=None, note=None) for one in counted))
    connection.execute(
        "DELETE FROM iterations WHERE workflow = coalesce(?, workflow) AND iteration >= ?", (workflow, since)
    )
    notes = [name for (name,) in connection.execute("SELECT name FROM meta WHERE name LIKE 'given %'")]
    for name in notes:  # which labels were given in which round
        key = name.removeprefix("given ")
        if key.startswith(prefix) and is_of_these(f"{key}/"):
            connection.execute("DELETE FROM meta WHERE name = ?", (name,))
