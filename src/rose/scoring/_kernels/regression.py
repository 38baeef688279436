"""Compute statistics of `[S, n]` values, compiled: one read, in runs that stay in a core's nearest caches.

Held to `regression.ValueStatistics`, the definition, by the tests. An interval's ends lie between order statistics near
either end of each column, so only the few smallest and largest are kept while rows stream by: exact, without a sort.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.scoring._kernels.classes import divided
from rose.scoring._kernels.compiling import fill, inlined, kernel
from rose.scoring._kernels.reductions import any_nan
from rose.scoring._kernels.rows import address_of, copy_edge, distance_ahead, fetch, load_from, row_at, until_a_line
from rose.scoring._kernels.simd import LANES, fused, spread, store, where_less, widen

BEYOND = LANES  # numbers after the n of a moment that may be written
LEVELS = 4  # order statistics per group, and members taken at a time
_RUN = 1 << 19  # bytes of all members' values that are handled at a time: they stay in the L2 cache for a second pass
_TILE = 512  # candidates whose levels stay in the L1 cache; a constant, so that the compiler sees they do not overlap


@kernel
def summarise(
    addresses: Any, start: Any, n: Any, like: Any, moments: Any, groups: Any, places: Any, picked: Any
) -> Any:  # fmt: skip
    """Write means, variances and order statistics of candidates; return whether any value was NaN or infinite.

    Means go into the first half of `moments`, variances into the second, if it has any (room for n + BEYOND each); into
    `picked` [k, n] the k order statistics at `places`, counted from 0 for the smallest or from -1 for the largest, and
    within `groups` of LEVELS from either end.
    """
    members = addresses.shape[0]
    run = max(1, _RUN // (members * like.itemsize * LANES)) * LANES
    ahead = distance_ahead(members, like)
    edge = np.zeros((members, LANES), dtype=like.dtype)
    edges = np.empty_like(addresses)
    for s in range(members):
        edges[s] = address_of(edge[s])
    low_levels = np.empty((groups, LEVELS * _TILE), dtype=like.dtype)
    high_levels = np.empty((groups, LEVELS * _TILE), dtype=like.dtype)
    both = np.empty(2 * LEVELS * _TILE, dtype=like.dtype)
    four = np.empty(LEVELS * _TILE, dtype=like.dtype)
    carried = np.empty(LEVELS * _TILE, dtype=like.dtype)
    padding = np.empty(_TILE, dtype=like.dtype)
    wrong = False
    low = 0
    count = until_a_line(addresses[0], start, 1, like.itemsize)
    while low < n:
        count = min(count if count > 0 else run, n - low)
        skip = start + low
        whole = count - count % LANES
        if whole < count:
            copy_edge(addresses, skip + whole, count - whole, like, edge)
        if len(moments):
            wrong |= take_moments(addresses, edges, skip, whole, count, start + n, ahead, like, low, moments)
        else:
            wrong |= not_finite(addresses, edges, skip, whole, count, start + n, ahead, like)
        for tile in range(low, low + count if groups else low, _TILE):
            m = min(_TILE, low + count - tile)
            if groups == 1:
                keep_four(addresses, start + tile, m, like, padding, both)
                for k in range(len(places)):
                    at = places[k] if places[k] >= 0 else LEVELS - 1 - places[k]
                    unpack(both, at, places[k], tile, m, picked[k])
            else:
                keep_more(addresses, start + tile, m, like, four, carried, padding, low_levels, high_levels)
                for k in range(len(places)):
                    at = places[k] if places[k] >= 0 else -1 - places[k]
                    levels = low_levels if places[k] >= 0 else high_levels
                    unpack(levels[at // LEVELS], at % LEVELS, places[k], tile, m, picked[k])
        low += count
        count = run
    return wrong


@kernel
def take_moments(
    addresses: Any, edges: Any, skip: Any, whole: Any, count: Any, end: Any, ahead: Any, like: Any, low: Any,
    moments: Any,
) -> Any:  # fmt: skip
    """Write mean and population variance of `count` candidates; return whether any is not finite."""
    poison = spread(0.0)
    for to in range(0, whole, LANES):
        at = skip + to
        then = at + ahead if at + ahead < end else at
        poison = add_deviations(addresses, at, then, like, poison, low + to, moments)
    if whole < count:
        poison = add_deviations(edges, 0, 0, like, poison, low + whole, moments)
    return any_nan(poison)


@inlined
def add_deviations(addresses: Any, at: Any, then: Any, like: Any, poison: Any, to: Any, moments: Any) -> Any:
    """Write LANES means and variances, from sums of (x_s - x_0) and its square; return NaN if one is not finite.

    Shifted by the first member, one pass loses at most a factor S of the precision, whatever the values' size, because
    the first member's own squared deviation is at most S variances.
    """
    members = addresses.shape[0]
    first = widen(load_from(addresses[0], at, like))
    fetch(addresses[0], then, like)
    summed, squares = spread(0.0), spread(0.0)
    for s in range(1, members):
        fetch(addresses[s], then, like)
        deviation = widen(load_from(addresses[s], at, like)) - first
        summed = summed + deviation
        squares = fused(deviation, deviation, squares)
    inverse, minus = spread(1.0 / members), spread(-np.float64(members))
    shift = divided(summed, inverse, minus)
    average = first + shift
    dispersion = (squares - summed * shift) * inverse
    dispersion = where_less(dispersion, spread(0.0), spread(0.0), dispersion)
    store(moments, to, average)
    store(moments, len(moments) // 2 + to, dispersion)
    return poison + (average - average) + (dispersion - dispersion)


@kernel
def not_finite(
    addresses: Any, edges: Any, skip: Any, whole: Any, count: Any, end: Any, ahead: Any, like: Any
) -> Any:  # fmt: skip
    """Tell whether any value is NaN or infinite (this pass also brings the run into the cache)."""
    poison = spread(like.dtype.type(0.0))
    for at in range(skip, skip + whole, LANES):
        then = at + ahead if at + ahead < end else at
        for s in range(addresses.shape[0]):
            fetch(addresses[s], then, like)
            x = load_from(addresses[s], at, like)
            poison = poison + (x - x)  # 0 for what is finite
    if whole < count:
        for s in range(addresses.shape[0]):
            x = load_from(edges[s], 0, like)
            poison = poison + (x - x)
    return any_nan(poison)


@kernel
def unpack(levels: Any, level: Any, place: Any, low: Any, count: Any, out: Any) -> None:
    """Copy one level into its row of the result, as float64; those from the upper end are negated."""
    sign = 1.0 if place >= 0 else -1.0
    for j in range(count):
        out[low + j] = sign * np.float64(levels[level * _TILE + j])


@kernel
def keep_four(addresses: Any, skip: Any, count: Any, like: Any, padding: Any, both: Any) -> None:
    """Write the four smallest values of each column in ascending order, then the four negated largest, into `both`."""
    members = addresses.shape[0]
    fill(both, len(both), np.inf)
    whole = members - members % 4
    for s in range(0, whole, 4):
        a = row_at(addresses, s, skip, count, like)
        b = row_at(addresses, s + 1, skip, count, like)
        c = row_at(addresses, s + 2, skip, count, like)
        d = row_at(addresses, s + 3, skip, count, like)
        take_four(a, b, c, d, count, both)
    for s in range(whole, members):
        take_one(row_at(addresses, s, skip, count, like), count, both)


@kernel
def take_four(a: Any, b: Any, c: Any, d: Any, count: Any, both: Any) -> None:
    """Sort four members' values and merge them into either end, all in registers."""
    for j in range(count):
        p, q, r, s = a[j], b[j], c[j], d[j]
        p, q = (p if p < q else q), (q if p < q else p)
        r, s = (r if r < s else s), (s if r < s else r)
        p, r = (p if p < r else r), (r if p < r else p)
        q, s = (q if q < s else s), (s if q < s else q)
        q, r = (q if q < r else r), (r if q < r else q)
        # One ascending four against the other reversed: the smaller of each pair are the four smallest, and bitonic.
        t, u, v, w = both[j], both[_TILE + j], both[2 * _TILE + j], both[3 * _TILE + j]
        t, u, v, w = (s if s < t else t), (r if r < u else u), (q if q < v else v), (p if p < w else w)
        t, v = (t if t < v else v), (v if t < v else t)
        u, w = (u if u < w else w), (w if u < w else u)
        both[j] = t if t < u else u
        both[_TILE + j] = u if t < u else t
        both[2 * _TILE + j] = v if v < w else w
        both[3 * _TILE + j] = w if v < w else v
        p, q, r, s = -p, -q, -r, -s  # now descending
        t, u, v, w = both[4 * _TILE + j], both[5 * _TILE + j], both[6 * _TILE + j], both[7 * _TILE + j]
        t, u, v, w = (p if p < t else t), (q if q < u else u), (r if r < v else v), (s if s < w else w)
        t, v = (t if t < v else v), (v if t < v else t)
        u, w = (u if u < w else w), (w if u < w else u)
        both[4 * _TILE + j] = t if t < u else u
        both[5 * _TILE + j] = u if t < u else t
        both[6 * _TILE + j] = v if v < w else w
        both[7 * _TILE + j] = w if v < w else v


