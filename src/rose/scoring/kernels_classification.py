"""Compiled statistics of `[S, n, C]` probabilities: one read, in runs that stay in a core's nearest caches.

Held to `classification.ClassStatistics`, the definition, by the tests. As long as members are summed, the classes of
all candidates of a run are one flat row of numbers, whatever C is: LANES of them are taken through all members before
the next, while the memory of later ones is being fetched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.scoring.kernels_common import kernel
from rose.scoring.kernels_lanes import (
    FEW,
    LANES,
    either,
    first_lanes,
    fused,
    load,
    load_few,
    spread,
    spread_few,
    store,
    where_less,
    widen,
)
from rose.scoring.kernels_logarithm import log
from rose.scoring.kernels_reductions import any_sign, largest_two, total
from rose.scoring.kernels_rows import address_of, copy_edge, distance_ahead, fetch, load_from, row_at, until_a_line
from rose.scoring.kernels_votes import add_votes, most_votes

# Which row of the output holds a statistic is told by `where`, in this order; -1: not wanted.
STATISTICS = (
    "entropy", "expected_entropy", "first", "second", "mode_votes", "vote_entropy", "cross_entropy",
    "target_probability", "square_norm",
)  # fmt: skip
_ENTROPY, _EXPECTED, _FIRST, _SECOND, _MODE, _VOTES, _CROSS, _TARGET, _SQUARE = range(len(STATISTICS))

_RUN = 2048  # elements of one member handled at a time: their sums stay in the L1 cache


@kernel
def classify(
    addresses: Any, start: Any, n: Any, classes: Any, like: Any, targets: Any, vote_terms: Any, tolerance: Any,
    where: Any, out: Any,
) -> Any:  # fmt: skip
    """Statistics of candidates `start` to `start + n - 1` into `out` [wanted, n]; whether anything looked wrong.

    Looked at: the sign of every probability, the sum of every candidate's mean (NaN and inf show there), and the sum
    of every member's row for the first candidate of each run.
    """
    run = max(1, _RUN // classes)
    run = run - run % LANES if run > LANES else run
    size = run * classes + LANES
    want_votes = where[_MODE] >= 0 or where[_VOTES] >= 0
    sums = np.empty(size)
    terms = np.empty(size)
    entropies = np.empty(size)
    logs = np.empty(size)
    first, second = np.empty(run), np.empty(run)
    votes = np.empty(size, dtype=np.int32)
    edge = np.zeros((addresses.shape[0], LANES), dtype=like.dtype)
    edges = np.empty_like(addresses)
    for s in range(addresses.shape[0]):
        edges[s] = address_of(edge[s])
    members = np.float64(addresses.shape[0])
    wrong = False
    low = 0
    m = until_a_line(addresses[0], start, classes, like.itemsize)
    while low < n:
        m = min(m if m > 0 else run, n - low)
        count = m * classes
        skip = (start + low) * classes
        end = (start + n) * classes
        wrong |= add_members(addresses, skip, count, end, like, edge, edges, where, sums, entropies, logs)
        if want_votes:
            for j in range(count):
                votes[j] = 0
            for s in range(addresses.shape[0]):
                add_votes(row_at(addresses, s, skip, count, like), m, classes, votes)
        wrong |= odd_sums(addresses, skip, classes, like, tolerance * members)
        wrong |= check_sums(sums, m, classes, members, tolerance)
        if where[_FIRST] >= 0 or where[_SECOND] >= 0:
            rank_sums(sums, m, classes, first, second)
        if where[_FIRST] >= 0:
            for i in range(m):
                out[where[_FIRST], low + i] = first[i] / members
        if where[_SECOND] >= 0:
            for i in range(m):
                out[where[_SECOND], low + i] = second[i] / members
        if where[_ENTROPY] >= 0 or where[_CROSS] >= 0 or where[_SQUARE] >= 0 or where[_TARGET] >= 0:
            divide(sums, count, members)
        if where[_ENTROPY] >= 0:
            for at in range(0, count, LANES):
                mean = load(sums, at)
                store(terms, at, mean * log(mean))
            sum_classes(terms, low, m, classes, -1.0, out[where[_ENTROPY]])
        if where[_EXPECTED] >= 0:
            sum_classes(entropies, low, m, classes, -1.0 / members, out[where[_EXPECTED]])
        if where[_CROSS] >= 0:
            for j in range(count):
                terms[j] = sums[j] * (logs[j] if sums[j] > 0.0 else 0.0)
            sum_classes(terms, low, m, classes, -1.0 / members, out[where[_CROSS]])
        if where[_SQUARE] >= 0:
            for j in range(count):
                terms[j] = sums[j] * sums[j]
            sum_classes(terms, low, m, classes, 1.0, out[where[_SQUARE]])
        if where[_TARGET] >= 0:
            for i in range(m):
                out[where[_TARGET], low + i] = sums[i * classes + targets[low + i]]
        if where[_MODE] >= 0:
            most_votes(votes, low, m, classes, out[where[_MODE]])
        if where[_VOTES] >= 0:
            for j in range(count):
                terms[j] = vote_terms[votes[j]]
            sum_classes(terms, low, m, classes, 1.0, out[where[_VOTES]])
        low += m
        m = run
    return wrong


@kernel
def add_members(
    addresses: Any, skip: Any, count: Any, end: Any, like: Any, edge: Any, edges: Any, where: Any, sums: Any,
    entropies: Any, logs: Any,
) -> Any:  # fmt: skip
    """Sums over members of p into `sums`, and of what is wanted of p log p and log p; whether any p was negative."""
    want_logs = where[_CROSS] >= 0
    want_entropies = where[_EXPECTED] >= 0 or want_logs
    whole = count - count % LANES
    ahead = distance_ahead(addresses.shape[0], like)
    signs = spread(like.dtype.type(0.0))
    for to in range(0, whole, LANES):
        at = skip + to
        then = at + ahead if at + ahead < end else at
        if want_logs:
            signs = add_logs(addresses, at, then, like, signs, to, sums, entropies, logs)
        elif want_entropies:
            signs = add_entropies(addresses, at, then, like, signs, to, sums, entropies)
        else:
            signs = add_rows(addresses, at, then, like, signs, to, sums)
    if whole < count:
        copy_edge(addresses, skip + whole, count - whole, like, edge)
        if want_logs:
            signs = add_logs(edges, 0, 0, like, signs, whole, sums, entropies, logs)
        elif want_entropies:
            signs = add_entropies(edges, 0, 0, like, signs, whole, sums, entropies)
        else:
            signs = add_rows(edges, 0, 0, like, signs, whole, sums)
    return any_sign(signs)


@kernel
def add_rows(addresses: Any, at: Any, then: Any, like: Any, signs: Any, to: Any, sums: Any) -> Any:
    """The sum of LANES probabilities over members."""
    summed = spread(0.0)
    for s in range(addresses.shape[0]):
        fetch(addresses[s], then, like)
        p = load_from(addresses[s], at, like)
        signs = either(signs, p)
        summed = summed + widen(p)
    store(sums, to, summed)
    return signs


@kernel
def add_entropies(
    addresses: Any, at: Any, then: Any, like: Any, signs: Any, to: Any, sums: Any, entropies: Any
) -> Any:  # fmt: skip
    """`add_rows`, and the sum of p log p: of four members each in the input's precision, for more lanes."""
    summed, entropy = spread(0.0), spread(0.0)
    members = addresses.shape[0]
    for s in range(0, members, 4):
        four = spread(like.dtype.type(0.0))
        for t in range(s, min(s + 4, members)):
            fetch(addresses[t], then, like)
            p = load_from(addresses[t], at, like)
            signs = either(signs, p)
            summed = summed + widen(p)
            four = fused(p, log(p), four)
        entropy = entropy + widen(four)
    store(sums, to, summed)
    store(entropies, to, entropy)
    return signs


