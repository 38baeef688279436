"""What runs in a worker around the user's functions in a pool's workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rose.engine.coroutines import finished
from rose.workflow.passes import Passed, as_passed
from rose.workflow.pool import part, take
from rose.workflow.private import own, private, with_own


def sliced(X: Any, rows: np.ndarray | None, start: int, stop: int) -> Any:
    """Samples `start` to `stop` of those rows of `X` (None: of all)."""
    return part(X, start, stop) if rows is None else take(X, rows[start:stop])


def predict(func: Callable[..., Any], model: Any, X: Any, arguments: Mapping[str, Any]) -> Passed:
    """Predict by the user's function. In `arguments`, True stands for `model` and `X`, which others use as well."""
    return _predict(func, private(model), private(X) if "X" in arguments else X, arguments)


def _predict(func: Callable[..., Any], model: Any, X: Any, arguments: Mapping[str, Any]) -> Passed:
    large = {"model": model, "X": X}
    wanted = {name: large.get(name, value) for name, value in arguments.items()}
    return as_passed(finished(func(**wanted)))


def predict_slice(
    func: Callable[..., Any],
    model: Any,
    X: Any,
    rows: np.ndarray | None,
    start: int,
    stop: int,
    arguments: Mapping[str, Any],
) -> Passed:
    """Predict one block; `model`, `X` and `rows` were shipped once for all blocks."""
    return _predict(func, private(model), own(sliced(X, rows, start, stop)), arguments)


def with_rows(func: Callable[..., Any], X: Any, rows: np.ndarray, /, **arguments: Any) -> Any:
    """Call a function that wants the candidates of this round as `X`."""
    return with_own(func, X=take(X, rows), **arguments)


def with_models(func: Callable[..., Any], /, *models: Any, **arguments: Any) -> Any:
    """Call a function that wants the whole ensemble as `models`, a list."""
    return with_own(func, models=list(models), **arguments)
