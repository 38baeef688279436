"""What is met first: imports, names, the command line, docstring examples."""

import doctest
import importlib
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import rose
from rose import errors
from rose.cli import main


def test_every_public_name_is_there():
    for name in rose.__all__:
        assert getattr(rose, name).__name__ == name
    assert set(rose.__all__) <= set(dir(rose))
    with pytest.raises(AttributeError, match="no attribute 'Pol'"):
        _ = rose.Pol


def test_importing_rose_is_cheap():
    """Neither compiles nor loads what only some runs need."""
    code = (
        "import sys, rose.reinforcement_learning.experience; assert 'rose.learners' not in sys.modules; "  # in scripts
        "import rose.uq.uq_active_learner; print(*sorted(m for m in sys.modules if '.' not in m))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "sklearn", "scipy", "matplotlib", "torch", "pandas", "rich"} & set(loaded)


def test_errors_are_also_the_matching_built_in_and_survive_pickling():
    matching = {"UnknownMetricError": KeyError, "PredictionError": ValueError, "TaskTimeoutError": TimeoutError}
    for name, builtin in matching.items():
        assert issubclass(getattr(errors, name), errors.RoseError)
        assert issubclass(getattr(errors, name), builtin)
    for error in (
        errors.TaskTimeoutError("too long", "w/0/training/a"),
        errors.CommandFailedError("bad", "w/0/training/a", 3, "false", "no"),
        errors.UnknownMetricError("no metric"),
        errors.RunFailedError("1 failed", {"w": ValueError("x")}),
    ):
        assert isinstance(type(error).__new__(type(error), *error.args), type(error))  # as tblib, for Dask, does it
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert getattr(copy, "key", "") == getattr(error, "key", "")


def test_command_line(capsys):
    assert main([]) == 2
    assert "usage: rose" in capsys.readouterr().out
    assert main(["metrics", "--task", "regression"]) == 0
    out = capsys.readouterr().out
    assert "predictive_variance" in out
    assert "mutual_information" not in out
    assert main(["metrics", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("|")
    assert main(["acquisitions"]) == 0
    assert "diverse" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert rose.__version__ in capsys.readouterr().out


def test_the_list_of_metrics_is_the_declarations(capsys):
    main(["metrics", "--markdown"])
    document = Path(__file__).parents[1] / "docs" / "metrics.md"
    assert document.read_text() == capsys.readouterr().out, "run `make docs`"


MODULES = [m.name for m in pkgutil.walk_packages(rose.__path__, "rose.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
