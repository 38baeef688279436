"""Choosing a batch, next to what others offer, in one run.

    python benchmarks/acquisition.py [--rounds 3] [--rows batchbald kcenter lcmd] [--json FILE]

Every measurement is a process of its own, ours and the peers' in turns; ours warms up once (compilation),
then counts its best of some calls. Extra memory is its peak during a call over what it held before, data included.
The peers live in `benchmarks/.venv-peers`, made on the first run; one that cannot be installed or fails is named so.
The machine is noisy: compare the columns of a row, not figures of different days.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
VENV = HERE / ".venv-peers"
PACKAGES = {"redux": "batchbald_redux", "baal": "baal", "skactiveml": "scikit-activeml", "bmdal": "bmdal_reg"}
# row: (what, peers, what the issue asks for)
ROWS = {
    "batchbald": ("BatchBALD, 10 of 10k, K 20, C 10, 1,000 outcomes", ["redux", "baal", "skactiveml"], "0.6 s, 300 MB"),
    "batchbald-noise": ("the same, members that share nothing", ["redux", "baal", "skactiveml"], "0.6 s, 300 MB"),
    "kcenter": ("k-center, 100 of 100k x 64", ["skactiveml", "bmdal"], "0.06 s"),
    "lcmd": ("LCMD, 100 of 100k x 64, 256 labelled", ["bmdal"], "0.4 s"),
}
Call = Callable[[], Any]


def probabilities(shared: float) -> NDArray[np.float32]:
    """`[20, 10k, 10]`: members that agree on most of most candidates, or (shared=0) on nothing."""
    rng = np.random.default_rng(0)
    common = shared * rng.normal(size=(1, 10_000, 10)) * rng.random((1, 10_000, 1))
    e = np.exp(common + (1.0 if shared else 1.5) * rng.normal(size=(20, 10_000, 10)))
    return np.asarray(e / e.sum(axis=2, keepdims=True), dtype=np.float32)


def points() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(100_000, 64)).astype(np.float32)


def ours(row: str) -> Call:
    import warnings

    from rose.acquisition import SaturatedBatchWarning, acquire

    warnings.simplefilter("ignore", SaturatedBatchWarning)
    if row.startswith("batchbald"):
        p = probabilities(0.0 if row.endswith("noise") else 3.0)
        acquire(p[:, :50], 4, method="batchbald", configurations=100)  # compiles
        return lambda: acquire(p, 10, method="batchbald")
    x = points()
    labelled = np.arange(256) if row == "lcmd" else [0]
    acquire(features=x[:300], k=2, method=row, labelled=labelled)  # compiles
    return lambda: acquire(features=x, k=100, method=row, labelled=labelled)


def redux(row: str) -> Call:
    import torch
    from batchbald_redux import batchbald

    p = torch.tensor(probabilities(0.0 if row.endswith("noise") else 3.0)).permute(1, 0, 2).log()
    return lambda: batchbald.get_batchbald_batch(p, 10, 1000, dtype=torch.double)


def baal(row: str) -> Call:
    from baal.active.heuristics import BatchBALD

    p = np.ascontiguousarray(probabilities(0.0 if row.endswith("noise") else 3.0).transpose(1, 2, 0))
    return lambda: BatchBALD(num_samples=10, num_draw=50)(p)  # for each of 20 members: 1,000 outcomes


def skactiveml(row: str) -> Call:
    if row == "kcenter":
        from skactiveml.pool import k_greedy_center

        x = points()
        y = np.full(len(x), np.nan)
        y[0] = 0
        return lambda: k_greedy_center(x, y, batch_size=100, random_state=0)
    from skactiveml.pool import batch_bald

    p = probabilities(0.0 if row.endswith("noise") else 3.0)
    return lambda: batch_bald(p, 10, n_MC_samples=1000, random_state=0)


def bmdal(row: str) -> Call:
    import torch
    from bmdal_reg.bmdal.feature_data import TensorFeatureData
    from bmdal_reg.bmdal.feature_maps import IdentityFeatureMap
    from bmdal_reg.bmdal.features import Features
    from bmdal_reg.bmdal.selection import LargestClusterMaxDistSelectionMethod, MaxDistSelectionMethod

    np.Inf = np.inf  # noqa: NPY201  bmdal_reg 3.0.2 was written for NumPy 1
    x = torch.tensor(points())
    known = 256 if row == "lcmd" else 1
    pool, train = (Features(IdentityFeatureMap(64), TensorFeatureData(part)) for part in (x[known:], x[:known]))
    method = LargestClusterMaxDistSelectionMethod if row == "lcmd" else MaxDistSelectionMethod
    return lambda: method(pool, train, sel_with_train=True, verbosity=0).select(100)


def memory(field: str) -> float:
    """Megabytes by /proc: VmRSS (resident now) or VmHWM (the most since the last reset)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) / 1024


