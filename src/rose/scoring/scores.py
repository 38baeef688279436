"""Score stacked predictions, by `score` and `top_k`: uncertainty or the most uncertain candidates come out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from rose.arrays import as_vector
from rose.errors import PredictionError
from rose.scoring._request import REDUCE, Options, Request, prepare, smallest_left
from rose.scoring.blocks import each_block
from rose.scoring.classification import ClassStatistics
from rose.scoring.compiled import fill_class_statistics, fill_value_statistics
from rose.scoring.device import class_statistics, value_statistics
from rose.scoring.inputs import Rows, check_block
from rose.scoring.probabilities import ROUNDED, below_0, without_signs
from rose.scoring.ranking import Indices, Leaders, check_k
from rose.scoring.registry import Array, Metric
from rose.scoring.regression import ValueStatistics

_CHECK_ALL = 1 << 16  # elements; below, every row is checked in full, which costs next to nothing there
_COPIED_ELEMENTS = 1 << 17  # of all members, where probabilities must be copied


@overload
def score(  # type: ignore[overload-overlap]  # a str is also an iterable of str; the first overload wins
    mc_preds: object, metric: str | Metric, **options: Unpack[Options]
) -> Array: ...
@overload
def score(mc_preds: object, metric: Iterable[str | Metric], **options: Unpack[Options]) -> dict[str, Array]: ...


def score(
    mc_preds: object, metric: str | Metric | Iterable[str | Metric], **options: Unpack[Options]
) -> Array | dict[str, Array]:
    """Score every candidate's uncertainty; several metrics share one read of the predictions.

    Takes, beside the result, at most 1 % of the predictions' memory, or 4 MB where they are small.

    Args:
        mc_preds: `[S, N, C]` probabilities or `[S, N]` values, float16 to float64: one array (also memory-mapped), a
            list of S arrays `[N, C]` or `[N]`, a list of S .npy paths, or arrays of another library (pandas, torch,
            CuPy, JAX, ...). Probabilities may be off by the rounding of what they were computed in (see
            `check_predictions`); what that leaves below 0 counts as 0.
        metric: a name, an alias or a `Metric`; or several of them.
        y_true: `[N]` class numbers or values, for metrics that need the truth.
        variances: the members' own variances, in the form and shape of `mc_preds`; for metrics that need or take them.
        nan: "raise", or "omit" to drop a member that is NaN for a candidate, for that candidate.
        level: nominal coverage of interval metrics, between 0 and 1.
        reduction: how the D outputs of `[S, N, D]` regression become one score: "mean", "max", "sum" or "norm".
        check: whether to check that predictions are finite and probabilities sum to 1 (each candidate's mean, and
            each member's row for some; `check_predictions` looks at every row).
        normalise: divide probabilities that were rounded (a table of three decimals) by their sum, which must be within
            5 % of 1.
        threads: how many to use; by default the CPUs of this process, at most NUMBA_NUM_THREADS.
        block_size: candidates per block; changes memory and speed, never the result.

    Returns:
        float64 `[N]`; for several metrics a dict of them under the names asked for, rows of one array.

    Raises:
        UnknownMetricError: for a name nobody registered.
        PredictionError: for predictions of a wrong shape, dtype or range, NaN or inf, or too few members.
        ConfigurationError: for metrics of another task type, missing or wrong targets, or options that cannot be.

    >>> import numpy as np
    >>> p = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.5, 0.5], [1.0, 0.0]]])  # 2 members, 2 candidates, 2 classes
    >>> score(p, "predictive_entropy").round(4)
    array([0.6931, 0.    ])
    >>> sorted(score(p, ["margin", "bald"]))
    ['bald', 'margin']
    """
    names = [metric] if isinstance(metric, (str, Metric)) else list(metric)
    request = prepare(mc_preds, names, **options)
    results = list(np.empty((len(names), request.n)))  # allocated in one piece, which is faster

    def keep(low: int, high: int) -> None:
        for out, values in zip(results, score_block(request, low, high), strict=True):
            out[low:high] = values

    each_block(request.n, request.block, request.threads, keep)
    _fill_whole(request, results)
    if isinstance(metric, (str, Metric)):
        return results[0]
    return {m.name if isinstance(m, Metric) else m: r for m, r in zip(names, results, strict=True)}


def top_k(mc_preds: object, k: int, metric: str | Metric, **options: Unpack[Options]) -> tuple[Indices, Array]:
    """Return the `k` most uncertain candidates, found as blocks pass: memory does not grow with N.

    Args:
        mc_preds, metric: as for `score`.
        k: how many; 0 gives empty arrays.
        options: those of `score`.

    Returns:
        indices and scores, both `[k]`, most uncertain first; equal scores: lower index first.

    Raises:
        ConfigurationError: for a `k` that is negative, no integer, or larger than N; and as `score`.
        NotANumberError: if a user's metric gives NaN.

    >>> import numpy as np
    >>> top_k(np.array([[1.0, 2.0, 3.0], [1.0, 4.0, 3.5]]), 2, "variance")
    (array([1, 2]), array([1.    , 0.0625]))
    """
    request = prepare(mc_preds, [metric], **options)
    k = check_k(k, request.n)
    leaders = Leaders(k, request.metrics[0].direction)
    if request.metrics[0].kind == "whole":
        leaders.offer(0, score(mc_preds, metric, **options))
    else:
        each_block(
            request.n, request.block, request.threads,
            lambda low, high: leaders.offer(low, score_block(request, low, high)[0]),
        )  # fmt: skip
    return leaders.result()


def score_block(request: Request, low: int, high: int) -> list[Array]:
    """Return all metrics of a request for candidates `low` to `high - 1`."""
    if request.on_device:
        values = _device_block(request, low, high)
        if values is not None:
            return values
    rows = request.found.block(low, high)
    spread = None if request.variances is None else request.variances.block(low, high)
    targets = None if request.targets is None else request.targets[low:high]
    statistics = _statistics(request, rows, targets, spread)
    if request.compiled:
        doubtful = _fill(statistics, request, low, request.addresses)  # kernels look for wrong numbers as they go
    else:
        doubtful = request.found.size < _CHECK_ALL or _doubtful(statistics, request.found.tolerance)
    if request.check:
        if doubtful:
            check_block(rows, low, request.task, request.found.tolerance, nan=request.nan)
        if spread is not None:
            _check_spread(spread, low, request.nan)
    if doubtful and request.task == "classification" and below_0(rows):
        few = max(1, _COPIED_ELEMENTS // (request.found.shape[0] * request.found.shape[2]))
        if high - low > few:  # copies of so many would take too much memory
            pieces = [score_block(request, at, min(at + few, high)) for at in range(low, high, few)]
            return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
        rows = [without_signs(row, request.found.tolerance) for row in rows]
        statistics = _statistics(request, rows, targets, spread)
        if request.compiled:
            _fill(statistics, request, low, None)
    results = [_apply(metric, request, statistics, rows, targets, spread) for metric in request.metrics]
    if request.nan == "omit" and (doubtful or spread is not None):
        missing = _missing(rows, spread)
        if missing.any():
            _score_incomplete(request, results, missing, low, rows, targets, spread)
    return results


def _device_block(request: Request, low: int, high: int) -> list[Array] | None:
    """Score a block where the predictions live; return None if something looks wrong, which the host then names."""
    block = request.found.device_block(low, high)
    statistics: ClassStatistics | ValueStatistics
    if request.task == "classification":
        targets = None if request.targets is None else request.targets[low:high]
        statistics = ClassStatistics([], targets)
        rounded = ROUNDED if request.found.normalise else 0.0
        found, wrong = class_statistics(block, request.on_device, targets, request.found.tolerance, rounded)
    else:
        statistics = ValueStatistics([], None if request.targets is None else request.targets[low:high])
        found, wrong = value_statistics(block, request.on_device, request.level)
    if wrong and (request.check or request.nan == "omit"):
        return None
    statistics.members = request.found.shape[0]
    statistics.__dict__.update(found)
    return [np.asarray(metric.definition(statistics)) for metric in request.metrics]


def _fill(
    statistics: ClassStatistics | ValueStatistics, request: Request, low: int, addresses: npt.NDArray[np.uint64] | None
) -> bool:  # fmt: skip
    if isinstance(statistics, ClassStatistics):
        return fill_class_statistics(statistics, request.compiled, addresses, low, request.found.tolerance)
    return fill_value_statistics(statistics, request.compiled, addresses, low * request.outputs)


def _doubtful(statistics: ClassStatistics | ValueStatistics, tolerance: float) -> bool:
    """Tell whether any prediction may be wrong, by a quick look: at signs, and at sums, where NaN and inf show.

    Of probabilities, every candidate's mean is looked at, and every member's row for the first candidate; members that
    make up for each other elsewhere pass. What passes wrongly the other way is only looked at again.
    """
    if statistics.rows[0].size == 0:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(statistics, ValueStatistics):
            return not all(np.isfinite(row.sum()) for row in statistics.rows)
        if not all(
            row.min() >= 0.0 and abs(row[0].sum(dtype=np.float64) - 1.0) <= tolerance for row in statistics.rows
        ):
            return True
        return not bool((np.abs(statistics.mean.sum(axis=-1) - 1.0) <= tolerance / statistics.members).all())


def _check_spread(spread: Rows, low: int, nan: str) -> None:
    for member, row in enumerate(spread):
        bad = (row < 0.0) | np.isinf(row)
        if nan == "raise":
            bad |= np.isnan(row)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise PredictionError(
                f"member {member}, candidate {low + at[0]}: the variance is {row[at]}, not a finite number >= 0"
            )


def _missing(rows: Rows, spread: Rows | None) -> npt.NDArray[np.bool_]:
    """Tell which member is NaN for which candidate, `[n, S]`."""
    missing = np.empty((len(rows[0]), len(rows)), dtype=np.bool_)
    for s, row in enumerate(rows):
        missing[:, s] = np.isnan(row).reshape(len(row), -1).any(axis=1)
        if spread is not None:
            missing[:, s] |= np.isnan(spread[s]).reshape(len(row), -1).any(axis=1)
    return missing


def _score_incomplete(
    request: Request, results: list[Array], missing: npt.NDArray[np.bool_], low: int, rows: Rows, targets: Any,
    spread: Rows | None,
) -> None:  # fmt: skip
    """Score candidates that miss the same members together, from the members they have."""
    least = max([1, *(smallest_left(m, request) for m in request.metrics)])
    incomplete = np.flatnonzero(missing.any(axis=1))
    patterns, which = np.unique(missing[incomplete], axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        among = incomplete[which.reshape(-1) == i]
        present = np.flatnonzero(~pattern)
        if len(present) < least:
            raise PredictionError(
                f"candidate {low + int(among[0])}: {len(present)} of {len(pattern)} members are not NaN, "
                f"but {least} are needed"
            )
        some = [rows[s][among] for s in present]
        their_targets = None if targets is None else targets[among]
        their_spread = None if spread is None else [spread[s][among] for s in present]
        statistics = _statistics(request, some, their_targets, their_spread)
        for metric, out in zip(request.metrics, results, strict=True):
            out[among] = _apply(metric, request, statistics, some, their_targets, their_spread)


def _statistics(
    request: Request, rows: Rows, targets: Any, spread: Rows | None
) -> ClassStatistics | ValueStatistics:  # fmt: skip
    if request.task == "classification":
        return ClassStatistics(rows, targets)
    return ValueStatistics(
        [row.reshape(-1) for row in rows],
        None if targets is None else targets.reshape(-1),
        None if spread is None else [row.reshape(-1) for row in spread],
        request.level,
    )


def _apply(metric: Metric, request: Request, statistics: Any, rows: Rows, targets: Any, spread: Rows | None) -> Array:
    if metric.kind == "formula":
        values = np.asarray(metric.definition(statistics))
        if request.task == "regression" and request.reduction is not None and rows[0].ndim == 2:
            values = REDUCE[request.reduction](values.reshape(-1, request.outputs))
        return values
    return np.zeros(len(rows[0])) if metric.kind == "whole" else _of_block(metric, rows, targets, spread)


# --- metrics that users add -----------------------------------------------------------------------------------------


def _of_block(metric: Metric, rows: Rows, targets: Any, spread: Rows | None) -> Array:
    """Return the scores of a block of candidates, by a user's function of such."""
    extra: dict[str, Any] = {}
    if "targets" in metric.needs | metric.takes:
        extra["y_true"] = targets
    if "variances" in metric.needs | metric.takes:
        extra["variances"] = None if spread is None else np.stack(spread)
    return _user_scores(metric, metric.definition(np.stack(rows), **extra), len(rows[0]))


def _fill_whole(request: Request, results: list[Array]) -> None:
    """Fill in the scores by users' functions that see all candidates at once."""
    for metric, out in zip(request.metrics, results, strict=True):
        if metric.kind == "whole":
            assert metric.scorer is not None  # checked by the metric
            scorer = metric.scorer("classification" if request.task == "classification" else "regression")
            extra = [request.targets] if "targets" in metric.needs else []
            everything = request.found.whole()
            if request.task == "classification" and below_0(everything):
                everything = without_signs(everything, request.found.tolerance)
            out[:] = _user_scores(metric, metric.definition(scorer, everything, *extra), request.n)


def _user_scores(metric: Metric, values: object, n: int) -> Array:
    """Return what a user's metric gave, as float64 `[n]`.

    Raises:
        PredictionError: if it is anything else.
    """
    try:
        scores = as_vector(values, "what it returned", PredictionError).astype(np.float64)
    except PredictionError as error:
        raise PredictionError(f"metric {metric.name!r} must return numbers, one per candidate: {error}") from error
    if scores.shape != (n,):
        raise PredictionError(f"metric {metric.name!r} must return shape ({n},), not {scores.shape}")
    return scores