@kernel
def take_one(row: Any, count: Any, both: Any) -> None:
    """Insert one member's values into either end."""
    for j in range(count):
        for end in range(2):
            x = -row[j] if end else row[j]
            for k in range(LEVELS * end, LEVELS * end + LEVELS):
                level = both[k * _TILE + j]
                both[k * _TILE + j] = x if x < level else level
                x = level if x < level else x


@kernel
def keep_more(
    addresses: Any, skip: Any, count: Any, like: Any, four: Any, carried: Any, padding: Any, lows: Any, highs: Any
) -> None:  # fmt: skip
    """Do as `keep_four` for any number of groups: what one group drops, the next receives."""
    members = addresses.shape[0]
    for g in range(lows.shape[0]):
        fill(lows[g], lows.shape[1], np.inf)
        fill(highs[g], highs.shape[1], np.inf)
    for s in range(0, members, 4):
        for flip in range(2):
            fill(padding, count, -np.inf if flip else np.inf)
            a = row_at(addresses, s, skip, count, like)
            b = row_at(addresses, s + 1, skip, count, like) if s + 1 < members else padding
            c = row_at(addresses, s + 2, skip, count, like) if s + 2 < members else padding
            d = row_at(addresses, s + 3, skip, count, like) if s + 3 < members else padding
            sort_four(a, b, c, d, count, four)
            if flip:
                for j in range(count):
                    carried[j] = -four[3 * _TILE + j]
                    carried[_TILE + j] = -four[2 * _TILE + j]
                    carried[2 * _TILE + j] = -four[_TILE + j]
                    carried[3 * _TILE + j] = -four[j]
                for g in range(highs.shape[0]):
                    merge(carried, highs[g], count)
            else:
                for g in range(lows.shape[0]):
                    merge(four, lows[g], count)


