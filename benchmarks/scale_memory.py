"""A real run over a pool that is larger than its processes may be: what driver and workers occupy at most.

    python benchmarks/scale_memory.py [GIGABYTES]

Each row is a process of its own whose data, and that of each of its workers, the kernel limits (RLIMIT_DATA). The pool
is a sparse .npy file: it takes no room on the disk, and is read like any other.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rose import LocalEngine, ParallelUQLearner, Pool
from rose.metrics import PREDICTIVE_ENTROPY

FEATURES = 20
LIMIT = 400  # MB of data for each process
MODELS = ["a", "b", "c"]
ROUNDS = 2


def peak() -> float:
    """The most memory that this process has occupied, in MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def run(path: str, block: int) -> dict[str, Any]:
    """One run in this process, and its workers'."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT * 2**20, LIMIT * 2**20))
    peaks = f"{path}.peaks"
    learner = ParallelUQLearner(LocalEngine(2), pool=Pool(path, initial=10, seed=0, block=block), acquisition="diverse")

    @learner.simulation_task(as_executable=False)
    def simulate(index: int) -> int:
        return index % 2

    @learner.training_task(as_executable=False)
    def train(X: Any, y: Any, seed: int) -> Any:
        return np.random.default_rng(seed).normal(size=FEATURES)

    @learner.prediction_task(as_executable=False)
    def predict(model: Any, X: Any) -> Any:
        with open("/proc/self/status") as status, open(peaks, "a") as file:
            file.writelines(line for line in status if line.startswith("VmHWM"))
        place = np.arange(len(X)) % 9973  # the file holds zeros alone: something must tell candidates apart
        p = 1.0 / (1.0 + np.exp(X @ model + model[0] * np.sin(place)))
        return np.stack([1.0 - p, p], axis=1)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=10)
    started = time.perf_counter()
    results = learner.run(["w"], MODELS, max_iter=ROUNDS)
    return {
        "seconds": time.perf_counter() - started,
        "driver": peak(),
        "worker": max(int(line.split()[1]) / 1024 for line in Path(peaks).read_text().splitlines()),
        "labels": len(results["w"].indices),
    }


def in_process(path: Path, block: int) -> str:
    """The same in a process of its own, in words."""
    Path(f"{path}.peaks").unlink(missing_ok=True)
    arguments = [sys.executable, __file__, "--run", str(path), str(block)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        return f"refused: {done.stderr.strip().splitlines()[-1][:150]}"
    found = json.loads(done.stdout)
    return (
        f"driver {found['driver']:.0f} MB, largest worker {found['worker']:.0f} MB; {found['seconds']:.0f} s for "
        f"{ROUNDS} rounds, {found['labels']} labels"
    )


def main() -> None:
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    large = int(gigabytes * 1e9 / 4 / FEATURES)
    print(f"load {os.getloadavg()[0]:.1f}; {LIMIT} MB of data allowed to each process")
    with tempfile.TemporaryDirectory() as folder:
        for n in (large // 50, large):
            path = Path(folder) / f"{n}.npy"
            np.lib.format.open_memmap(path, "w+", np.float32, (n, FEATURES)).flush()
            print(f"{n:,} candidates, {n * 4 * FEATURES / 1e9:.2f} GB: {in_process(path, 65536)}", flush=True)
        whole = in_process(path, large)
        print(f"{large:,} candidates as one block: {whole}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        print(json.dumps(run(sys.argv[2], int(sys.argv[3]))))
    else:
        main()
