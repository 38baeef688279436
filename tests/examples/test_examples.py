"""The examples, run as a user runs them, in a short form."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(program: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(program), *options], capture_output=True, text=True, timeout=110)


def rows(text: str, columns: int) -> list[list[float]]:
    """The table's rows of numbers."""
    found = []
    for line in text.splitlines():
        words = [word for word in line.replace("runs", "").split() if word.replace(".", "").isdigit()]
        if len(words) == columns and line.strip()[0].isdigit():
            found.append([float(word) for word in words])
    return found


def test_digits_pool(tmp_path):
    ended = run(EXAMPLES / "digits_pool.py", "--max-iter", "2", "--out", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    table = rows(ended.stdout, 3)
    assert [row[0] for row in table] == [20, 30]
    assert table[-1][1] > table[0][1]
    assert "Warning" not in ended.stderr
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("rounds", [1, 2])
def test_surrogate(rounds, tmp_path):
    ended = run(EXAMPLES / "surrogate.py", "--max-iter", str(rounds), "--out", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    table = rows(ended.stdout, 3)
    assert [row[0] for row in table] == [40, 60][:rounds]
    assert rounds == 1 or table[-1][1] < table[0][1]
    assert "Warning" not in ended.stderr
    assert (tmp_path / "surrogate.png").exists()


# Each workflow is 22 processes that import NumPy: `make long` runs both.
ONE_WORKFLOW = """
import runpy, sys
main = runpy.run_path(sys.argv.pop(1))["main"]
del main.__globals__["METRICS"]["UQ_learner1"]
main()
"""


@pytest.mark.parametrize("both", [False, True], ids=["one workflow", "both workflows"])
def test_digits_commands(both, tmp_path):
    program = EXAMPLES / "digits_commands" / "run_me.py"
    if not both:
        (tmp_path / "one.py").write_text(ONE_WORKFLOW)
    command = [program] if both else [tmp_path / "one.py", str(program)]
    ended = run(*command, "--iterations", "2", "--query-size", "5", "--out", str(tmp_path / "out"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results) == ["UQ_learner1", "UQ_learner2"][0 if both else 1 :]
    for name, result in results.items():
        labelled = np.load(tmp_path / "out" / name / "labelled.npz")["indices"]
        assert len(labelled) == len(np.unique(labelled)) == 20 + 5
        assert result["stop_reason"] == "max_iter_reached"
        first, last = result["iterations"]
        assert 0.2 < first["metric"] < last["metric"]
        assert len(json.loads(first["selection"])) == 5
        assert set(last["criterion_values"]) == {"narrow", "wide"}


@pytest.mark.parametrize(
    ("program", "options", "missing"),
    [
        ("simulation.py", [], "labelled.npz"),
        ("training.py", ["--model_name", "wide"], "labelled.npz"),
        ("predict.py", ["--model_name", "wide", "--iteration", "0"], "candidates.npz"),
        ("check_uq.py", ["--metric", "predictive_entropy", "--query_size", "5"], "candidates.npz"),
        ("active_learn.py", ["--query_size", "5"], "uncertain.npz"),
        ("check_accuracy.py", ["--model_name", "wide"], "holdout.npz"),
    ],
)
def test_a_missing_file_is_an_error_not_a_guess(program, options, missing, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES / "digits_commands")
    monkeypatch.setattr(sys, "argv", [program, "--folder", str(tmp_path), *options])
    with pytest.raises(SystemExit, match=f"{tmp_path / missing} is missing; "):
        runpy.run_path(str(EXAMPLES / "digits_commands" / program), run_name="__main__")
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
