"""A user's program for a Slurm machine: `learn.py FOLDER ENGINE [SECONDS]`. All that it does is noted in FOLDER.

`simulated` has a line for each simulation that ended: its sample, and the node. `result.json` is there when it is done.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from rose import LocalEngine, ParallelUQLearner, Pool
from rose.metrics import PREDICTIVE_VARIANCE


def engine(kind: str, stack: ExitStack) -> Any:
    """What the user gives to the learner."""
    if kind == "local":
        return LocalEngine(2)
    if kind == "dask":
        from dask_jobqueue import SLURMCluster

        cluster = stack.enter_context(
            SLURMCluster(
                cores=1,
                processes=1,
                memory="500MB",
                walltime="00:05:00",
                local_directory=".",
                log_directory=".",
                interface="lo",
                python=sys.executable,
            )
        )
        cluster.scale(jobs=2)
        return cluster
    from executorlib import SlurmClusterExecutor, SlurmJobExecutor

    if kind == "steps":
        return stack.enter_context(SlurmJobExecutor(max_cores=4))
    if kind == "workers":
        return stack.enter_context(SlurmJobExecutor(max_workers=4, block_allocation=True))
    if kind == "jobs":
        return stack.enter_context(SlurmClusterExecutor(max_cores=4))
    return stack.enter_context(SlurmClusterExecutor(max_workers=2, block_allocation=True))


def main(folder: Path, kind: str, seconds: float = 0.0) -> None:
    """Learn a curve from 12 of 40 points."""
    X = np.linspace(0, 1, 40)[:, None]
    log = str(folder / "simulated")
    with ExitStack() as stack:
        learner = ParallelUQLearner(
            engine(kind, stack), pool=Pool(X, initial=4, seed=0), run_dir=folder / "run"
        )

        @learner.simulation_task(as_executable=False)
        def simulate(x):
            time.sleep(seconds)
            with open(log, "a") as file:
                file.write(f"{x[0]:.6f} {socket.gethostname()} {os.environ.get('SLURM_STEP_ID')}\n")
            return float(np.sin(6 * x[0]))

        learner.models(plain=Ridge(1e-3), stiff=Ridge(1.0))
        learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=4)
        results = learner.run(["curve"], max_iter=2)
    [result] = results.values()
    found = {"indices": result.indices.tolist(), "labels": result.labels.tolist(), "stop": str(result.stop_reason)}
    (folder / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(float, sys.argv[3:]))