def limit_memory() -> None:
    """Eight gigabytes: a peer that wants the whole machine must fail, not the machine."""
    resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))


def measure(who: str, row: str, calls: int) -> None:
    """In a process of its own: print the best seconds and the extra megabytes."""
    call: Call = globals()[who](row)
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    held = memory("VmRSS")
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": min(seconds), "megabytes": memory("VmHWM") - held}))


def install() -> dict[str, str]:
    """Make the peers' environment once; what could not be installed, and why."""
    python = VENV / "bin" / "python"
    if not python.exists():
        print("installing the peers into benchmarks/.venv-peers (once; minutes)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    failed = {}
    for name, package in PACKAGES.items():
        mark = VENV / f".{name}"
        if mark.exists():
            continue
        done = subprocess.run([python, "-m", "pip", "install", "-q", package], capture_output=True, text=True)
        if done.returncode == 0:
            mark.touch()
        else:
            failed[name] = "not installed: " + (done.stderr.strip().splitlines() or ["?"])[-1][:80]
    return failed


def run(who: str, row: str, calls: int) -> dict[str, float] | str:
    python = sys.executable if who == "ours" else str(VENV / "bin" / "python")
    command = [python, __file__, "--measure", who, row, str(calls)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, preexec_fn=limit_memory)
    except subprocess.TimeoutExpired:
        return "not done in 600 s"
    if done.returncode:
        return "failed: " + (done.stderr.strip().splitlines() or ["?"])[-1][:80]
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(row: str, rounds: int, missing: dict[str, str]) -> dict[str, Any]:
    """Take turns; keep the best time and the largest memory of each."""
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for who in ("ours", *ROWS[row][1]):
            if who in missing or isinstance(results.get(who), str):
                results[who] = missing.get(who, results.get(who))
                continue
            found = run(who, row, 5 if who == "ours" else 1)
            if isinstance(found, dict) and isinstance(results.get(who), dict):
                found["seconds"] = min(found["seconds"], results[who]["seconds"])
                found["megabytes"] = max(found["megabytes"], results[who]["megabytes"])
            results[who] = found
    return results


def show(row: str, results: dict[str, Any]) -> None:
    what, _, asked = ROWS[row]
    print(f"{what}; must reach {asked}")
    own = results["ours"]
    for who, found in results.items():
        if isinstance(found, str):
            print(f"    {PACKAGES.get(who, who):<18} {found}")
            continue
        ratio = "" if who == "ours" or isinstance(own, str) else f"   {found['seconds'] / own['seconds']:6.1f} x ours"
        print(f"    {PACKAGES.get(who, who):<18} {found['seconds']:8.3f} s  {found['megabytes']:6.0f} MB{ratio}")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=3, metavar=("WHO", "ROW", "CALLS"), help="used by the benchmark itself")
    options = parser.parse_args()
    if options.measure:
        who, row, calls = options.measure
        measure(who, row, int(calls))
        return
    missing = install()
    everything = {}
    for row in options.rows:
        everything[row] = compare(row, options.rounds, missing)
        show(row, everything[row])
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
