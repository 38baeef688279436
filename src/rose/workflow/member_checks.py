"""Whether what the members of an ensemble predict can be used: shapes, ranges, sums and variances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rose.errors import PredictionError
from rose.scoring import Metric, check_predictions
from rose.workflow.passes import Gaussian, Passed, means, variances


def form_of(one: Passed) -> str:
    """What the predictions of other samples by the same ensemble must look like, in words."""
    shape = ", ".join(["n", *map(str, means([one])[0].shape[1:])])
    return f"[{shape}] {'with' if isinstance(one, Gaussian) else 'without'} variances"


def task_of(metric: Metric | None, one: Passed) -> str:
    """The task type that predictions must have: the metric's, else what the shape of one of them says."""
    if metric is not None and metric.task != "any":
        return metric.task
    return "classification" if means([one])[0].ndim > 1 else "regression"


def check_members(passes: Mapping[str, Sequence[Passed]], count: int, task: str, where: str) -> None:
    """Check every prediction's shape, range and sum, and that variances are none below 0.

    Args:
        passes: by model, all that it says of `count` samples.
        count: how many samples they were asked for.
        task: "classification" or "regression".
        where: what messages add to the model's name.

    Raises:
        PredictionError: naming the model, its pass if there are several, and `where`.
    """
    forms = {}
    for model, predicted in passes.items():
        for index, one in enumerate(predicted):
            who = f"model {model!r}, {where}" + (f", pass {index}" if len(predicted) > 1 else "")
            array, spread = means([one])[0], variances([one])
            if array.ndim == 0 or len(array) != count:
                raise PredictionError(f"{who}: predicted an array of shape {array.shape} for {count} samples")
            try:
                check_predictions([array], task)
            except PredictionError as error:
                raise PredictionError(f"{who}: {str(error).removeprefix('member 0, ')}") from error
            if spread is not None and (spread[0].shape != array.shape or not (spread[0] >= 0).all()):
                raise PredictionError(
                    f"{who}: a tuple is (mean, variance), of one shape and with no variance below 0 or NaN; got "
                    f"shapes {array.shape} and {spread[0].shape}"
                )
            forms[who] = form_of(one)
    if len(set(forms.values())) > 1:
        raise PredictionError(f"the members' predictions differ in form: {forms}")
