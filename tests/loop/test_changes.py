"""A run that is resumed with other code than it was begun with: refused by name, accepted, or labelled anew."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import LearnerConfig, Pool, SeqUQLearner, TaskConfig
from rose.cli import main
from rose.engine import ThreadEngine
from rose.errors import ChangedRunError, ConfigurationError, RunFailedError
from rose.metrics import PREDICTIVE_ENTROPY
from rose.store import labels_of_run, read_labels_file
from rose.store.journal import Journal
from tests.programs import Centroids, blobs

FUNCTION: dict[str, Any] = {"as_executable": False}


def learner(directory: Path, T: int = 300, **options: Any) -> tuple[SeqUQLearner, list[int]]:
    """A learner whose simulation depends on T, and the candidates that it has simulated."""
    X, y = blobs(60)
    simulated: list[int] = []
    stage = {name: options.pop(name) for name in ("depends_on",) if name in options}
    known = options.pop("labels", None)
    made = SeqUQLearner(
        ThreadEngine(2), pool=Pool(X, initial=6, seed=0, labels=known), run_dir=directory / "run", **options
    )

    @made.simulation_task(**FUNCTION, **stage)
    def simulate(x: np.ndarray, index: int) -> int:
        simulated.append(index)
        return int((y[index] + (T > 300)) % 2)

    @made.training_task(**FUNCTION)
    def train(X: Any, y: Any, seed: int) -> Centroids:
        return Centroids(X, y, seed)

    @made.prediction_task(**FUNCTION)
    def predict(model: Centroids, X: Any) -> np.ndarray:
        return model.predict_proba(X)

    made.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4)
    return made, simulated


def run(directory: Path, T: int = 300, rounds: int = 2, **options: Any) -> tuple[Any, list[int]]:
    made, simulated = learner(directory, T, **options)
    return made.run(["m"], max_iter=rounds), simulated


def test_a_change_is_refused_and_named_before_anything_runs(tmp_path: Path) -> None:
    run(tmp_path)
    made, simulated = learner(tmp_path, 350)
    with pytest.raises(ChangedRunError) as refused:
        made.run(["m"], max_iter=9)
    assert "simulation task has changed: T was 300, and is 350. Give it what it had" in str(refused.value)
    assert "accept_changes='resimulate' to label anew" in str(refused.value)
    assert simulated == []
    result, simulated = run(tmp_path, 350, 3, accept_changes=True)
    assert (len(result.indices), len(simulated)) == (14, 4), "what is recorded is kept"
    assert run(tmp_path, 350, 3)[1] == []
    with pytest.raises(ConfigurationError, match="accept_changes='again' must be True"):
        learner(tmp_path, accept_changes="again")


def test_labels_anew_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each simulation's labels stay, and are found again; the loop is as it would have been."""
    first, _ = run(tmp_path)
    changed, simulated = run(tmp_path, 350, accept_changes="resimulate")
    (tmp_path / "whole").mkdir()
    whole, all_of_it = run(tmp_path / "whole", 350)
    assert sorted(simulated) == sorted(all_of_it)
    assert changed == whole
    np.testing.assert_array_equal(changed.indices, whole.indices)
    assert run(tmp_path, 350, 3)[1] != [], "it goes on with the changed one, without being told again"
    with pytest.raises(ChangedRunError, match="T was 350, and is 300"):
        run(tmp_path)

    assert main(["labels", str(tmp_path / "run"), "--to", str(tmp_path / "all.csv")]) == 0
    assert "those of earlier simulations have a lower number" in capsys.readouterr().out
    rows = (tmp_path / "all.csv").read_text().splitlines()
    column = rows[0].split(",").index("simulation")
    numbers = [row.split(",")[column] for row in rows[1:]]
    assert (numbers.count("1"), numbers.count("2")) == (10, 14)
    assert len(labels_of_run(tmp_path / "run")) == len(read_labels_file(tmp_path / "all.csv")) == 14

    back, simulated = run(tmp_path, 300, accept_changes="resimulate")
    assert simulated == [], "its labels are found again"
    assert back == first
    np.testing.assert_array_equal(back.labels, first.labels)
    assert len(labels_of_run(tmp_path / "run")) == 10
    again, simulated = run(tmp_path, 350, 3, accept_changes="resimulate")
    assert (simulated, len(again.indices)) == ([], 14)


def test_what_the_simulation_is_configured_with(tmp_path: Path) -> None:
    """Its arguments are part of what a label is known by: changed ones label anew, from their first round on."""

    def program(T: float, rounds: int = 2, **options: Any) -> tuple[Any, list[float]]:
        made, _ = learner(tmp_path, **options)
        simulated: list[float] = []

        @made.simulation_task(**FUNCTION)
        def simulate(x: np.ndarray, T: float) -> int:
            simulated.append(T)
            return int(x[0] > T)

        config = LearnerConfig(simulation={0: TaskConfig(kwargs={"T": 0.5}), -1: TaskConfig(kwargs={"T": T})})
        return made.run(["m"], max_iter=rounds, learning_config=config), simulated

    first, _ = program(0.6)
    with pytest.raises(RunFailedError, match="was configured otherwise in iteration 1"):
        program(0.7)
    changed, simulated = program(0.7, accept_changes="resimulate")
    assert simulated == [0.7] * 4, "the first round has what it had"
    assert program(0.7) == (changed, [])
    assert program(0.6, accept_changes="resimulate") == (first, [])