@kernel
def add_logs(
    addresses: Any, at: Any, then: Any, like: Any, signs: Any, to: Any, sums: Any, entropies: Any, logs: Any
) -> Any:  # fmt: skip
    """`add_entropies`, and the sum of log p, where log 0 = -inf."""
    summed, entropy, logarithm = spread(0.0), spread(0.0), spread(0.0)
    members = addresses.shape[0]
    nothing, lowest = spread(like.dtype.type(0.0)), spread(like.dtype.type(-np.inf))
    for s in range(0, members, 4):
        four, four_logs = nothing, nothing
        for t in range(s, min(s + 4, members)):
            fetch(addresses[t], then, like)
            p = load_from(addresses[t], at, like)
            signs = either(signs, p)
            summed = summed + widen(p)
            value = log(p)
            four = fused(p, value, four)
            four_logs = four_logs + where_less(nothing, p, value, lowest)
        entropy = entropy + widen(four)
        logarithm = logarithm + widen(four_logs)
    store(sums, to, summed)
    store(entropies, to, entropy)
    store(logs, to, logarithm)
    return signs


@kernel
def odd_sums(addresses: Any, skip: Any, classes: Any, like: Any, tolerance: Any) -> Any:
    """Whether any member's probabilities for the one candidate at `skip` do not sum to 1."""
    odd = False
    for s in range(addresses.shape[0]):
        row = row_at(addresses, s, skip, classes, like)
        sums = 0.0
        for c in range(classes):
            sums += np.float64(row[c])
        odd |= not (abs(sums - 1.0) <= tolerance)
    return odd


