"""A run for the tests to look at: `python -m tests.watch.driver RUN_DIR GO_FILE`; its trainings wait for GO_FILE."""

import sys
import time
from pathlib import Path

import numpy as np

from rose import ParallelUQLearner, Pool
from rose.metrics import MEAN_SQUARED_ERROR_MSE, PREDICTIVE_VARIANCE

X = np.linspace(-1, 1, 80)[:, None]
NAME = "w [red]\x1b[31m"  # markup and escape sequences are names like any other
BAD = 7  # the candidate that cannot be simulated


def learner(run_dir, go):
    made = ParallelUQLearner(1, pool=Pool(X, initial=[1, 2, 3, BAD]), run_dir=run_dir)
    go = str(go)

    @made.simulation_task(as_executable=False, on_failure="drop", retries=1)
    def simulate(x, index):
        print("simulating", index, "\x1b[2J")
        if index == BAD:
            print("this will not do", file=sys.stderr)
            raise ValueError("no convergence [bold]at all[/bold]\x1b]0;title\x07")
        return float(x[0] ** 2)

    @made.training_task(as_executable=False)
    def train(X, y, seed):
        print("waiting")
        while not Path(go).exists():
            time.sleep(0.02)
        noise = np.random.default_rng(seed).normal(scale=0.01, size=len(y))
        return [*np.polyfit(X[:, 0], y + noise, deg=2), np.zeros(5000)]  # large enough to be a file

    @made.prediction_task(as_executable=False)
    def predict(model, X):
        return np.polyval(model[:3], X[:, 0])

    @made.as_stop_criterion(MEAN_SQUARED_ERROR_MSE, threshold=1e-9, as_executable=False)
    def error(models):
        return 0.25

    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=3)
    return made


if __name__ == "__main__":
    learner(Path(sys.argv[1]), Path(sys.argv[2])).run([NAME], ["a", "b"], max_iter=3)
