"""`rose run`: of files, and of scripts as `python` runs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rose.cli import main
from rose.engine import ThreadEngine
from rose.engine.registry import ENGINES, register_engine
from tests.plugged import fresh
from tests.spec.programs import ACTIVE, POOL, T, written
from tests.spec.tasks import TRACE

Rose = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rose(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rose:
    """Run the command line in a directory of its own: exit code, stdout, stderr."""
    monkeypatch.setenv(TRACE, str(tmp_path / "trace"))
    monkeypatch.chdir(tmp_path)
    for name in ("path", "argv"):
        monkeypatch.setattr(sys, name, list(getattr(sys, name)))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["run", *arguments])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else -1
        return (code, *capsys.readouterr())

    return run


def test_a_file_runs_and_is_resumed(rose: Rose, tmp_path: Path) -> None:
    written(tmp_path, ACTIVE)
    code, out, err = rose("program.yaml", "--local", "--backend", "threads", "--run-dir", "run")
    assert (code, out.splitlines()[0]) == (
        0,
        "SequentialActiveLearner: criterion_met after 2 iterations, model_accuracy 0.95",
    )
    assert "iteration 1, model_accuracy 0.95" in err
    asked = (tmp_path / "trace").read_text()
    code, out, _ = rose("--json", "--backend", "threads", "program.yaml", "--run-dir=run")
    told = json.loads(out)
    assert (code, told["run_dir"]) == (0, str(tmp_path / "run"))
    assert told["workflows"]["SequentialActiveLearner"]["iterations"][1]["metric"] == 0.95
    assert (tmp_path / "trace").read_text() == asked
    written(tmp_path, ACTIVE.replace("1e-3", "2"))
    code, _, err = rose("program.yaml", "--backend", "threads", "--run-dir", "run")
    assert (code, "configured otherwise" in err) == (1, True)
    kept = ("--accept-changes", "keep")
    assert rose("program.yaml", "--backend", "threads", "--run-dir", "run", *kept)[0] == 0


def test_a_file_over_a_pool_may_have_a_control(rose: Rose, tmp_path: Path) -> None:
    written(tmp_path, POOL + "control: lhs\n")
    code, out, _ = rose("program.yaml", "--backend", "threads")
    assert code == 0
    assert out.splitlines()[1].startswith("control: max_iter_reached after 2 iterations")
    assert "control (to fill space)" in out.splitlines()[2]
    told = json.loads(rose("program.yaml", "--backend", "threads", "--json")[1])
    assert [one["control"] for one in told["worth"]] == ["control"]


def test_a_failing_task_is_exit_code_1(rose: Rose, tmp_path: Path) -> None:
    written(tmp_path, ACTIVE.replace(f'python, function: "{T}:simulate"', 'shell, command: "exit 3"'))
    code, _, err = rose("program.yaml", "--backend", "threads", "--workers", "1")
    assert code == 1
    assert "SequentialActiveLearner/0/simulation" in err


def test_what_cannot_be_asked_for(rose: Rose, tmp_path: Path) -> None:
    written(tmp_path, POOL)
    for arguments, code, text in (
        (["absent.yaml", "--local"], 1, "absent.yaml"),
        ([], 2, "FILE"),
        (["program.yaml", "--remote"], 2, "execution by RADICAL's services is not ours"),
        (["program.yaml", "--wrokers", "2"], 2, "--wrokers"),
        (["program.yaml", "--workers", "0"], 2, "must be a whole number"),
        (["program.yaml", "--backend", "thread"], 1, "did you mean 'threads'"),
        (["--workers", "2", "script.py"], 2, "a script's own arguments come after its name"),
        (["script.py"], 1, "script.py"),
    ):
        assert text in "".join(map(str, (result := rose(*arguments))))
        assert result[0] == code
    assert main(["setup", "--wait-timeout", "3"]) == 2


def test_other_places_for_its_tasks(rose: Rose, tmp_path: Path) -> None:
    written(tmp_path, ACTIVE)
    with fresh(ENGINES):
        register_engine("brought")(ThreadEngine)
        assert rose("program.yaml", "--backend", "brought")[0] == 0
    pytest.importorskip("rhapsody")
    code, out, _ = rose("program.yaml", "--backend", "concurrent")
    assert (code, "criterion_met" in out) == (0, True)


SCRIPT = '''\
"""A program."""
import pickle
import sys
import __main__
from rose import SeqUQLearner, ThreadEngine
from rose.watch import progress

class Own:
    pass

assert type(pickle.loads(pickle.dumps(Own()))) is __main__.Own is Own
learner = SeqUQLearner(ThreadEngine(1))
for stage in ("simulation", "training", "prediction", "active_learn"):
    getattr(learner, f"{stage}_task")(as_executable=False)(lambda *args, **told: 1)
if __name__ == "__main__":
    with progress(learner):  # shows what is shown already
        learner.run(["a"], max_iter=2)
    print(sys.argv, sys.path[0], __file__)
    sys.exit(int(sys.argv[1]))
'''


def test_a_script_runs_as_python_runs_it(rose: Rose, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    written(tmp_path / "folder", SCRIPT, "script.py")
    file = "folder/script.py"
    code, out, err = rose(file, "7", "--json")
    assert (code, out) == (7, f"{[file, '7', '--json']} {tmp_path / 'folder'} {tmp_path / file}\n")
    *lines, times = err.splitlines()
    assert lines == ["UQLearner: iteration 0", "UQLearner: iteration 1", "UQLearner: stopped: max_iter_reached"]
    assert times.startswith("where the time went: simulation ")
    code, _, err = rose(file, "seven")
    assert code == 1
    assert err.splitlines()[-1].startswith("ValueError: invalid literal")
    assert "programs.py" not in err
    written(tmp_path, "if:\n", "wrong.py")
    code, _, err = rose("wrong.py")
    assert code == 1
    assert f'File "{tmp_path}/wrong.py", line 1' in err
