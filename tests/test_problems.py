"""The problem sets: labels that are right, candidates that the seed alone decides."""

from __future__ import annotations

import numpy as np
import pytest

from rose.benchmarks import load, problems
from rose.benchmarks.simulators import SIMULATORS
from rose.errors import ConfigurationError

KNOWN = {  # inputs whose outputs are published
    "branin": ([np.pi, 2.275], 0.397887),
    "hartmann_6": ([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573], -3.32237),
    "rosenbrock_4": ([1, 1, 1, 1], 0.0),
    "ishigami": ([np.pi / 2, np.pi / 2, 0], 8.0),
    "friedman_1": ([0.5, 1, 0.5, 0, 0, 0, 0, 0, 0, 0], 10.0),
    "robot_arm": ([0, 0, 0, 0, 1, 1, 1, 0.5], 3.5),
}


@pytest.mark.parametrize("name", KNOWN)
def test_simulators_are_the_published_ones(name: str) -> None:
    x, y = KNOWN[name]
    assert SIMULATORS[name].function(np.array([x], dtype=np.float64))[0] == pytest.approx(y, abs=2e-5)


@pytest.mark.parametrize("name", problems())
def test_problems(name: str) -> None:
    problem, again, other = load(name, 1, 100), load(name, 1, 100), load(name, 2, 100)
    assert problem.X.shape == (len(problem.y), problem.X_test.shape[1])
    assert 80 <= len(problem.X) <= 100
    assert len(problem.X_test) == len(problem.y_test) >= 40
    assert np.array_equal(problem.X, again.X)
    assert np.array_equal(problem.y, again.y)
    assert not np.array_equal(problem.X, other.X)
    assert (problem.y.dtype.kind == "i") == (problem.task == "classification")
    assert not {x.tobytes() for x in problem.X} & {x.tobytes() for x in problem.X_test} or name in ("iris", "digits")
    assert problem.simulate(3) == problem.y[3]


def test_what_there_is_not_is_refused() -> None:
    assert len(problems("regression")) == len(problems("classification")) >= 12
    with pytest.raises(ConfigurationError, match="did you mean 'branin'"):
        load("brannin")
    with pytest.raises(ConfigurationError, match="must be 'regression'"):
        problems("ranking")
    with pytest.raises(ConfigurationError, match="10 or more"):
        load("branin", n=3)
