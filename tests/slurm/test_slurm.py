"""ROSE on a real Slurm: jobs that end too early, nodes that are taken away, and others' executors and launchers."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .cluster import WITH_US
from .conftest import KEPT, Job, Slurm, await_, learn

pytestmark = pytest.mark.timeout(300)  # each wait in them ends earlier, and says for what it waited


@pytest.fixture(scope="module")
def expected(machine: Slurm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program finds if nothing disturbs it, on the login node."""
    folder = tmp_path_factory.mktemp("expected")
    machine.run(*learn(folder, "local"))
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert len(found["labels"]) == 6
    return found


@pytest.fixture(scope="module", autouse=True)
def limited(machine: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job with the shortest time limit that there is, which warns it after 10 to 40 s; it runs beside the others.

    Slurm looks for limits every 30 s, and warns of those that are due until it looks again.
    """
    folder = tmp_path_factory.mktemp("limited")
    line = shlex.join(learn(folder, "local", 2))
    script = f"srun -n 1 {line}; code=$?; echo $code >> codes; [ $code != 143 ] || scontrol requeue $SLURM_JOB_ID"
    limits = ["--time=1", "--signal=TERM@20", "--requeue"]
    return machine.batch(folder, script, *limits, f"--job-name={KEPT}", "--nodelist=n2")


def done(folder: Path, expected: dict[str, Any], labels: int = 6) -> list[list[str]]:
    """What was simulated, after checking that each was once and that the results are those of an undisturbed run."""
    found = json.loads((folder / "result.json").read_text())
    assert found == {**expected, "indices": expected["indices"][:labels], "labels": expected["labels"][:labels]}
    simulated = [line.split() for line in (folder / "simulated").read_text().splitlines()]
    assert len({sample for sample, *_ in simulated}) == len(simulated) == labels
    return simulated


def held(folder: Path, count: int) -> bool:
    """Whether so many simulations have ended (or one more, that was about to); the others wait."""
    file = folder / "simulated"
    return file.exists() and len(file.read_text().splitlines()) >= count


def silent(text: str) -> None:
    """Nothing of ours went wrong."""
    assert "Traceback" not in text, text
    assert "reaper" not in text, text


def test_a_preempted_job_goes_on_on_another_node(mended: Slurm, tmp_path: Path, expected: dict[str, Any]) -> None:
    """First with a signal, as at a preemption; then its node is taken down, and nobody hears anything."""
    job = mended.batch(tmp_path, "exec " + shlex.join(learn(tmp_path, "local", 2)), "--requeue", "--nodelist=n1")
    job.wait_for(lambda: held(tmp_path, 2), "two simulations")
    mended.run("scontrol", "requeue", job.number)
    job.wait_for(lambda: job.field("JobState") == "PENDING", "its requeue")
    job.restart("RUNNING")
    silent((tmp_path / "out").read_text())
    mended.run("scontrol", "update", "nodename=n1", "state=down", "reason=test")
    job.wait_for(lambda: job.field("JobState") == "PENDING", "its requeue from a node that is down")
    (tmp_path / "go").touch()
    job.restart("COMPLETED", "ReqNodeList=n2")
    assert job.field("Restarts") == "2"
    nodes = [node for _, node, _ in done(tmp_path, expected)]
    assert nodes == sorted(nodes)
    assert set(nodes) == {"n1", "n2"}


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """An engine of learn.py; those that start a Python for each task are for `make slurm`."""
    name = str(request.param)
    if name in ("steps", "jobs") and not request.config.getoption("--slurm", default=False):
        pytest.skip("takes half a minute: make slurm")
    return name


@pytest.mark.parametrize("kind", ["workers", "steps"], indirect=True)
def test_executorlib_in_an_allocation(kind: str, mended: Slurm, tmp_path: Path, expected: dict[str, Any]) -> None:
    program = mended.run("salloc", "-Q", "-n2", *learn(tmp_path, kind, 4, 1), cwd=tmp_path)
    assert {step.isdigit() for _, _, step in done(tmp_path, expected, 4)} == {True}
    silent(program.stderr)
    assert ("block_allocation=True" in program.stderr) == (kind == "steps")


@pytest.mark.parametrize("kind", ["cluster workers", "jobs"], indirect=True)
def test_executorlib_submits_jobs(kind: str, mended: Slurm, tmp_path: Path, expected: dict[str, Any]) -> None:
    pytest.importorskip("pysqa")
    program = mended.run(*learn(tmp_path, kind, 4, 1), cwd=tmp_path)
    assert {node for _, node, _ in done(tmp_path, expected, 4)} <= {"n1", "n2"}
    silent(program.stderr)


def test_dask_jobqueue_and_a_node_that_is_taken_down(mended: Slurm, tmp_path: Path, expected: dict[str, Any]) -> None:
    pytest.importorskip("dask_jobqueue")
    workers = ["squeue", "-h", "--name=dask-worker", "-o", "%i %T"]
    with (tmp_path / "err").open("w") as err:
        command = [*WITH_US, *learn(tmp_path, "dask", 2)]
        program = subprocess.Popen(command, env=mended.environment, cwd=tmp_path, stderr=err)
    try:
        await_(lambda: held(tmp_path, 2), "two simulations", mended)
        _, busy, _ = (tmp_path / "simulated").read_text().splitlines()[-1].split()  # the next one waits there
        mended.run("scontrol", "update", f"nodename={busy}", "state=down", "reason=test")

        seen: dict[str, Job] = {}

        def restarted() -> bool:
            jobs = [line.split() for line in mended.run(*workers).stdout.splitlines()]
            for number, _ in jobs:
                seen.setdefault(number, Job(mended, number, tmp_path)).start_now()
            return "RUNNING" in {state for _, state in jobs}

        await_(restarted, "a worker to be started again on the other node", mended)
        (tmp_path / "go").touch()
        await_(lambda: program.poll() is not None, "the end of the program", mended)
    finally:
        program.kill()
        program.wait()
    assert program.returncode == 0, (tmp_path / "err").read_text()
    assert "died while it ran" in (tmp_path / "err").read_text()
    assert {node for _, node, _ in done(tmp_path, expected)} == {"n1", "n2"}


def test_srun_launches_the_ranks_of_a_command(mended: Slurm, tmp_path: Path) -> None:
    """Ranks without MPI: their numbers and nodes. A task's own time limit ends its job step, not the job."""
    (tmp_path / "learn.py").write_text(RANKS)
    program = mended.run("salloc", "-Q", "-N2", "-n2", sys.executable, "learn.py", cwd=tmp_path)
    told = (tmp_path / "ranks").read_text().splitlines()
    assert sorted(told) == ["0 n1", "1 n2"]
    assert program.stdout.splitlines() == ["[0.5]", "TaskTimeoutError", "steps left: 0"]
    silent(program.stderr)


RANKS = """
import os, subprocess
from rose import LocalEngine, ParallelUQLearner, Pool
from rose.errors import RunFailedError
from rose.metrics import PREDICTIVE_VARIANCE

def learn(line, timeout):
    learner = ParallelUQLearner(LocalEngine(2), pool=Pool([[0.0], [1.0]], initial=1, seed=0))
    launcher = "srun --overlap -N 2 -n {ranks} -c {cpus} {command}"

    @learner.simulation_task(ranks=2, launcher=launcher, timeout=timeout, collect=lambda folder: 0.5)
    def simulate(x):
        return line

    learner.training_task(as_executable=False)(lambda X, y, seed: seed % 5)
    learner.prediction_task(as_executable=False)(lambda model, X: [x[0] * model for x in X])
    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=1)
    return learner.run(["w"], ["a", "b"], max_iter=1)["w"]

print(learn(f"sh -c 'echo $SLURM_PROCID $(hostname) >> {os.getcwd()}/ranks'", 60).labels.tolist())
try:
    learn("sleep 600", 2)
except RunFailedError as error:
    print(type(error.errors["w"]).__name__)
steps = ["squeue", "-h", "-s", "-j", os.environ["SLURM_JOB_ID"], "-o", "%j"]
left = subprocess.run(steps, capture_output=True, text=True).stdout.split()
print("steps left:", left.count("sleep"))
"""


def test_a_job_at_its_time_limit(machine: Slurm, limited: Job, expected: dict[str, Any]) -> None:
    """It was warned (see `limited`), committed what it had, exited with 143, asked to be requeued, and went on.

    Another test may have taken its node down before: then a code that says nothing comes first, and Slurm requeued it.
    """
    codes = limited.folder / "codes"

    def warned() -> bool:
        limited.start_now()
        return held(limited.folder, 2) and codes.exists() and "143" in codes.read_text().split()

    limited.wait_for(warned, "the warning before its time limit")
    (limited.folder / "go").touch()
    limited.restart("COMPLETED", "TimeLimit=10")  # it need not hurry
    assert codes.read_text().split()[-1] == "0"
    done(limited.folder, expected)
    silent((limited.folder / "out").read_text())
