"""A real Slurm on this one machine: a controller and two nodes, n1 and n2, of two cpus each, on loopback.

All that it needs is in one directory: its configuration (SLURM_CONF), its keys, its munge. Each node is a machine as
far as namespaces make one: its programs see the host name n1 or n2, both resolve, and they see no processes but the
node's own, which end with it. By hand, until Ctrl-C:

    python -m tests.slurm.cluster DIR        # then, elsewhere: SLURM_CONF=DIR/slurm.conf sinfo
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "srun", "sbatch", "salloc", "scontrol", "munged", "setpriv", "unshare")
PACKAGES = "slurmctld slurmd slurm-client munge"
NODES = ("n1", "n2")
WITH_US = ("setpriv", "--pdeathsig", "KILL")  # what is started by it ends with us, however we end,
_WHOLLY = (*WITH_US, "unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")  # with all of it
START = 60.0  # seconds for the nodes to register

_CONFIGURATION = """\
ClusterName=rose
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=1
SchedulerParameters=bf_interval=1,sched_min_interval=100000,batch_sched_delay=0,sched_interval=1,requeue_delay=1
NodeName=n1 NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=1000
NodeName=n2 NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=1000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no Slurm here, or None."""
    if sys.platform != "linux":
        return "a Slurm for tests needs Linux"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install {PACKAGES}"
    if os.geteuid() != 0:
        return "a Slurm for tests must be started by root"
    if subprocess.run([*_WHOLLY, "true"], capture_output=True).returncode != 0:
        return f"{' '.join(_WHOLLY)} is not allowed here, so there can be no nodes"
    return None


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start it, and end it with all its jobs; yields the environment in which srun, sbatch ... find it.

    Raises:
        RuntimeError: what did not start, with the ends of the logs.
    """
    for name in ("munge", "state", "spool-n1", "spool-n2"):
        (folder / name).mkdir(parents=True)
    (folder / "hosts").write_text(Path("/etc/hosts").read_text() + "127.0.0.1 n1 n2\n")
    (folder / "slurm.conf").write_text(
        _CONFIGURATION.format(folder=folder, host=socket.gethostname(), ports=_free_ports(3))
    )
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        log = folder / f"{len(started)}.out"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*_WHOLLY, *command], env=environment, stdout=file, stderr=file, start_new_session=True
            )
        started.append(process)

    try:
        start(*_munged(folder / "munge"))
        _await(lambda: (folder / "munge" / "socket").exists(), "munged", folder)
        start("slurmctld", "-D", "-c")
        for node in NODES:
            start("sh", "-ec", _NODE, str(folder / "hosts"), node)
        _await(lambda: _ask(environment, "sinfo", "-h", "-o", "%T %D") == "idle 2", "the nodes", folder)
        yield environment
    finally:
        for process in started:
            process.kill()
            process.wait()


_NODE = 'mount --bind "$0" /etc/hosts; hostname "$1"; slurmd -D -N "$1"; exit $?'  # the shell buries orphans


def _munged(folder: Path) -> list[str]:
    (folder / "key").write_bytes(secrets.token_bytes(128))
    (folder / "key").chmod(0o400)
    folder.chmod(0o755)
    files = [f"--{name}={folder / name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    return ["munged", "--foreground", "--force", f"--key-file={folder / 'key'}", *files]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _ask(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


def _await(met: object, what: str, folder: Path) -> None:
    assert callable(met)
    end = time.monotonic() + START
    while not met():
        if time.monotonic() > end:
            logs = [f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in sorted(folder.glob("*.[ol]*"))]
            raise RuntimeError(f"Slurm: {what} did not come up within {START:g} s\n" + "\n".join(logs))
        time.sleep(0.05)


if __name__ == "__main__":
    with slurm(Path(sys.argv[1]).absolute()) as environment:
        print(f"export SLURM_CONF={environment['SLURM_CONF']}", flush=True)
        signal.pause()