def test_labelling_anew_goes_on_after_an_end_in_the_middle(tmp_path: Path) -> None:
    """The change is one transaction: before it the run is as it was, and after it plain resuming goes on."""
    run(tmp_path)

    async def stop() -> None:
        made, _ = learner(tmp_path, 350, accept_changes="resimulate")
        async for _ in made.start(["m"], max_iter=2):
            break

    asyncio.run(stop())
    with pytest.raises(ChangedRunError):
        run(tmp_path)
    result, simulated = run(tmp_path, 350)
    assert len(simulated) == 4, "the first round's are there"
    assert len(result.indices) == 10
    assert run(tmp_path, 300, accept_changes="resimulate")[1] == []


def test_labelling_anew_that_fails_to_begin_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: the disk refuses the transaction."""
    first, _ = run(tmp_path)

    async def refuse(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "start_over", refuse)
        with pytest.raises(OSError, match="No space left"):
            run(tmp_path, 350, accept_changes="resimulate")
    again, simulated = run(tmp_path)
    assert (again, simulated) == (first, [])


def test_given_labels_are_compared_with_those_of_the_simulation_as_it_is(tmp_path: Path) -> None:
    result, _ = run(tmp_path)
    one = int(result.indices[0])
    label = int(result.labels[0])
    given = {one: 1 - label}
    with pytest.raises(ChangedRunError, match=r"Pool\(initial=\)|says otherwise"):
        run(tmp_path, labels=given)
    _, simulated = run(tmp_path, 350, accept_changes="resimulate", labels=given)
    assert one not in simulated
    assert labels_of_run(tmp_path / "run").labels[0] == 1 - label
    back, simulated = run(tmp_path, 300, accept_changes="resimulate")
    assert (back, simulated) == (result, []), "the labels of the first were not corrected"


def test_files_that_are_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By content, directories by their files, programs on PATH; what is missing is an error before anything runs."""
    (tmp_path / "bin").mkdir()
    solver, mesh, inside = tmp_path / "bin" / "solver", tmp_path / "mesh.inp", tmp_path / "data" / "deep" / "a.txt"
    inside.parent.mkdir(parents=True)
    for file in (solver, mesh, inside):
        file.write_text("1")
    solver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    names = ["solver", mesh, str(tmp_path / "data")]
    run(tmp_path, depends_on=names)
    mesh.touch()
    assert run(tmp_path, depends_on=names)[1] == [], "the same content"
    for file, name in ((solver, "solver"), (mesh, str(mesh)), (inside, str(tmp_path / "data"))):
        file.write_text("2")
        with pytest.raises(ChangedRunError, match=f"simulation task has changed: {name} has changed"):
            run(tmp_path, depends_on=names)
        file.write_text("1")
    (inside.parent / "b.txt").touch()
    with pytest.raises(ChangedRunError, match="data has changed"):
        run(tmp_path, depends_on=names)
    made, simulated = learner(tmp_path, depends_on="missing.inp")
    with pytest.raises(ConfigurationError, match=r"no file or directory 'missing.inp' in .* no program on PATH"):
        made.run(["m"], max_iter=9)
    assert simulated == []
    with pytest.raises(ConfigurationError, match="holds 3, which is no name"):
        learner(tmp_path, depends_on=[3])


def test_every_stage_is_compared(tmp_path: Path) -> None:
    """What a training reaches is named likewise; it labels nothing, so nothing is simulated again for it."""

    def program(rate: float, **options: Any) -> list[int]:
        made, simulated = learner(tmp_path, **options)

        def fit(X: Any, y: Any, seed: int) -> Centroids:
            return Centroids(X * rate, y, seed)

        made.training_task(**FUNCTION)(lambda X, y, seed: fit(X, y, seed))
        made.run(["m"], max_iter=2)
        return simulated

    program(0.5)
    with pytest.raises(ChangedRunError, match=r"training task has changed: .*rate was 0.5, and is 0.25"):
        program(0.25)
    assert program(0.25, accept_changes="resimulate") == []
    assert program(0.25) == []


def test_a_run_of_an_older_version_is_taken_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It noted one digest of each function's text: what the code is now is noted, and said once."""
    first, _ = run(tmp_path)

    async def as_older() -> None:
        journal = await asyncio.to_thread(Journal.open, tmp_path / "run")
        identity = await journal.meta("identity")
        await journal.note("identity", {**identity, "simulation task": "0" * 32, "training task": "1" * 32})
        await journal.note("code", {})
        await journal.close("finished")

    asyncio.run(as_older())
    with caplog.at_level(logging.WARNING, "rose"):
        again, simulated = run(tmp_path)
        assert (again, simulated) == (first, [])
        assert caplog.text.count("was begun by an older version of ROSE") == 1
        run(tmp_path)
        assert caplog.text.count("was begun by an older version of ROSE") == 1
    with pytest.raises(ChangedRunError, match="T was 300, and is 350"):
        run(tmp_path, 350)
    _, simulated = run(tmp_path, 350, accept_changes="resimulate")
    assert len(simulated) == 10
    assert run(tmp_path, 300, accept_changes="resimulate") == (first, [])
