"""Score predictions that live on an accelerator: statistics are computed there, and only `[N]` numbers come back.

Any array-API library (CuPy, JAX, array_api_strict) and torch; nothing is imported here: the array brings its library.
Arrays in ordinary memory are not this module's business: they are viewed as NumPy arrays without a copy. Sums are in
float64 where the device has it, otherwise in the array's own type.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.arrays import as_array
from rose.errors import PredictionError
from rose.scoring.registry import Array
from rose.scoring.regression import between, quantile_position, quantiles_of

_IN_MEMORY = (1, 3, 13)  # DLPack's numbers for devices whose memory NumPy can read: CPU, CUDA pinned, CUDA managed


def lives_elsewhere(array: object) -> bool:
    """Tell whether this is an array on a device whose memory NumPy cannot read."""
    if isinstance(array, np.ndarray) or not hasattr(array, "__dlpack_device__"):
        return False
    try:
        return int(array.__dlpack_device__()[0]) not in _IN_MEMORY
    except (TypeError, ValueError, RuntimeError, BufferError):  # spread over several devices, or on none
        return False


def together(arrays: list[Any]) -> bool:
    """Tell whether these arrays are of one library, device and dtype, so that they can be stacked there."""
    return len({(type(a), str(a.device), str(a.dtype)) for a in arrays}) == 1


def without_gradients(array: Any) -> Any:
    """Return an array's numbers, of which torch keeps no record."""
    return array.detach() if hasattr(array, "detach") else array


class TorchNamespace:
    """Offer the few functions used here under their array-API names for torch, which has none of its own."""

    def __init__(self, torch: Any) -> None:
        self.float64, self.float32, self.int64 = torch.float64, torch.float32, torch.int64
        for name in ("abs", "isfinite", "isnan", "log", "where", "maximum", "minimum", "zeros_like"):
            setattr(self, name, getattr(torch, name))
        self.sum: Callable[..., Any] = lambda x, axis: torch.sum(x, dim=axis)
        self.max: Callable[..., Any] = lambda x, axis: torch.amax(x, dim=axis)
        self.min: Callable[..., Any] = lambda x, axis: torch.amin(x, dim=axis)
        self.argmax: Callable[..., Any] = lambda x, axis: torch.argmax(x, dim=axis)
        self.sort: Callable[..., Any] = lambda x, axis: torch.sort(x, dim=axis).values
        self.all: Callable[..., Any] = torch.all
        self.stack: Callable[..., Any] = torch.stack
        self.astype: Callable[..., Any] = lambda x, dtype: x.to(dtype)


def namespace(array: Any) -> Any:
    """Return the array's own library, as far as this module needs it.

    Raises:
        PredictionError: if the library is unknown.
    """
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    if type(array).__module__.split(".")[0] == "torch":
        return TorchNamespace(sys.modules["torch"])
    raise PredictionError(f"cannot compute with a {type(array).__name__} on its device: it is no array-API array")


def stacked(rows: list[Any]) -> Any:
    """Stack S arrays `[n, ...]` of one device as `[S, n, ...]` there."""
    xp = namespace(rows[0])
    return xp.stack(rows)


def _to_host(array: Any) -> Array:
    return as_array(array, "scores", PredictionError).astype(np.float64)


def _wide(xp: Any, x: Any) -> Any:
    try:
        return xp.astype(x, xp.float64)
    except (TypeError, RuntimeError, AttributeError):  # a device without float64
        return xp.astype(x, xp.float32)


