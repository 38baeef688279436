"""Try a workflow on problems whose answers are known: simulators with closed forms, and data that packages ship.

Nothing is downloaded. Half of them are classification.

    problem = load("borehole")
    pool = Pool(problem.X, initial=20, holdout=problem.holdout)
    learner.simulation_task(as_executable=False)(lambda index: problem.simulate(index))
"""

from __future__ import annotations

from rose.benchmarks.classes import CLASSES
from rose.benchmarks.problem import Problem, split
from rose.benchmarks.simulators import SIMULATORS, simulated
from rose.errors import ConfigurationError, near_miss

__all__ = ["Problem", "load", "problems"]


def problems(task: str | None = None) -> tuple[str, ...]:
    """Return the names of the problems, of one task or of both.

    Raises:
        ConfigurationError: if the task is neither "regression" nor "classification".

    >>> len(problems("regression")), len(problems("classification"))
    (13, 13)
    """
    found = {"regression": tuple(SIMULATORS), "classification": tuple(CLASSES)}
    if task is None:
        return found["regression"] + found["classification"]
    if task not in found:
        raise ConfigurationError(f"task={task!r} must be 'regression', 'classification' or None, for both")
    return found[task]


def load(name: str, seed: int = 0, n: int = 1000) -> Problem:
    """Return a problem of about `n` candidates and as many test samples, drawn by the seed.

    Of data that are packaged there are as many as there are: seven tenths are candidates, `n` at most.

    Raises:
        ConfigurationError: if there is no problem of that name, or `n` is less than 10.
    """
    if name not in problems():
        raise ConfigurationError(f"there is no problem {name!r}; {near_miss(name, problems())}")
    if isinstance(n, bool) or not isinstance(n, int) or n < 10:
        raise ConfigurationError(f"n={n!r} must be a whole number of 10 or more candidates")
    if name in SIMULATORS:
        X, y, X_test, y_test, source = simulated(name, n, seed)
        return Problem(name, "regression", X, y, X_test, y_test, source)
    X, y, source = CLASSES[name](n, seed)
    return split(name, "classification", source, X, y, n, seed)