@kernel
def sort_four(a: Any, b: Any, c: Any, d: Any, count: Any, four: Any) -> None:
    """Sort each column of four rows in ascending order into `four`."""
    for j in range(count):
        p, q, r, s = a[j], b[j], c[j], d[j]
        p, q = (p if p < q else q), (q if p < q else p)
        r, s = (r if r < s else s), (s if r < s else r)
        p, r = (p if p < r else r), (r if p < r else p)
        q, s = (q if q < s else s), (s if q < s else q)
        four[j] = p
        four[_TILE + j] = q if q < r else r
        four[2 * _TILE + j] = r if q < r else q
        four[3 * _TILE + j] = s


@kernel
def merge(four: Any, levels: Any, count: Any) -> None:
    """Merge two ascending fours: the smaller half goes to `levels`, the larger half to `four`, both ascending."""
    for j in range(count):
        p, q, r, s = four[j], four[_TILE + j], four[2 * _TILE + j], four[3 * _TILE + j]
        t, u, v, w = levels[j], levels[_TILE + j], levels[2 * _TILE + j], levels[3 * _TILE + j]
        # One against the other reversed splits them into halves that are bitonic; two more steps put each in order.
        s, t = (t if s < t else s), (s if s < t else t)
        r, u = (u if r < u else r), (r if r < u else u)
        q, v = (v if q < v else q), (q if q < v else v)
        p, w = (w if p < w else p), (p if p < w else w)
        t, v = (t if t < v else v), (v if t < v else t)
        u, w = (u if u < w else w), (w if u < w else u)
        s, q = (s if s < q else q), (q if s < q else s)
        r, p = (r if r < p else p), (p if r < p else r)
        levels[j] = t if t < u else u
        levels[_TILE + j] = u if t < u else t
        levels[2 * _TILE + j] = v if v < w else w
        levels[3 * _TILE + j] = w if v < w else v
        four[j] = s if s < r else r
        four[_TILE + j] = r if s < r else s
        four[2 * _TILE + j] = q if q < p else p
        four[3 * _TILE + j] = p if q < p else q