def class_statistics(
    block: Any, names: frozenset[str], targets: npt.NDArray[np.intp] | None, tolerance: float, rounded: float
) -> tuple[dict[str, Array], bool]:
    """Return the named statistics of `ClassStatistics` for `[S, n, C]`, and whether anything looked wrong.

    Args:
        block: the probabilities.
        names: of the statistics.
        targets: class labels `[n]`.
        tolerance: how far below 0 a probability may be (it counts as 0), and how far its row's sum from 1.
        rounded: how far sums may be from 1 that the rows are to be divided by; 0: they are taken as they are.
    """
    xp = namespace(block)
    members, _, classes = block.shape
    p = _wide(xp, block)
    sums, least = xp.sum(p, axis=-1), xp.min(p, axis=-1)
    wrong = not bool(xp.all((xp.abs(sums - 1.0) <= max(tolerance, rounded)) & (least >= -tolerance)))
    if not bool(xp.all(least >= 0.0)):
        p = xp.where((p < 0.0) & (p >= -tolerance), xp.zeros_like(p), p)
    if rounded:
        p = p / xp.sum(p, axis=-1)[..., None]
    mean = xp.sum(p, axis=0) / members
    found: dict[str, Any] = {}
    if "entropy" in names:
        found["entropy"] = -xp.sum(_xlogx(xp, mean), axis=-1)
    if names & {"expected_entropy", "cross_entropy"}:
        found["expected_entropy"] = -xp.sum(xp.sum(_xlogx(xp, p), axis=0), axis=-1) / members
    if "cross_entropy" in names:
        logs = -xp.sum(xp.where(p > 0.0, _safe_log(xp, p), xp.zeros_like(p) - math.inf), axis=0)
        found["cross_entropy"] = xp.sum(mean * xp.where(mean > 0.0, logs, mean), axis=-1) / members
    if names & {"first", "second"}:
        ranked = xp.sort(mean, axis=-1)
        found["first"] = ranked[:, -1]
        found["second"] = ranked[:, -2] if classes > 1 else 0.0 * ranked[:, -1]
    if "square_norm" in names:
        found["square_norm"] = xp.sum(mean * mean, axis=-1)
    host = {name: _to_host(value) for name, value in found.items()}
    if names & {"mode_votes", "vote_entropy"}:
        host.update(_votes(xp, p, members, classes))
    if "target_probability" in names and targets is not None:
        host["target_probability"] = _to_host(mean)[np.arange(len(targets)), targets]
    for name in ("entropy", "expected_entropy"):
        if name in host:
            host[name] = np.maximum(host[name], 0.0) + 0.0
    return {name: value for name, value in host.items() if name in names}, wrong


def _xlogx(xp: Any, p: Any) -> Any:
    return xp.where(p > 0.0, p * _safe_log(xp, p), xp.zeros_like(p))


def _safe_log(xp: Any, p: Any) -> Any:
    """Return log(p), and 0 where p is 0."""
    return xp.log(xp.where(p > 0.0, p, xp.zeros_like(p) + 1.0))


def _votes(xp: Any, p: Any, members: int, classes: int) -> dict[str, Array]:
    choice = xp.argmax(p, axis=-1)
    mode = entropy = np.zeros(p.shape[1])
    for c in range(classes):
        count = _to_host(xp.sum(xp.astype(choice == c, xp.int64), axis=0))
        share = count / members
        mode = np.maximum(mode, count)
        entropy = entropy - share * np.log(np.where(share > 0.0, share, 1.0))
    return {"mode_votes": mode, "vote_entropy": np.maximum(entropy, 0.0) + 0.0}


def value_statistics(block: Any, names: frozenset[str], level: float) -> tuple[dict[str, Array], bool]:
    """Return the named statistics of `regression.ValueStatistics` for `[S, n]`, and whether anything looked wrong."""
    xp = namespace(block)
    members = block.shape[0]
    x = _wide(xp, block)
    found: dict[str, Any] = {}
    if names & {"mean", "variance"}:
        deviations = x - x[:1, :]
        shift = xp.sum(deviations, axis=0) / members
        found["mean"] = x[0, :] + shift
        rest = deviations - shift
        found["variance"] = xp.sum(rest * rest, axis=0) / members
    quantiles = quantiles_of(level)
    if names & quantiles.keys():
        ordered = xp.sort(x, axis=0)
        for name in names & quantiles.keys():
            below, above, weight = quantile_position(quantiles[name], members)
            found[name] = between(ordered[below, :], ordered[above, :], weight)
    wrong = not bool(xp.all(xp.isfinite(x)))
    return {name: _to_host(value) for name, value in found.items() if name in names}, wrong
