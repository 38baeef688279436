"""Ask members for predictions, check whether what they say can be used, and bring it into one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rose.arrays import probability_tolerance
from rose.engine.functions.coroutines import finished
from rose.errors import PredictionError
from rose.pool.candidates.taking import part, take
from rose.pool.ensemble.columns import Classes, aligned
from rose.pool.ensemble.passes import Gaussian, Passed, as_passed, by_member, mapped, means, variances
from rose.scoring import check_predictions
from rose.scoring.inputs import usable as native_floats
from rose.scoring.probabilities import divided
from rose.stages.estimators import Members
from rose.stages.shared import own, private, with_own


class Predicted(NamedTuple):
    """Hold what all members say of the same samples, in one form.

    Attributes:
        passes: by model, its stochastic passes: `[n, C]` probabilities, `[n]` values or `[n, D]` of several outputs.
        task: "classification" or "regression".
        classes: the label of each column of the probabilities; None: nobody says, or there are none.
    """

    passes: Mapping[str, Sequence[Passed]]
    task: str
    classes: list[Any] | None

    @property
    def ordered(self) -> list[Passed]:
        """Return all passes, models in order, each with all its own."""
        return [one for of_model in self.passes.values() for one in of_model]

    @property
    def form(self) -> str:
        """Say what predictions of other samples by this ensemble must look like."""
        return form_of(self.ordered[0])


def usable(
    passes: Mapping[str, Sequence[Passed]],
    classes: Mapping[str, Classes],
    count: int,
    task: str | None,
    where: str,
    normalise: bool = False,
) -> Predicted:
    """Check every prediction, and bring all to one form.

    Args:
        passes: by model, all that it says of `count` samples.
        classes: by model, the label of each column of its probabilities, where it is known.
        count: how many samples they were asked for.
        task: "classification" or "regression"; None: what they look like.
        where: what messages add to the model's name.
        normalise: whether probabilities are rounded, and are divided by their sums.

    Raises:
        PredictionError: naming the model, its pass if there are several, and `where`, for a wrong shape, what are no
            numbers or no probabilities, and variances that are negative; and if members cannot be compared.
    """
    every = [(_who(model, number, predicted, where), one) for model, predicted in passes.items()
             for number, one in enumerate(predicted)]  # fmt: skip
    for who, one in every:
        _check_shape(who, one, count)
    found = "classification" if normalise else task or task_of([one for _, one in every])
    if found == "regression":
        names = None
        formed = {model: [mapped(one, _one_output) for one in of_model] for model, of_model in passes.items()}
    else:
        _check_axes(every)
        try:
            formed, names = aligned(passes, classes)
        except PredictionError as error:
            raise PredictionError(f"{where}: {error}") from None
        if normalise:
            formed = {model: [_divided(model, one, where) for one in of_model] for model, of_model in formed.items()}
    predicted = Predicted(formed, found, names)
    for (who, _), one in zip(every, predicted.ordered, strict=True):
        _check_values(who, one, found)
    forms = {who: form_of(one) for (who, _), one in zip(every, predicted.ordered, strict=True)}
    if len(set(forms.values())) > 1:
        raise PredictionError(f"the members' predictions differ in form: {forms}")
    return predicted


def task_of(passes: Sequence[Passed]) -> str:
    """Tell classification from regression by what predictions look like.

    Rows of two or more that sum to 1 are probabilities.
    """
    for array in means(passes):
        if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind != "f":
            return "regression"
        tolerance = probability_tolerance(array)
        if (array < -tolerance).any() or (np.abs(array.sum(axis=1, dtype=np.float64) - 1.0) > tolerance).any():
            return "regression"
    return "classification"


def form_of(one: Passed) -> str:
    """Say what predictions of other samples by this ensemble must look like."""
    shape = ", ".join(["n", *map(str, means([one])[0].shape[1:])])
    return f"[{shape}] {'with' if isinstance(one, Gaussian) else 'without'} variances"


def _who(model: str, number: int, predicted: Sequence[Passed], where: str) -> str:
    return f"model {model!r}, {where}" + (f", pass {number}" if len(predicted) > 1 else "")


def _check_shape(who: str, one: Passed, count: int) -> None:
    array, spread = means([one])[0], variances([one])
    if array.ndim not in (1, 2) or len(array) != count or (array.ndim == 2 and not array.shape[1]):
        raise PredictionError(f"{who}: predicted an array of shape {array.shape} for {count} samples")
    if array.dtype.kind not in "fiu":
        raise PredictionError(f"{who}: predicted an array of {array.dtype}, not of numbers")
    if spread is not None and (
        spread[0].shape != array.shape or spread[0].dtype.kind not in "fiu" or not (spread[0] >= 0).all()
    ):
        raise PredictionError(
            f"{who}: a tuple is (mean, variance), of one shape and with no variance below 0 or NaN; got "
            f"shapes {array.shape} and {spread[0].shape}"
        )


def _check_axes(every: Sequence[tuple[str, Passed]]) -> None:
    shapes = {who: means([one])[0].shape for who, one in every}
    columns = next((who for who, shape in shapes.items() if len(shape) == 2 and shape[1] > 1), None)
    flat = next((who for who, shape in shapes.items() if len(shape) == 1), None)
    if columns is not None and flat is not None:
        raise PredictionError(
            f"{flat}: predicted an array of shape {shapes[flat]}, but {columns} one of shape {shapes[columns]}; give "
            "[n, C] probabilities"
        )


def _check_values(who: str, one: Passed, task: str) -> None:
    try:
        check_predictions(means([one]), task)
    except PredictionError as error:
        raise PredictionError(f"{who}: {str(error).removeprefix('member 0, ')}") from error


def _divided(model: str, one: Passed, where: str) -> Passed:
    array = means([one])[0]
    tolerance = probability_tolerance(array)
    return divided(native_floats(array), tolerance, lambda at: f"model {model!r}, {where}: candidate {at}")


def _one_output(array: np.ndarray) -> np.ndarray:
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def sliced(X: Any, rows: np.ndarray | None, start: int, stop: int) -> Any:
    """Return samples `start` to `stop - 1` of those rows of `X` (None: of all)."""
    return part(X, start, stop) if rows is None else take(X, rows[start:stop])


def predict(func: Callable[..., Any], model: Any, X: Any, arguments: Mapping[str, Any]) -> list[Passed]:
    """Predict by the user's function, each member of a model by itself.

    In `arguments`, True stands for `model` and `X`, which others use as well.
    """
    return by_member(_predict(func, private(model), private(X) if "X" in arguments else X, arguments))


def _predict(func: Callable[..., Any], model: Any, X: Any, arguments: Mapping[str, Any]) -> Passed | Members:
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
) -> Passed | Members:
    """Predict one block; `model`, `X` and `rows` were shipped once for all blocks."""
    return _predict(func, private(model), own(sliced(X, rows, start, stop)), arguments)


def with_rows(func: Callable[..., Any], X: Any, rows: np.ndarray, /, **arguments: Any) -> Any:
    """Call a function that wants the candidates of this round as `X`."""
    return with_own(func, X=take(X, rows), **arguments)


def with_models(func: Callable[..., Any], /, *models: Any, **arguments: Any) -> Any:
    """Call a function that wants the whole ensemble as `models`, a list."""
    return with_own(func, models=list(models), **arguments)
