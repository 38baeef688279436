"""Real simulators are programs: in a pool, too, any stage may be a command, with a working directory of its own."""

import json
import sys

import numpy as np
import pytest

from rose import Pool
from rose.errors import CommandOutputError, RunFailedError, TaskFailedError
from tests.programs import Centroids, blobs, classifier

TWO = ["a", "b"]


def simulating(learner, command, **options):
    """Register a simulation whose command line is `command` with the candidate's numbers filled in."""

    @learner.simulation_task(**options)
    def simulate(x, index, workdir):
        (workdir / "input.json").write_text(json.dumps(list(x)))
        return command.format(index=index, label=int(blobs()[1][index]), python=sys.executable)

    return learner


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("echo working; echo {label}", {}),
        ("echo {label} > label.txt", {"collect": "label.txt"}),
        ("echo {label} > label.json; pwd", {"collect": "label.json"}),
        ("{python} -c 'import numpy; numpy.save(\"label.npy\", {label})'", {"collect": "label.npy"}),
        (
            "cp input.json seen.json; echo 7",
            {"collect": lambda w: round(float(json.loads((w / "seen.json").read_text())[0] > 1))},
        ),
    ],
    ids=["printed", "text", "json", "npy", "function"],
)
def test_labels_by_commands(engine, tmp_path, command, options):
    learner = classifier(engine, initial=3)
    learner._run_dir = tmp_path / "run"
    result = simulating(learner, command, **options).run(["w"], TWO, max_iter=1)["w"]
    X, y = blobs()
    expected = (X[result.indices, 0] > 1).astype(int) if callable(options.get("collect")) else y[result.indices]
    np.testing.assert_array_equal(np.ravel(result.labels), expected)
    directories = sorted((tmp_path / "run" / "work" / "w" / "0" / "simulation").iterdir())
    assert len(directories) == 3
    assert all((directory / "input.json").exists() for directory in directories)


def test_a_printed_label_may_be_any_json(engine):
    learner = simulating(classifier(engine, initial=3), "echo '[{label}, 2.5]'")

    @learner.training_task(as_executable=False)
    def train(X, y, seed):
        assert y.shape == (3, 2)
        return Centroids(X, y[:, 0], seed)

    assert learner.run(["w"], TWO, max_iter=1)["w"].labels.shape == (3, 2)


def test_batches_by_a_command(engine):
    learner = classifier(engine, initial=5)

    @learner.simulation_task(batch=2, collect="labels.npy")
    def simulate(X, index, workdir):
        np.save(workdir / "index.npy", blobs()[1][index])
        return "cp index.npy labels.npy"

    result = learner.run(["w"], TWO, max_iter=1)["w"]
    np.testing.assert_array_equal(result.labels, blobs()[1][result.indices])


def test_every_stage_as_a_command(engine, tmp_path):
    learner = simulating(classifier(engine, holdout=False), "echo {label}")
    program = tmp_path / "model.py"
    program.write_text(
        "import sys, numpy as np\n"
        "if sys.argv[1] == 'train':\n"
        "    X, y = np.load('X.npy'), np.load('y.npy')\n"
        "    np.save('centres.npy', [X[y == c].mean(0) if (y == c).any() else X.mean(0) for c in (0, 1)])\n"
        "else:\n"
        "    X, c = np.load('X.npy'), np.load(sys.argv[2] + '/centres.npy')\n"
        "    near = np.exp(-((X[:, None] - c) ** 2).sum(2)) + 1e-9\n"
        "    np.save('preds.npy', near / near.sum(1, keepdims=True))\n"
    )

    @learner.training_task
    def train(X, y, workdir):
        np.save(workdir / "X.npy", X)
        np.save(workdir / "y.npy", y)
        return f"{sys.executable} {program} train"

    @learner.prediction_task(collect="preds.npy")
    def predict(model, X, workdir):
        np.save(workdir / "X.npy", X)
        return f"{sys.executable} {program} predict {model}"

    @learner.as_stop_criterion("labels", threshold=10, operator=">=")
    def labels(y):
        return f"echo {len(y)} labels; echo {len(y)}"

    @learner.active_learn_task
    def choose(scores, workdir):
        return f"echo '{np.argsort(-scores)[:4].tolist()}'"

    result = learner.run(["w"], TWO)["w"]
    assert [i["labels"] for i in result.iterations] == [6, 10]
    assert result.stop_reason == "criterion_met"


@pytest.mark.parametrize(
    ("command", "options", "error", "message"),
    [
        ("echo hello", {}, CommandOutputError, "neither a number nor JSON: 'hello'"),
        ("true", {}, CommandOutputError, "printed nothing"),
        ("echo nan", {}, TaskFailedError, "not finite"),
        ("true", {"collect": "label.npy"}, TaskFailedError, r"wrote no such file.*there is: input.json"),
    ],
)
def test_commands_without_a_label(engine, command, options, error, message):
    learner = simulating(classifier(engine, initial=2), command, **options)
    with pytest.raises(RunFailedError, match=message) as caught:
        learner.run(["w"], TWO, max_iter=1)
    assert isinstance(caught.value.errors["w"], error)
    assert "w/0/simulation" in caught.value.errors["w"].key


def test_a_function_registered_as_a_command_is_told_so(engine):
    learner = classifier(engine)

    @learner.simulation_task
    def simulate(x):
        return 1.0

    with pytest.raises(RunFailedError, match=r"must return the command line.*as_executable=False"):
        learner.run(["w"], TWO, max_iter=1)


def test_names_cannot_leave_the_run_directory(engine, tmp_path):
    learner = simulating(classifier(engine, initial=2), "pwd; echo {label}")
    learner._run_dir = tmp_path / "run"
    learner.run(["../../out", ".."], TWO, max_iter=1)
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    assert len(list((tmp_path / "run" / "work").iterdir())) >= 1


def test_a_temporary_run_directory_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    learner = simulating(classifier(2, initial=2), "echo {label}")
    assert isinstance(learner.pool, Pool)
    learner.run(["w"], TWO, max_iter=1)
    assert list(tmp_path.iterdir()) == []
