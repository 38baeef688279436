"""Decide which results are kept: what an iteration carries on, and of the last iterations only.

A complete iteration says which results are needed after it, by the keys of their tasks. Files of its other tasks, and
what only earlier iterations carried, nothing needs any more.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection

from rose.store.database.sql import forget_files, read_iterations


def carried_to_json(keys: Collection[str]) -> str:
    """Return the keys of tasks whose results are needed after an iteration, as its record has them."""
    return json.dumps(sorted(set(keys)))


def free_results(connection: sqlite3.Connection, workflow: str, iteration: int, kept: int) -> set[str]:
    """Forget the files that a workflow does not need after an iteration that is complete now; inside a transaction.

    Args:
        connection: the journal's.
        workflow, iteration: which.
        kept: of how many iterations what they carried is kept.

    Returns:
        The names of the files.
    """
    first = iteration - kept
    records = read_iterations(connection, "workflow = ? AND iteration BETWEEN ? AND ?", (workflow, first, iteration))
    carried = {record.iteration: set(json.loads(record.carried)) for record in records}
    last = carried.pop(first, set())
    needed = set().union(*carried.values())
    names = forget_files(connection, f"{workflow}/{iteration}/", lambda key: key not in needed)
    for key in last - needed:
        names |= forget_files(connection, key, key.__eq__)
    return names


class CarriedResults:
    """Know the results that the complete iterations of a run carry on.

    Args:
        connection: the journal's.
        kept: of how many of the last iterations of each workflow what they carried is kept.
    """

    def __init__(self, connection: sqlite3.Connection, kept: int) -> None:
        carried: defaultdict[str, dict[int, list[str]]] = defaultdict(dict)
        for record in read_iterations(connection):
            carried[record.workflow][record.iteration] = json.loads(record.carried)
        self._last = {workflow: max(found) for workflow, found in carried.items()}
        self._ever: set[str] = set()
        self._needed: set[str] = set()
        for workflow, found in carried.items():
            for iteration, keys in found.items():
                self._ever.update(keys)
                if iteration > self._last[workflow] - kept:
                    self._needed.update(keys)

    def was_carried(self, key: str) -> bool:
        """Return whether an iteration has carried on the result of a task."""
        return key in self._ever

    def is_spent(self, key: str) -> bool:
        """Return whether a task is of a complete iteration, and nothing needs its result any more."""
        if key in self._needed:
            return False
        for workflow, last in self._last.items():
            iteration = key[len(workflow) + 1 :].partition("/")[0]
            if key.startswith(workflow + "/") and iteration.isdecimal() and int(iteration) <= last:
                return True
        return False