@kernel
def divide(sums: Any, count: Any, members: Any) -> None:
    """sums /= members, by its reciprocal and one fused correction (Markstein 1990): exact, and no division each."""
    inverse, minus = spread(1.0 / members), spread(-members)
    for at in range(0, count, LANES):
        summed = load(sums, at)
        guess = summed * inverse
        store(sums, at, fused(fused(guess, minus, summed), inverse, guess))


@kernel
def sum_row(row: Any, at: Any, classes: Any) -> Any:
    """The sum over a candidate's classes, in an order that depends on their number alone. Reads FEW numbers more."""
    last = (classes - 1) // FEW * FEW
    lanes = first_lanes(load_few(row, at + last), classes - last)
    for j in range(at, at + last, FEW):
        lanes = lanes + load_few(row, j)
    return total(lanes)


@kernel
def sum_classes(terms: Any, low: Any, m: Any, classes: Any, factor: Any, out: Any) -> None:
    """out = factor * the sum over classes, with what rounding leaves below zero (and -0.0) made 0."""
    for i in range(m):
        value = factor * sum_row(terms, i * classes, classes)
        out[low + i] = (0.0 if value < 0.0 else value) + 0.0


@kernel
def check_sums(sums: Any, m: Any, classes: Any, members: Any, tolerance: Any) -> Any:
    """Whether any candidate's mean does not sum to 1 (or is no number)."""
    odd = False
    for i in range(m):
        odd |= not (abs(sum_row(sums, i * classes, classes) - members) <= tolerance * members)
    return odd


@kernel
def rank_sums(sums: Any, m: Any, classes: Any, first: Any, second: Any) -> None:
    """The largest two of each candidate's sums; with one class, the second is 0. Reads FEW numbers more."""
    last = (classes - 1) // FEW * FEW
    for i in range(m):
        at = i * classes
        ones = first_lanes(load_few(sums, at + last), classes - last)
        twos = spread_few(0.0)
        for j in range(at, at + last, FEW):
            lanes = load_few(sums, j)
            losers = where_less(lanes, ones, lanes, ones)
            ones = where_less(lanes, ones, ones, lanes)
            twos = where_less(twos, losers, losers, twos)
        first[i], second[i] = largest_two(ones, twos)
