"""A run that several people use: by the umask, from archives and copies, and as another user."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from rose import Pool
from rose.errors import CorruptRunError
from rose.pool.candidates.opening import digest_of
from rose.store import LabelTable, Sample, labels_of_run, write_labels
from rose.store.files.paths import DATABASE
from rose.watch.summary import summarize
from tests.torture.harness import history

from .other_user import COLLEAGUE, GROUP, as_root, crash, finish, in_child, public_directory, umask

LOG, MEMORY = f"{DATABASE}-wal", f"{DATABASE}-shm"
either = pytest.mark.parametrize("play", [finish, crash])


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that all users can enter."""
    with public_directory() as path:
        yield path


def rights(run: Path) -> dict[str, int]:
    """The rights of everything in a run directory."""
    return {str(path.relative_to(run)): stat.S_IMODE(path.stat().st_mode) for path in sorted(run.rglob("*"))}


def contents(run: Path) -> dict[str, bytes]:
    """All files of a run."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def look(run: Path) -> tuple[str, int, int]:
    """What `rose status`, `rose labels` and a pool find."""
    table = labels_of_run(run)
    return summarize(run).state, summarize(run).labels, len(table)


@either
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_the_umask_gives_the_rights(play: Callable[[Path], None], mask: int, tmp_path: Path) -> None:
    with umask(mask):
        play(tmp_path / "run")
        write_labels(LabelTable([1.0, 2.0]), tmp_path / "run" / "labels.csv")
    found = rights(tmp_path / "run")
    for name, mode in found.items():
        full = 0o777 if (tmp_path / "run" / name).is_dir() else 0o666
        assert mode == full & ~mask, (name, oct(mode))
    assert {DATABASE, "labels.csv"} <= set(found)
    assert (LOG in found) == (play is crash)


def test_the_group_of_the_directory_is_that_of_what_is_in_it(tmp_path: Path) -> None:
    """A directory with the setgid bit, as projects share them; only root may give a directory to any group."""
    if os.getuid():
        pytest.skip("only root can give a directory to another group")
    os.chown(tmp_path, -1, GROUP)
    tmp_path.chmod(0o2775)
    with umask(0o002):
        crash(tmp_path / "run")
    assert {path.stat().st_gid for path in (tmp_path / "run").rglob("*")} == {GROUP}


@as_root
@either
@pytest.mark.parametrize("without_memory", [False, True])
def test_a_colleague_reads_what_they_cannot_write(
    play: Callable[[Path], None], without_memory: bool, public: Path
) -> None:
    run = public / "run"
    with umask(0o022):
        play(run)
    if without_memory:
        (run / MEMORY).unlink(missing_ok=True)
    before = contents(run)
    state, labels, table = in_child(lambda: look(run), COLLEAGUE)
    assert (state, labels, table) == ("finished" if play is finish else "crashed", 5, 5)
    if without_memory:
        assert contents(run) == before, "nothing is made or changed"
    finish(run)
    assert summarize(run).state == "finished"


@as_root
def test_a_colleague_who_may_write_the_directory_does_not_lock_the_owner_out(public: Path) -> None:
    """Who makes the log's memory owns it: so it is made by nobody who cannot write the database."""
    run = public / "run"
    with umask(0o022):
        crash(run)
    (run / MEMORY).unlink()
    run.chmod(0o777)
    assert in_child(lambda: look(run), COLLEAGUE)[0] == "crashed"
    assert not (run / MEMORY).exists()


@as_root
def test_a_colleague_looks_at_a_run_that_goes_on(public: Path) -> None:
    run = public / "run"

    async def main() -> tuple[str, int, int]:
        opened = await history.Run.open(run)
        try:
            await opened.imported([history.sample_of(0)], [1.5])
            found: tuple[str, int, int] = in_child(lambda: look(run), COLLEAGUE)
            await opened.imported([history.sample_of(1)], [2.5])  # and the driver goes on
        finally:
            await opened.close()
        return found

    with umask(0o022):
        state, labels, table = asyncio.run(main())
    assert (state, labels, table) == ("running", 1, 1)
    assert summarize(run).labels == 2


@as_root
def test_a_pool_takes_a_colleagues_labels(public: Path) -> None:
    run, X = public / "run", np.array([[0.0], [1.0], [2.0]])

    async def main() -> None:
        opened = await history.Run.open(run)
        samples = [Sample(history.content_of(i), i, digest_of(X[i], "X"), X[i]) for i in range(2)]
        await opened.imported(samples, [np.arange(3000.0), np.ones(3000)])  # as files
        await opened.close()

    with umask(0o022):
        asyncio.run(main())
    assert in_child(lambda: sorted(Pool(X, initial=3, labels=str(run)).known), COLLEAGUE) == [0, 1]


def mounted_read_only(run: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", run, run], check=True, capture_output=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", run], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", run], check=True)


@as_root
@either
def test_a_read_only_archive_is_read(play: Callable[[Path], None], tmp_path: Path) -> None:
    """A crashed run has its last records in the log, without the memory in which a living one finds them."""
    run = tmp_path / "run"
    play(run)
    (run / MEMORY).unlink(missing_ok=True)
    try:
        mount = mounted_read_only(run)
        next(mount)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"nothing can be mounted here: {error.stderr.decode().strip()}")
    try:
        assert look(run)[1:] == (5, 5)
    finally:
        next(mount, None)


# --- copies without the log ------------------------------------------------------------------------------------------


def test_a_copy_without_its_log_is_noticed(tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    crash(run)
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    for open_it in (lambda: summarize(copy), lambda: finish(copy), lambda: labels_of_run(copy), lambda: finish(copy)):
        with pytest.raises(CorruptRunError, match=rf"{LOG} is missing: .* without it.*`echo > .*{LOG}`"):
            open_it()
    assert not (copy / LOG).exists()
    shutil.copy(run / LOG, copy / LOG)  # the first way out
    assert look(copy)[1:] == (5, 5)
    finish(copy)
    assert history.read(copy) == history.COMPLETE


def test_a_lost_log_can_be_done_without(tmp_path: Path) -> None:
    run = tmp_path / "run"
    crash(run)
    (run / MEMORY).unlink()
    (run / LOG).write_text("\n")  # what `echo >` writes
    finish(run)
    assert history.read(run) == history.COMPLETE


def test_what_was_in_the_log_for_long_is_noticed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is brought into the database from time to time; what comes later is in it again."""
    monkeypatch.setattr("rose.store.database.thread._LOGGED", 20)
    run = tmp_path / "run"
    crash(run)
    (run / LOG).unlink()
    (run / MEMORY).unlink()
    with pytest.raises(CorruptRunError, match=f"{LOG} is missing"):
        finish(run)


def test_who_looks_with_other_programs_takes_nothing_away(tmp_path: Path) -> None:
    """SQLite's own shell, for one, brings the log into the database and removes it: nothing is missing then."""
    run = tmp_path / "run"
    crash(run)
    with closing(sqlite3.connect(run / DATABASE)) as shell:
        shell.execute("SELECT count(*) FROM labels").fetchone()
    assert not (run / LOG).exists()
    assert look(run)[1:] == (5, 5)
    finish(run)
    assert history.read(run) == history.COMPLETE
