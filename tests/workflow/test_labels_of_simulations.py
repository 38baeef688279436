"""What a simulation gives as a label: what is none has failed, what does not fit ends the workflow."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool
from rose.engine import ThreadEngine
from rose.errors import PoolError, RunFailedError
from rose.metrics import PREDICTIVE_VARIANCE
from rose.store import labels_of_run
from rose.workflow import pool_plan

X = np.linspace(-1, 1, 40)[:, None]
FUNCTION: dict[str, Any] = {"as_executable": False}


def learner(pool: Pool, simulate: Any, run_dir: Path | None = None, target: Any = None, **options: Any) -> Any:
    """A pool whose members do not look at the labels, so that these may be anything; `target` makes numbers of them."""
    made = ParallelUQLearner(ThreadEngine(2), pool=pool, run_dir=run_dir)
    made.simulation_task(**{**FUNCTION, **options})(simulate)
    made.training_task(**FUNCTION)(lambda X, y, seed: (seed % 7, len(y)))
    made.prediction_task(**FUNCTION)(lambda model, X: np.arange(len(X)) * (1.0 + model[0]))
    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=3)
    return made


def run(made: Any, rounds: int = 1) -> Any:
    """Its only workflow."""
    return made.run(["w"], ["a", "b"], max_iter=rounds)["w"]


def test_a_check_of_labels_ends_the_workflow_and_keeps_what_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(label: Any, index: int) -> None:
        if label > 100:
            raise PoolError(f"the label of candidate {index} does not fit")

    monkeypatch.setattr(pool_plan, "Simulator", functools.partial(pool_plan.Simulator, check=check))
    log = tmp_path / "log"

    def simulate(index: int) -> float:
        with log.open("a") as file:
            file.write(f"{index}\n")
        return 999.0

    options = {"on_failure": "drop", "retries": 3}
    with pytest.raises(RunFailedError, match=r"the label of candidate \d+ does not fit") as failed:
        run(learner(Pool(X, initial=1), simulate, tmp_path / "run", **options))
    assert isinstance(failed.value.errors["w"], PoolError)
    assert len(log.read_text().split()) == 1
    assert list(labels_of_run(tmp_path / "run").labels) == [999.0]
    with pytest.raises(RunFailedError, match="does not fit"):  # what is recorded is looked at too
        run(learner(Pool(X, initial=1), simulate, tmp_path / "run", **options))
    assert len(log.read_text().split()) == 1
    log.unlink()
    with pytest.raises(PoolError, match="the label of candidate 7 does not fit"):
        run(learner(Pool(X, initial=[3], labels={7: 101.0}), simulate))
    assert not log.exists(), "given labels are looked at before anything is simulated"
