"""Reduce the classes of each candidate of a step to one number: sums and the largest two, FEW at a time.

All read, and some write, beyond the candidates asked for: numbers of up to FEW more, which their callers have room for.
"""

from __future__ import annotations

from typing import Any

from rose.scoring._kernels.compiling import inlined
from rose.scoring._kernels.reductions import largest, largest_twos, totals
from rose.scoring._kernels.simd import (
    FEW,
    LANES,
    first_lanes,
    fused,
    larger,
    load,
    load_few,
    magnitude,
    spread,
    spread_few,
    store,
    where_less,
)


@inlined
def sums_of_few(rows: Any, at: Any, classes: Any) -> Any:
    """Return the sums over the classes of FEW candidates, in an order that depends on the classes' number alone."""
    a, b = _folded(rows, at, classes), _folded(rows, at + classes, classes)
    c, d = _folded(rows, at + 2 * classes, classes), _folded(rows, at + 3 * classes, classes)
    e, f = _folded(rows, at + 4 * classes, classes), _folded(rows, at + 5 * classes, classes)
    g, h = _folded(rows, at + 6 * classes, classes), _folded(rows, at + 7 * classes, classes)
    return totals((a, b, c, d, e, f, g, h))


@inlined
def _folded(rows: Any, at: Any, classes: Any) -> Any:
    """Return a candidate's classes added up in FEW lanes."""
    last = (classes - 1) // FEW * FEW
    lanes = first_lanes(load_few(rows, at + last), classes - last)
    for j in range(at, at + last, FEW):
        lanes = lanes + load_few(rows, j)
    return lanes


@inlined
def scale_sums(rows: Any, m: Any, classes: Any, factor: Any, to: Any, out: Any) -> None:
    """Write factor * the sum over classes into `out` from `to` on; what rounding leaves below 0, and -0.0, is 0."""
    nothing = spread_few(0.0)
    for i in range(0, m, FEW):
        value = sums_of_few(rows, i * classes, classes) * spread_few(factor)
        store(out, to + i, where_less(value, nothing, nothing, value) + nothing)


@inlined
def odd_rows(sums: Any, m: Any, classes: Any, members: Any, tolerance: Any) -> Any:
    """Tell whether any candidate's mean does not sum to 1 (or is no number)."""
    worst = spread_few(0.0)  # compared by their bits, NaN are larger than all numbers
    for i in range(0, m, FEW):
        off = magnitude(sums_of_few(sums, i * classes, classes) - spread_few(members))
        worst = larger(worst, first_lanes(off, m - i))
    return not (largest(worst) <= tolerance * members)


@inlined
def rank_rows(rows: Any, m: Any, classes: Any, members: Any, first: Any, second: Any, low: Any, out: Any) -> None:
    """Write the largest two of each candidate's sums >= 0, divided by the members; of one class, the second is 0.

    Into `out` from `first` + `low` and `second` + `low` on, where `first` or `second` is not negative.
    """
    inverse, minus = spread_few(1.0 / members), spread_few(-members)
    for i in range(0, m, FEW):
        at = i * classes
        a, b = _ranked(rows, at, classes), _ranked(rows, at + classes, classes)
        c, d = _ranked(rows, at + 2 * classes, classes), _ranked(rows, at + 3 * classes, classes)
        e, f = _ranked(rows, at + 4 * classes, classes), _ranked(rows, at + 5 * classes, classes)
        g, h = _ranked(rows, at + 6 * classes, classes), _ranked(rows, at + 7 * classes, classes)
        ones, twos = largest_twos(
            (a[0], b[0], c[0], d[0], e[0], f[0], g[0], h[0]), (a[1], b[1], c[1], d[1], e[1], f[1], g[1], h[1])
        )
        if first >= 0:
            store(out, first + low + i, divided(ones, inverse, minus))
        if second >= 0:
            store(out, second + low + i, divided(twos, inverse, minus))


@inlined
def _ranked(rows: Any, at: Any, classes: Any) -> Any:
    """Return the largest and the second largest of every FEW-th class."""
    last = (classes - 1) // FEW * FEW
    ones, twos = first_lanes(load_few(rows, at + last), classes - last), spread_few(0.0)
    for j in range(at, at + last, FEW):
        lanes = load_few(rows, j)
        losers = where_less(lanes, ones, lanes, ones)
        ones = where_less(lanes, ones, ones, lanes)
        twos = where_less(twos, losers, losers, twos)
    return ones, twos


@inlined
def divided(total: Any, inverse: Any, minus: Any) -> Any:
    """Return total / d by d's reciprocal and -d, with one fused correction (Markstein 1990): exact, no division."""
    guess = total * inverse
    return fused(fused(guess, minus, total), inverse, guess)


@inlined
def divide(total: Any, count: Any, members: Any) -> None:
    """Divide in place: total /= members."""
    inverse, minus = spread(1.0 / members), spread(-members)
    for at in range(0, count, LANES):
        store(total, at, divided(load(total, at), inverse, minus))
