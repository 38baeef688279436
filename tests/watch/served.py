"""A run that goes on until it is let go, and the page that shows it, for tests."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rose import Pool, SeqUQLearner, ThreadEngine

MARKUP = "<script>document.title='taken'</script>"
TOKEN = "a-token-of-the-tests"


@dataclass
class Going:
    """A run whose simulations of the second round wait until `let_go` is set."""

    path: Path
    let_go: threading.Event
    thread: threading.Thread

    def ends(self) -> None:
        self.let_go.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def going_on(path: Path, waits: bool = True) -> Iterator[Going]:
    """Run in a thread; one candidate fails, names and labels and output are markup."""
    let_go, waiting, rounds = threading.Event(), threading.Event(), {"simulated": 0}
    if not waits:
        let_go.set()
    learner = SeqUQLearner(
        ThreadEngine(workers=2), pool=Pool([[float(i)] for i in range(40)], initial=6, start="random"), run_dir=path
    )
    learner.learner_name = f"w{MARKUP}"

    @learner.simulation_task(as_executable=False, on_failure="drop")
    def simulate(x: Any) -> float:
        if float(x[0]) == 7.0:
            raise ValueError(f"no licence {MARKUP}")
        if not let_go.is_set():
            rounds["simulated"] += 1
            if rounds["simulated"] > 6:
                if rounds["simulated"] == 8:  # both workers wait
                    waiting.set()
                let_go.wait(60)
        return float(x[0]) ** 2

    @learner.training_task(as_executable=False)
    def train(X: Any, y: Any, model_name: str) -> float:
        return 1.0 if model_name == "a" else 2.0

    @learner.prediction_task(as_executable=False)
    def predict(model: float, X: Any) -> Any:
        return model / (1.0 + np.abs(np.asarray(X)[:, 0] - 7.0))  # they disagree most about the one that fails

    learner.uncertainty_quantification("predictive_variance", query_size=4)
    thread = threading.Thread(target=lambda: learner.run(model_names=["a", "b"], max_iter=3))
    thread.start()
    if waits:
        assert waiting.wait(60)
    going = Going(path, let_go, thread)
    try:
        yield going
    finally:
        going.ends()


@contextlib.contextmanager
def served(directory: Path) -> Iterator[int]:
    """Serve the page of the runs below a directory in a thread; gives the port."""
    import uvicorn  # here: runs that go on are for tests without it, too

    from rose.watch.page.app import make_app

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(make_app(directory, TOKEN), log_level="critical", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
