"""File systems that lack something: locks, syncs of directories, letters of two cases, memory that machines share."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rose.store import Run
from rose.store.files import filesystem
from rose.store.files.filesystem import is_network, mount_of
from rose.store.files.paths import DATABASE, STREAMS, fitting, place_of
from rose.watch.task import view_task

from .other_user import as_root

SOURCE = Path(__file__).with_name("odd.c")
LOCK = [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO]
DIRSYNC = [errno.EINVAL, errno.EOPNOTSUPP, errno.EIO]
PROGRAM = """
import asyncio, io, json, logging, os, sys
from pathlib import Path
from rose.errors import RoseError
from rose.store.files import fsync
from tests.torture.harness import history
said = {}
for lack, code in json.loads(sys.argv[2]):
    logged = io.StringIO()
    logging.basicConfig(format="%(message)s", stream=logged, force=True)
    fsync._told.clear()
    run = Path(sys.argv[1], f"{lack}-{code}")
    for lacking in (True, False):  # it is mended, and goes on
        os.environ["ODD_" + lack] = str(code if lacking else 0)
        try:
            asyncio.run(history.play(run))
            assert history.read(run) == history.COMPLETE
            end = "complete"
        except (RoseError, OSError) as error:
            end = f"{type(error).__name__} {error}"
        said[f"{lack}-{code}-{'lacking' if lacking else 'mended'}"] = end + " " + logged.getvalue()
print(json.dumps(said))
"""


def test_what_file_systems_lack_is_said(tmp_path: Path) -> None:
    """Simulated, by a library that is preloaded: locks, and syncs of directories, that are refused."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make the odd file system with")
    library, root = tmp_path / "odd.so", str(SOURCE.parents[2])
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"LD_PRELOAD": str(library), "ODD_PATH": str(tmp_path), "PYTHONPATH": path}
    cases = [("LOCK", code) for code in LOCK] + [("DIRSYNC", code) for code in DIRSYNC]
    argv = [sys.executable, "-c", PROGRAM, tmp_path, json.dumps(cases)]
    ended = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    for code in LOCK:
        text = said[f"LOCK-{code}-lacking"]
        assert text.startswith("RunDirectoryError files in ")
        assert f"cannot be locked: its file system ({mount_of(tmp_path)[0]}, mounted on " in text
        assert errno.errorcode[code] in text
        assert "choose a run_dir elsewhere" in text
        assert "another process" not in text
    for code in DIRSYNC[:2]:
        text = said[f"DIRSYNC-{code}-lacking"]
        assert text.startswith("complete")
        assert text.count("cannot be synced") == 1
    assert said[f"DIRSYNC-{errno.EIO}-lacking"].startswith("OSError [Errno 5] Input/output error"), "a broken disk"
    assert not list(tmp_path.glob("LOCK-*/*lock*"))
    assert all(text.startswith("complete") for case, text in said.items() if case.endswith("mended"))


NETWORK = [
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "coda", "panfs"),
    *("wekafs", "dvs", "gfs2", "ocfs2", "virtiofs", "vboxsf", "9p", "pvfs2", "glusterfs", "acfs", "prl_fs", "vmhgfs"),
    *("fuse", "fuse.sshfs", "fuse.s3fs", "fuse.glusterfs", "fuse.ceph", "fuse.juicefs", "fuse.rclone", "not-yet-made"),
]


@pytest.mark.parametrize("kind", NETWORK)
def test_what_several_machines_see(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(filesystem, "mount_of", lambda directory: (kind, "/"))  # simulated
    assert is_network(tmp_path)


@as_root
def test_a_mounted_disk_is_found(tmp_path: Path) -> None:
    """Whatever the name of its directory; and a whole run is played on it."""
    there = tmp_path / "a b\t\\ü"
    there.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "rose", there], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"nothing can be mounted here: {error.stderr.decode().strip()}")
    try:
        assert mount_of(there / "run") == ("tmpfs", str(there))
        assert not is_network(there)
    finally:
        subprocess.run(["umount", there], check=True)


# --- names ----------------------------------------------------------------------------------------------------------

LONG = [
    "\u6a21" * 29,  # each of these is 9 bytes when it is quoted
    "\u6a21" * 28 + "\u578b",
    "x" * 300,
    "x" * 299 + "y",
]


def test_long_names_have_places_of_their_own(tmp_path: Path) -> None:
    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        for name in LONG:
            (run.workdir(f"{name}/0/training/{name}") / "model").write_text(name)
        assert len(list((tmp_path / "run" / "work").iterdir())) == len(LONG)
        await run.close()

    asyncio.run(main())


def test_places_that_were_are_the_same() -> None:
    """Runs that were begun before the names were cut find what they left."""
    assert place_of("A b:ü/3/training/\u6a21").as_posix() == "A b%3A%C3%BC/3/training/%E6%A8%A1"
    assert fitting("%E6%A8%A1" * 28) == "%E6%A8%A1" * 28


@pytest.mark.parametrize(
    ("one", "other"),
    [("BALD", "bald"), ("É", "é"), ("a.", "a"), ("a ", "a"), ("con", "CON"), ("%41", "A"), ("Aux", "aux")],
)
def test_names_that_differ_only_in_case_have_places_of_their_own(one: str, other: str) -> None:
    places = [place_of(name, fold=True).as_posix() for name in (one, other)]
    assert places[0].lower() != places[1].lower()
    for place in places:
        assert place.rstrip(". ") == place
        assert place.partition(".")[0].lower() not in ("con", "aux")


def test_a_run_where_case_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated, by a link: the kernels at hand know no such file system."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / DATABASE.swapcase()).symlink_to(DATABASE)
    (tmp_path / "run" / DATABASE).touch()

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        outputs = [tmp_path / "run" / run.output(f"{name}/0/training/m") for name in ("A", "a")]
        for key, output in zip(("A", "a"), outputs, strict=True):
            await run.done(run.started(f"{key}/0/training/m"), 1)
            output.mkdir(parents=True)
            (output / STREAMS[0]).write_text(f"printed by {key}")
        assert outputs[0].as_posix().lower() != outputs[1].as_posix().lower()
        await run.close()

    asyncio.run(main())
    for key in ("A", "a"):
        assert view_task(tmp_path / "run", f"{key}/0/training/m").printed[STREAMS[0]][0] == f"printed by {key}"
