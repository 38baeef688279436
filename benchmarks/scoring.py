"""Scoring speed and memory, next to ROSE 0.3.0, baal and scikit-activeml in one run: `make bench-scoring`.

    python benchmarks/scoring.py [--quick] [--huge] [--no-peers] [--json FILE]

The unit is one parallel read of the same array (every thread takes the maximum of its share, as 64-bit integers): the
least that any score could cost. Reads and scores take turns, and the best of each counts, because machines are noisy:
compare ratios, not milliseconds. Every system runs in a process of its own. Extra memory is the process's peak above
what it held before the call (/proc, Linux only), the result included. `--huge` scores 40 GB of files in a process that
may not have more than 4 GB of address space.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PEERS, VENV = HERE / "scoring-peers.txt", HERE / ".venv-peers"
SYSTEMS = ("ours", "NumPy", "ROSE", "baal", "scikit-activeml")
# shape, metric, what must be reached (times one read)
ROWS = (
    ("classes", "entropy", 2.0), ("classes", "margin", 1.5), ("classes", "mutual information", 3.5),
    ("classes", "variation ratio", 3.0), ("classes", "all ten", 8.0), ("classes", "top 100 by BALD", None),
    ("values", "variance", 2.5), ("values", "95 % interval", 6.0), ("values", "IQR", None),
    ("small", "entropy", None), ("small", "margin", None), ("small", "mutual information", None),
    ("small", "variation ratio", None), ("small values", "variance", None), ("small values", "95 % interval", None),
)  # fmt: skip
TEN = (
    "predictive_entropy", "expected_entropy", "mutual_information", "margin", "least_confidence", "variation_ratio",
    "vote_entropy", "kl_to_consensus", "jensen_shannon", "expected_pairwise_kl",
)  # fmt: skip


# --- what is measured, per system --------------------------------------------------------------------------------


def ours(x: Any) -> dict[str, Callable[[], Any]]:
    from rose.scoring import score, top_k

    if x.ndim == 2:
        names = {"variance": "variance", "95 % interval": "interval_width", "IQR": "iqr"}
        return {row: lambda m=metric: score(x, m) for row, metric in names.items()}  # type: ignore[misc]
    return {
        "entropy": lambda: score(x, "entropy"),
        "margin": lambda: score(x, "margin"),
        "mutual information": lambda: score(x, "bald"),
        "variation ratio": lambda: score(x, "variation_ratio"),
        "all ten": lambda: score(x, TEN),
        "top 100 by BALD": lambda: top_k(x, 100, "bald"),
    }


def plain_numpy(x: Any) -> dict[str, Callable[[], Any]]:
    """What one writes without a library."""
    if x.ndim == 2:
        return {
            "variance": lambda: x.var(axis=0),
            "95 % interval": lambda: np.subtract(*np.percentile(x, [97.5, 2.5], axis=0)),
            "IQR": lambda: np.subtract(*np.percentile(x, [75, 25], axis=0)),
        }

    def entropy(p: Any) -> Any:
        return -(p * np.log(p + 1e-12)).sum(axis=-1)

    def margin() -> Any:
        two = np.partition(x.mean(axis=0), -2, axis=-1)
        return two[:, -1] - two[:, -2]

    def variation_ratio() -> Any:
        votes = x.argmax(axis=-1)
        counts = np.stack([(votes == c).sum(axis=0) for c in range(x.shape[2])])
        return 1.0 - counts.max(axis=0) / len(x)

    return {
        "entropy": lambda: entropy(x.mean(axis=0)),
        "margin": margin,
        "mutual information": lambda: entropy(x.mean(axis=0)) - entropy(x).mean(axis=0),
        "variation ratio": variation_ratio,
    }


def rose(x: Any) -> dict[str, Callable[[], Any]]:
    from rose.uncertainty_quantification.uq_scorer import UQScorer  # type: ignore[import-not-found]

    scorer = UQScorer("classification" if x.ndim == 3 else "regression")
    if x.ndim == 2:
        return {
            "variance": lambda: scorer.predictive_variance(x),
            "95 % interval": lambda: scorer.predictive_interval_width(x),
        }
    return {
        "entropy": lambda: scorer.predictive_entropy(x),
        "margin": lambda: scorer.margin(x),
        "mutual information": lambda: scorer.mutual_information(x),
        "variation ratio": lambda: scorer.variation_ratio(x),
        "all ten": lambda: scorer.compute_uncertainty(x),  # it has four
    }


def baal(x: Any) -> dict[str, Callable[[], Any]]:
    from baal.active import heuristics  # type: ignore[import-not-found]

    if x.ndim == 2:
        y = np.ascontiguousarray(x.T[:, None])  # [N, 1, S], its own layout
        return {"variance": lambda: heuristics.Variance().get_uncertainties(y)}
    p = np.ascontiguousarray(np.moveaxis(x, 0, -1))  # [N, C, S]
    return {
        "entropy": lambda: heuristics.Entropy().get_uncertainties(p),
        "margin": lambda: heuristics.Margin().get_uncertainties(p),
        "mutual information": lambda: heuristics.BALD().get_uncertainties(p),
    }


def skactiveml(x: Any) -> dict[str, Callable[[], Any]]:
    from skactiveml import pool  # type: ignore[import-not-found]

    if x.ndim == 2:
        return {}
    return {
        "entropy": lambda: pool.uncertainty_scores(x.mean(axis=0), method="entropy"),
        "margin": lambda: pool.uncertainty_scores(x.mean(axis=0), method="margin_sampling"),
        "mutual information": lambda: pool.average_kl_divergence(x),
        "variation ratio": lambda: pool.variation_ratios(x.argmax(axis=-1).T),
    }


# --- one system in its own process -------------------------------------------------------------------------------


def parallel_read(x: Any, threads: int) -> None:
    words = x.reshape(-1).view(np.int64)
    shares = np.array_split(words, threads)
    helpers = [threading.Thread(target=share.max) for share in shares]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join()


def make(shape: str, n: int) -> Any:
    rng = np.random.default_rng(0)
    if "values" in shape:
        return rng.standard_normal((100, n), dtype=np.float32)
    x = rng.random((20, n, 10), dtype=np.float32)
    for row in x:
        np.power(row, 4, out=row)
        row /= row.sum(axis=-1, keepdims=True)
    return x


def child(system: str, shape: str, n: int, repeats: int) -> dict[str, Any]:
    functions = dict(zip(SYSTEMS, (ours, plain_numpy, rose, baal, skactiveml), strict=True))
    x = make(shape, n)
    threads = len(os.sched_getaffinity(0))
    found: dict[str, Any] = {}
    for row, function in functions[system](x).items():
        if ("all ten" in row or "top" in row) and "small" in shape:
            continue
        function()  # compile, and touch pages
        reads, times = [], []
        started = time.perf_counter()
        while len(times) < repeats and (len(times) < 1 or time.perf_counter() - started < 20.0):
            reads.append(timed(lambda: parallel_read(x, threads)))
            times.append(timed(function))
        found[row] = {"ms": 1e3 * min(times), "read_ms": 1e3 * min(reads), "extra_mb": extra_memory(function)}
        if "small" in shape:
            found[row]["scores"] = np.asarray(function(), dtype=np.float64).ravel().tolist()
    return found


def timed(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def extra_memory(function: Callable[[], Any]) -> float | None:
    """How far the process's memory rises above what it was, in MB; the result counts."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier calls left behind must not hide what this one takes
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = memory("VmRSS")
        kept = function()
        del kept
        return (memory("VmHWM") - before) / 1e3
    except (OSError, AttributeError):
        return None


