"""Rows of tasks: whatever is written together, the last record of each task is found by any prefix."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose.errors import CorruptRunError
from rose.store.database.schema import open_for_writing
from rose.store.database.sql import forget_files, is_used, read_task, read_task_changes, read_tasks, write
from rose.store.records import DONE, TaskRecord

# Names may hold slashes, and numbers where an iteration could be.
keys = st.lists(st.sampled_from(["a", "b", "ab", "3", "30", "é\n", "training", "round"]), min_size=1, max_size=6).map(
    "/".join
)
pickled = st.none() | st.binary(max_size=20)
times = st.floats(0.0, 1e12)  # SQLite knows no -0.0
records = st.builds(
    TaskRecord,
    key=keys,
    state=st.sampled_from(["queued", "running", "done", "failed"]),
    attempt=st.integers(1, 10**6),
    queued=times,
    began=st.none() | times,
    ended=st.none() | times,
    worker=st.none() | st.just("host:1"),
    error=st.none() | st.text(st.characters(codec=None), max_size=9),
    value=pickled,
    file=st.none() | st.sampled_from(["x.npy", "y.pkl"]),
    note=pickled,
    output=st.none() | st.just("output/a"),
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(tmp_path, durable=False)) as connection:
        yield connection


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(tmp_path_factory.mktemp("run"), durable=False)) as connection:
        yield connection


@given(commits=st.lists(st.lists(records, max_size=6, unique_by=lambda record: record.key), max_size=5), probe=keys)
def test_the_last_record_of_each_task_is_found(
    database: sqlite3.Connection, commits: list[list[TaskRecord]], probe: str
) -> None:
    database.execute("DELETE FROM tasks")
    expected: dict[str, TaskRecord] = {}
    for commit in commits:
        write(database, commit)
        expected.update((record.key, record) for record in commit)
    for prefix in ("", probe, probe + "/", probe[:-1], *expected):
        found = list(read_tasks(database, prefix))
        assert {record.key: record for record in found} == {k: r for k, r in expected.items() if k.startswith(prefix)}
        assert len({record.key for record in found}) == len(found)
    assert read_task(database, probe) == expected.get(probe)


@given(commits=st.lists(st.lists(records, max_size=6, unique_by=lambda record: record.key), max_size=5), prefix=keys)
def test_forgotten_files_are_forgotten_and_no_others(
    database: sqlite3.Connection, commits: list[list[TaskRecord]], prefix: str
) -> None:
    database.execute("DELETE FROM tasks")
    for commit in commits:
        write(database, commit)
    before = list(read_tasks(database))
    spent = {record.key for record in before if record.key.startswith(prefix) and len(record.key) % 2}
    names = forget_files(database, prefix, lambda key: len(key) % 2 == 1)
    assert {record.file for record in before if record.key in spent} - {None} <= names
    assert list(read_tasks(database)) == [r._replace(file=None) if r.key in spent else r for r in before]
    for name in {record.file for record in before if record.key not in spent} - {None}:
        assert is_used(database, name)


def test_a_change_has_a_larger_number_than_any_before(journal: sqlite3.Connection) -> None:
    """Also of what was written last: that is what readers go on from."""
    first = [TaskRecord(f"w/0/criterion/m/{i:04}", DONE, 1, 1.0, value=b"x") for i in range(300)]
    write(journal, first)
    (*_, (last, _)) = read_task_changes(journal, 0)
    for record in (first[-1], first[7]):
        write(journal, [record._replace(state="failed")])
        ((number, found),) = read_task_changes(journal, last)
        assert number > last
        assert found == record._replace(state="failed")
        last = number


COLUMNS = [f"{name} = '9x'" for name in TaskRecord._fields if name != "key"] + ["key = key || 'x'", "crc = 1"]


@pytest.mark.parametrize("change", COLUMNS)
def test_a_damaged_row_is_an_error(journal: sqlite3.Connection, change: str) -> None:
    write(journal, [TaskRecord("w/0/training/m", DONE, 1, 1.0, value=b"12")])
    journal.execute(f"UPDATE tasks SET {change}")
    with pytest.raises(CorruptRunError, match=r"w/0/training.* is damaged"):
        list(read_tasks(journal))


def test_damage_met_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path, durable=False)) as connection:
        write(connection, (TaskRecord(f"w/{i}/training/m", DONE, 1, 1.0) for i in range(3)))
        connection.execute("UPDATE tasks SET crc = 1 WHERE seq = 1")
        with pytest.raises(CorruptRunError) as caught:
            list(read_tasks(connection))
    del caught  # and with it the reader, when its connection is closed already: pytest would tell
