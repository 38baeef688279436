"""Compile kernels. Imported only by `compiled.kernels()`: importing numba takes a second.

Each does what a plain NumPy definition beside its caller does; the tests hold one to the other. All release the GIL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from rose.acquisition.problem import Floats, Index

F32 = NDArray[np.float32]
F = TypeVar("F", bound=Callable[..., Any])
# Sums may be reordered (that is what makes them vectors); NaN and infinity keep their meaning.
_REORDER = {"reassoc", "contract", "nsz"}
_STRIP = 256


def _compile(function: F) -> F:
    return cast(F, numba.njit(nogil=True, cache=True, fastmath=_REORDER)(function))


def _fit_log(terms: int) -> NDArray[np.float64]:
    """Fit the coefficients, highest power first, of log(1 + f) / f on [0, 1], at Chebyshev nodes."""
    nodes = 0.5 - 0.5 * np.cos((np.arange(64) + 0.5) * np.pi / 64)
    fit = np.polynomial.Chebyshev.fit(nodes, np.log1p(nodes) / nodes, terms - 1, domain=[0, 1])
    return np.asarray(fit.convert(kind=np.polynomial.Polynomial).coef[::-1], dtype=np.float64)


@_compile
def _squared(x: NDArray[Any], i: int, y: NDArray[Any], j: int) -> float:
    """Return the squared distance of two rows, in their precision: summed in a vector's many lanes, hence stable.

    Written so that LLVM makes vectors of it: an outer loop over blocks of columns is 15 times slower.
    """
    a, b = x[i], y[j]
    total = x.dtype.type(0)
    for d in range(len(a)):
        e = a[d] - b[d]
        total += e * e
    return np.float64(total)


# log(1 + f) / f on [0, 1], to 2e-8. Nine names rather than an array: a loop over coefficients makes no vectors.
_A0, _A1, _A2, _A3, _A4, _A5, _A6, _A7, _A8 = (np.float32(a) for a in _fit_log(9))
_LN2 = np.float32(np.log(2.0))


@_compile
def _mix(q: F32, r: F32, posterior: F32, start: int, width: int, row: F32, other: F32) -> None:
    """Set q[m] = sum_k posterior[k, start + m] row[k], and r[m] likewise for another row.

    Two classes and four members a pass: the sums are bound by what is fetched and stored, which this shares.
    """
    members, end = len(row), start + width
    q[:width] = np.float32(1e-30)  # 0 log 0 = 0
    r[:width] = np.float32(1e-30)
    k = 0
    while k + 4 <= members:
        p0, p1, p2, p3 = row[k], row[k + 1], row[k + 2], row[k + 3]
        s0, s1, s2, s3 = other[k], other[k + 1], other[k + 2], other[k + 3]
        w0, w1 = posterior[k, start:end], posterior[k + 1, start:end]
        w2, w3 = posterior[k + 2, start:end], posterior[k + 3, start:end]
        for m in range(width):
            q[m] += (w0[m] * p0 + w1[m] * p1) + (w2[m] * p2 + w3[m] * p3)
            r[m] += (w0[m] * s0 + w1[m] * s1) + (w2[m] * s2 + w3[m] * s3)
        k += 4
    while k < members:
        p0, s0, w0 = row[k], other[k], posterior[k, start:end]
        for m in range(width):
            q[m] += w0[m] * p0
            r[m] += w0[m] * s0
        k += 1


@_compile
def _sum_entropy(q: F32, mantissa: F32, exponent: F32, mass: F32, width: int) -> np.float32:
    """Return -sum_m mass[m] q[m] log q[m], with the logarithm in float32: q = mantissa * 2**exponent."""
    bits, mantissa_bits = q.view(np.int32), mantissa.view(np.int32)
    for m in range(width):
        exponent[m] = np.float32((bits[m] >> np.int32(23)) - np.int32(127))
        mantissa_bits[m] = (bits[m] & np.int32(0x007FFFFF)) | np.int32(0x3F800000)
    total = np.float32(0.0)
    for m in range(width):
        f = mantissa[m] - np.float32(1.0)
        series = (((_A0 * f + _A1) * f + _A2) * f + _A3) * f + _A4
        series = (((series * f + _A5) * f + _A6) * f + _A7) * f + _A8
        total -= mass[m] * q[m] * (exponent[m] * _LN2 + f * series)
    return total


@_compile
def conditional_entropies(rows: F32, posterior: F32, mass: F32, low: int, high: int, out: Floats) -> None:
    """Write the mean over M outcomes of the entropy (nats) of one more label: see `joint.conditional_entropies`.

    `rows [n, C, K]`, `posterior [K, M]`, `mass [M]`; writes `out[low:high]`. Works on strips of outcomes that stay in
    the first cache; 16 digits of a logarithm would be wasted on sampled outcomes, so 7 are computed.
    """
    outcomes, classes = posterior.shape[1], rows.shape[1]
    q, r = np.empty(_STRIP, np.float32), np.empty(_STRIP, np.float32)
    mantissa, exponent = np.empty(_STRIP, np.float32), np.empty(_STRIP, np.float32)
    for n in range(low, high):
        total = 0.0
        for start in range(0, outcomes, _STRIP):
            width = min(_STRIP, outcomes - start)
            for c in range(0, classes, 2):
                other = min(c + 1, classes - 1)  # of an odd number, the last is paired with itself and counted once
                _mix(q, r, posterior, start, width, rows[n, c], rows[n, other])
                weights = mass[start : start + width]
                total += float(_sum_entropy(q, mantissa, exponent, weights, width))
                if other > c:
                    total += float(_sum_entropy(r, mantissa, exponent, weights, width))
        out[n] = total


@_compile
def farthest(
    points: NDArray[Any], candidates: Index, places: Index, centres: NDArray[Any], count: int, nearest: Floats,
    seen: NDArray[np.int32],
) -> int:  # fmt: skip
    """Return the position of the candidate farthest from its nearest centre; of equals, the lowest place.

    `nearest[p]` is the squared distance to the nearest of the first `seen[p]` centres: an upper bound, which more
    centres can only lower. A candidate whose bound is below the best so far needs no distances at all, so that
    of `len(candidates) * count` distances only some per cent are ever computed. A taken candidate has `nearest` -1.
    """
    best = 0.0
    at = -1
    turn = len(candidates)
    for p in range(len(candidates)):
        bound = nearest[p]
        if bound < best:
            continue
        c = seen[p]
        while c < count and (bound > best or (bound == best and places[p] < turn)):
            stop = min(c + 4, count)  # fetching the row costs more than a few distances: look at some at a time
            for other in range(c, stop):
                bound = min(bound, _squared(points, candidates[p], centres, other))
            c = stop
        nearest[p] = bound
        seen[p] = c
        if bound > best or (bound == best and places[p] < turn):
            best = bound
            at = p
            turn = places[p]
    return at


@_compile
def join_clusters(
    points: NDArray[Any], candidates: Index, places: Index, low: int, high: int, centres: NDArray[Any], first: int,
    count: int, nearest: Floats, owner: NDArray[np.int32], sizes: Floats, radius: Floats, rim: Index,
) -> None:  # fmt: skip
    """Offer centres `first..count` to candidates `low..high`, then measure the clusters over that block.

    Writes `sizes[c]` (sum of squared distances), `radius[c]` (the largest; -1 without members) and `rim[c]` (where;
    of equals, the lowest place). A taken candidate has `nearest` -1 and belongs to none.
    """
    sizes[:] = 0.0
    radius[:] = -1.0
    for p in range(low, high):
        bound = nearest[p]
        if bound < 0.0:
            continue
        for c in range(first, count):
            distance = _squared(points, candidates[p], centres, c)
            if distance < bound:
                bound = distance
                owner[p] = c
        nearest[p] = bound
        cluster = owner[p]
        sizes[cluster] += bound
        if bound > radius[cluster] or (bound == radius[cluster] and places[p] < places[rim[cluster]]):
            radius[cluster] = bound
            rim[cluster] = p