def memory(field: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return float(line.split()[1])


def child_huge(folder: str) -> dict[str, Any]:
    from rose.scoring import top_k

    limit = 4 << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    paths = sorted(Path(folder).glob("*.npy"))
    started = time.perf_counter()
    indices, _ = top_k(paths, 100, "predictive_variance")
    seconds = time.perf_counter() - started
    assert indices.tolist() == list(range(100))  # all zeros: ties, lower index first
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


# --- all systems -------------------------------------------------------------------------------------------------


def peers_python() -> Path | str:
    """The peers' interpreter, installed on first use; or why there is none."""
    python = VENV / "bin" / "python"
    marker = VENV / ".installed"
    if marker.exists() and marker.read_text() == PEERS.read_text():
        return python
    print(f"installing the peers into {VENV} (once; some gigabytes)", flush=True)
    for command in (
        [sys.executable, "-m", "venv", str(VENV)],
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(PEERS)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr or done.stdout).strip().splitlines()[-1]
    marker.write_text(PEERS.read_text())
    return python


def in_child(python: Path | str, arguments: Sequence[str]) -> dict[str, Any] | str:
    """What a child process found; or why it did not."""
    done = subprocess.run(
        [str(python), str(Path(__file__).resolve()), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1][:120]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    n = 100_000 if options.quick else 1_000_000
    sizes = {"classes": n, "values": n, "small": 10_000, "small values": 10_000}
    peers = "not asked for" if options.no_peers else peers_python()
    found: dict[str, Any] = {}
    why_not: dict[str, str] = {}
    for system in SYSTEMS:
        python = Path(sys.executable) if system in ("ours", "NumPy") else peers
        if isinstance(python, str):
            why_not[system] = python
            continue
        for shape, size in sizes.items():
            repeats = "30" if "small" in shape else ("20" if system == "ours" else "5")
            result = in_child(python, ["--child", system, shape, str(size), repeats])
            if isinstance(result, str):
                why_not[system] = result
                break
            found[f"{system}/{shape}"] = result
            print(f"  {system}, {shape}: done", file=sys.stderr, flush=True)
    return found, why_not


def table(found: dict[str, Any], sizes: dict[str, str]) -> list[str]:
    head = ["shape", "metric", "must reach", *SYSTEMS, "our extra memory", "best other's"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for shape, row, goal in ROWS:
        cells = [sizes[shape], row, "" if goal is None else f"{goal:g}x"]
        entries = {s: found.get(f"{s}/{shape}", {}).get(row) for s in SYSTEMS}
        for entry in entries.values():
            small = "small" in shape
            cells.append(
                "-" if entry is None
                else f"{entry['ms']:.2f} ms" if small
                else f"{entry['ms'] / entry['read_ms']:.2f}x"
            )  # fmt: skip
        others = [e["extra_mb"] for s, e in entries.items() if e and s != "ours" and e["extra_mb"] is not None]
        mine = entries["ours"] and entries["ours"]["extra_mb"]
        cells += ["-" if mine is None else f"{mine:.1f} MB", f"{min(others):.0f} MB" if others else "-"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def agreement(found: dict[str, Any]) -> list[str]:
    """How far the others' scores are from ours, of the same predictions: a margin may be theirs, or 1 or 0 minus it."""
    lines = []
    for system in SYSTEMS[1:]:
        parts = []
        for shape in ("small", "small values"):
            for row, entry in found.get(f"{system}/{shape}", {}).items():
                mine, theirs = (np.array(e["scores"]) for e in (found[f"ours/{shape}"][row], entry))
                distance = min(np.abs(x - mine).max() for x in (theirs, -theirs, 1 - theirs))
                parts.append(f"{row} {distance:.0e}")
        if parts:
            lines.append(f"{system}'s scores, largest difference from ours: {', '.join(parts)}")
    return lines


def huge() -> str:
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        for i in range(100):  # sparse: 400 MB each that take no disk
            np.lib.format.open_memmap(f"{folder}/{i:03}.npy", mode="w+", dtype=np.float32, shape=(100_000_000,))
        result = in_child(sys.executable, ["--child-huge", folder])
    if isinstance(result, str):
        return f"40 GB of files: failed: {result}"
    return (
        f"40 GB of files, at most 4 GB of address space: top 100 of 100 million by variance in "
        f"{result['seconds']:.0f} s, peak memory {result['peak_mb']:.0f} MB"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the candidates")
    parser.add_argument("--huge", action="store_true", help="also score 40 GB of files on a 4 GB budget")
    parser.add_argument("--no-peers", action="store_true", help="only our side and plain NumPy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save what was measured")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--child-huge", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        system, shape, n, repeats = options.child
        print(json.dumps(child(system, shape, int(n), int(repeats))))
        return 0
    if options.child_huge:
        print(json.dumps(child_huge(options.child_huge)))
        return 0
    found, why_not = measure(options)
    n = "100k" if options.quick else "1M"
    sizes = {
        "classes": f"(20, {n}, 10)",
        "values": f"(100, {n})",
        "small": "(20, 10k, 10)",
        "small values": "(100, 10k)",
    }
    read = found.get("ours/classes", {}).get("margin", {}).get("read_ms", float("nan"))
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}, NumPy {np.__version__}, float32")
    print(f"one read of {sizes['classes']}: {read:.1f} ms\n")
    print("\n".join(table(found, sizes)))
    print("\n".join(agreement(found)))
    for system, reason in why_not.items():
        print(f"{system}: not measured: {reason}")
    if options.huge:
        print(huge())
    if options.json:
        options.json.write_text(json.dumps({"found": found, "why_not": why_not}, indent=1))
    return int("ours" in why_not)


if __name__ == "__main__":
    sys.exit(main())
