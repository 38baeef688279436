"""What the live page and the report cost: of a run of 100,000 tasks and 2,000 iterations, and beside a driver.

    python benchmarks/page.py [--small] [--pairs 5]

One run of 8 workflows x 250 iterations of about 50 no-op tasks is made. Of it: how long the page takes to open in a
server that has not seen it; an update, while the run goes on for more iterations; the server's memory; the report's
time and size. Then no-op iterations of 8 x 8 x 8 with a run directory, in turns with the page open and without: seconds
of an iteration, and of the driver's processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from durability_workload import members, no_op_learner
from rose import LocalEngine, ThreadEngine
from rose.store import RunReader
from rose.watch.page.rendering import RunRendering
from rose.watch.report import report

NAMES = [f"w{i}" for i in range(8)]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a tenth of the run")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=30, help="iterations of each measurement beside a driver")
    options = parser.parse_args(argv)
    os.environ["ROSE_REPORT"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        run, iterations = Path(folder) / "runs" / "large", 25 if options.small else 250
        asyncio.run(play(run, iterations))
        looked_at(run, iterations)
        for name, value in beside_a_driver(Path(folder) / "beside", options.pairs, options.rounds).items():
            print(f"{name:50} {value}")


async def play(run: Path, iterations: int) -> None:
    """Make a run, or go on with it."""
    async with ThreadEngine(2) as engine:
        learner = no_op_learner(engine, str(run))
        async for _ in learner.start(NAMES, members(), 5, iterations):
            pass


def looked_at(run: Path, iterations: int) -> None:
    """Print what looking at a large run costs."""
    with served(run.parent) as (server, port, cookie):
        began = time.perf_counter()
        page = get(port, cookie, place(port, cookie))
        opened = time.perf_counter() - began
        began = time.perf_counter()
        get(port, cookie, place(port, cookie))
        again = time.perf_counter() - began
        with followed(port, cookie):
            time.sleep(3)
        memory = psutil.Process(server.pid).memory_info().rss / 1e6
    with RunReader(run) as reader:
        count = len(reader.keys())
        print(f"{'tasks; iterations':50} {count:,}; {iterations * len(NAMES):,}")
        print(f"{'page opens for the first time; again':50} {opened:.2f} s; {again:.2f} s; {len(page) / 1e6:.2f} MB")
        print(f"{'memory of the server':50} {memory:.0f} MB")
        rendering, changes = RunRendering(reader), reader.since()
        rendering.add(changes)
        rendering.fragments()
        cursor = changes.cursor
        going = threading.Thread(target=lambda: asyncio.run(play(run, iterations + 10)))
        going.start()
        updates = []
        while going.is_alive():
            time.sleep(0.1)
            began = time.thread_time()
            changes = reader.since(cursor)
            rendering.add(changes)
            rendering.fragments()
            if changes.cursor != cursor:
                updates.append((time.thread_time() - began) * 1000)
            cursor = changes.cursor
        going.join()
    median, worst = statistics.median(updates), max(updates)
    print(f"{'an update, processor time: median; worst':50} {median:.0f} ms; {worst:.0f} ms ({len(updates)} of them)")
    began = time.perf_counter()
    made = report(run)
    took = time.perf_counter() - began
    print(f"{'report: made in; size':50} {took:.2f} s; {len(made.html.encode()) / 1e6:.2f} MB")


def beside_a_driver(folder: Path, pairs: int, rounds: int) -> dict[str, str]:
    """Return an iteration's seconds, and the driver's, with the page open over without."""
    walls, drivers = [], []
    with served(folder) as (_, port, cookie):
        for pair in range(pairs):
            found = {}
            for looked in (pair % 2 == 0, pair % 2 == 1):
                run = folder / f"{pair}-{looked}"
                found[looked] = asyncio.run(driven(run, rounds, port, cookie if looked else None))
            walls.append(found[True][0] / found[False][0])
            drivers.append(found[True][1] / found[False][1])
    shown = {"an iteration": walls, "the driver's processor time": drivers}
    return {
        f"{name}, page open / not: median (each)": f"{statistics.median(of):.3f} ({', '.join(f'{x:.2f}' for x in of)})"
        for name, of in shown.items()
    }


async def driven(run: Path, rounds: int, port: int, cookie: str | None) -> tuple[float, float]:
    """Seconds of an iteration of 8 x 8 x 8, and of the driver's processor time."""
    ends: list[tuple[float, float]] = []
    async with LocalEngine(2) as engine:
        learner = no_op_learner(engine, str(run))
        with contextlib.ExitStack() as stack:
            async for _ in learner.start(NAMES, members(), 8, rounds):
                ends.append((time.perf_counter(), time.process_time()))
                if len(ends) == 1 and cookie is not None:
                    stack.enter_context(await asyncio.to_thread(followed, port, cookie, run.name))
    first, last = ends[4 * len(NAMES)], ends[-1]
    return (last[0] - first[0]) / (rounds - 5), (last[1] - first[1]) / (rounds - 5)


@contextlib.contextmanager
def served(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Serve the page in a process of its own; gives it, its port and the cookie of who may look."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "import sys; from rose.cli import main; main(sys.argv[1:])", "ui", str(directory)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        found = re.search(r":(\d+)/\?token=(\S+)", server.stdout.readline())
        assert found is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("GET", f"/?token={found[2]}")
        yield server, int(found[1]), str(connection.getresponse().getheader("set-cookie")).partition(";")[0]
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def get(port: int, cookie: str, path: str) -> bytes:
    """A page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body[-300:]
    return body


def place(port: int, cookie: str, name: str = "large") -> str:
    """The address of a run."""
    found = re.search(rf'href="(runs/\w+/)">{name}<', get(port, cookie, "/").decode())
    assert found is not None
    return f"/{found[1]}"


@contextlib.contextmanager
def followed(port: int, cookie: str, name: str = "large") -> Iterator[None]:
    """Open a run's page, and take in its events, as a tab does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", f"{place(port, cookie, name)}events", headers={"Cookie": cookie})
    answer = connection.getresponse()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, AttributeError):
            while answer.read1(65536):
                pass

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    try:
        yield
    finally:
        if connection.sock is not None:
            connection.sock.close()


if __name__ == "__main__":
    main()
