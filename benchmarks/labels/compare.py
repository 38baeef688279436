"""How many labels does the default save, on problems whose answers are known? Run through the learner, as a user would.

    python benchmarks/labels/compare.py [--seeds 10] [--minutes 30] [--problems borehole ...] [--groups default ...]

Each problem, seed and group of methods is written to `labels.jsonl` as it is done; run again, it goes on with what is
missing. Prints what every method came to on every problem and one line for each promise, and saves a picture of the
learning curves. The peers live in `benchmarks/.venv-labels`, made on the first run; without it they are left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # two processes on two cores: one thread each

HERE = Path(__file__).parents[1]
VENV = HERE / ".venv-labels"
PEERS = ["torch==2.13.0", "scikit-activeml==1.0.1", "bmdal_reg==3.0.2"]
Job = tuple[str, int, str]  # problem, seed, group


def python_with_peers() -> Path:
    """Make the peers' environment once, with this ROSE in it; where that fails, say so and go on without them."""
    python, mark = VENV / "bin" / "python", VENV / ".done"
    if mark.exists():
        return python
    print(f"installing {', '.join(PEERS)} into {VENV} (once; minutes)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    rose = ["-e", f"{HERE.parent}[fast,plot,conformal]"]
    done = subprocess.run([python, "-m", "pip", "install", "-q", *PEERS, *rose], capture_output=True, text=True)
    if done.returncode:
        print("no peers: " + (done.stderr.strip().splitlines() or ["?"])[-1][:120], flush=True)
        return Path(sys.executable)
    mark.touch()
    return python


def jobs(options: argparse.Namespace, done: set[Job]) -> Iterator[Job]:
    """What is to be done: seed by seed, so that whenever time is up all problems have as many."""
    from groups import GROUPS

    from rose.benchmarks import load, problems

    tasks = {name: load(name, 0, 50).task for name in options.problems or problems()}
    for seed in range(options.seeds):
        for group, (_, most, task) in GROUPS.items():
            if seed >= most or (options.groups and group not in options.groups):
                continue
            for name in tasks:
                if task in (None, tasks[name]) and (name, seed, group) not in done:
                    yield name, seed, group


def end_with_parent() -> None:
    """Let a worker end when what started it is gone, however that ended."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(job: Job) -> list[dict[str, Any]]:
    """Run one job in a process of its own."""
    import logging

    import groups

    logging.disable(logging.WARNING)
    began = time.perf_counter()
    try:
        records = groups.run(*job)
    except Exception as error:
        name, seed, group = job
        said = f"{type(error).__name__}: {error}"[:300]
        records = [{"problem": name, "seed": seed, "group": group, "method": group, "failed": said}]
    end = {"problem": job[0], "seed": job[1], "group": job[2], "method": "", "failed": "no curve: this group is done"}
    return [*records, {**end, "took": round(time.perf_counter() - began, 2)}]


def work(options: argparse.Namespace, path: Path) -> None:
    """Do what is missing in two processes, until it is done or the minutes are over."""
    done = {(one["problem"], one["seed"], one["group"]) for one in read(path) if "took" in one}
    waiting, deadline = jobs(options, done), time.monotonic() + 60 * options.minutes
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(options.processes, mp_context=context, initializer=end_with_parent) as pool,
        path.open("a") as file,
    ):
        running: set[Future[list[dict[str, Any]]]] = set()
        while True:
            while len(running) < options.processes and time.monotonic() < deadline:
                job = next(waiting, None)
                if job is None:
                    break
                running.add(pool.submit(run, job))
            if not running:
                break
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            for one in ready:
                file.writelines(json.dumps(record) + "\n" for record in one.result())
            file.flush()
    left = sum(1 for _ in waiting)
    if left:
        print(f"time is up with {left} of the problems' seeds and groups not run; run it again to go on\n")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def show(path: Path) -> None:
    """Print the tables and save the picture."""
    from table import Judged, gathered, picture

    from rose.benchmarks import load, problems

    records = read(path)
    curves, tasks = gathered(records), {name: load(name, 0, 50).task for name in problems()}
    judged = Judged(curves, tasks)
    print("RMSE over the rounds as a share of random's; accuracy over the rounds, points above random's.")
    print("'to-random': the default's labels to random's final quality, as a share. s: scikit-activeml, b: bmdal_reg.")
    print(f"{judged.by_problem()}\n\n{judged.judged()}\n")
    seeds = {one["group"]: 1 + max(r["seed"] for r in records if r["group"] == one["group"]) for one in records}
    print("seeds: " + ", ".join(f"{group} {count}" for group, count in seeds.items()))
    print(f"processor time of all processes: {sum(one.get('took', 0) for one in records) / 60:.1f} minutes")
    for one in records:
        if "failed" in one and "took" not in one:
            print(f"failed: {one['problem']} {one['seed']} {one['method']}: {one['failed']}")
    if curves:
        picture(curves, tasks, path.with_name("labels.png"))
        print(f"learning curves: {path.with_name('labels.png')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=28, help="after so many nothing new is begun")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--problems", nargs="+")
    parser.add_argument("--groups", nargs="+")
    parser.add_argument("--again", action="store_true", help="forget what has been run")
    parser.add_argument("--show", action="store_true", help="run nothing")
    parser.add_argument("--no-peers", action="store_true", help="with this Python, without the peers")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    python = sys.executable if options.no_peers else str(python_with_peers())
    if Path(python) != Path(sys.executable):
        os.execv(python, [python, __file__, *sys.argv[1:]])
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "labels.jsonl"
    if options.again:
        path.unlink(missing_ok=True)
    if not options.show:
        work(options, path)
    show(path)


if __name__ == "__main__":
    main()
