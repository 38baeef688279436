"""Compiled statistics of `[S, n, C]` probabilities: one read, in runs that stay in a core's nearest cache.

Held to `classification.ClassStatistics`, the definition, by the tests. As long as members are summed, the classes of
all candidates of a run are one flat row of numbers: that vectorises for every C.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.scoring.kernels_common import LANES, bits, fill, kernel, largest_of_lanes, log, narrow, row_at

# Which row of the output holds a statistic is told by `where`, in this order; -1: not wanted.
STATISTICS = (
    "entropy", "expected_entropy", "first", "second", "mode_votes", "vote_entropy", "cross_entropy",
    "target_probability", "square_norm",
)  # fmt: skip
_ENTROPY, _EXPECTED, _FIRST, _SECOND, _MODE, _VOTES, _CROSS, _TARGET, _SQUARE = range(len(STATISTICS))

_RUN = 16384  # elements of one member handled at a time: long enough for memory to stream


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
    size = run * classes
    want_logs = where[_CROSS] >= 0
    want_entropies = where[_EXPECTED] >= 0 or want_logs
    want_votes = where[_MODE] >= 0 or where[_VOTES] >= 0
    total = np.empty(size)
    terms = np.empty(size)
    entropies = np.empty(size if want_entropies else 0)
    logs = np.empty(size if want_logs else 0)
    some = np.zeros(size, dtype=like.dtype)
    some_logs = np.empty(size if want_logs else 0, dtype=like.dtype)
    zeros = np.zeros(size, dtype=like.dtype)
    votes = np.empty(size if want_votes else 0, dtype=np.int32)
    members = np.float64(addresses.shape[0])
    wrong = False
    for low in range(0, n, run):
        m = min(run, n - low)
        count = m * classes
        skip = (start + low) * classes
        fill(total, count, 0.0)
        if want_entropies:
            fill(entropies, count, 0.0)
        if want_logs:
            fill(logs, count, 0.0)
        if want_votes:
            fill(votes, count, 0)
        for s in range(0, addresses.shape[0], 4):  # four members' rows at a time, for all that is wanted of them
            here = min(4, addresses.shape[0] - s)
            a = row_at(addresses, s, skip, count, like)
            b = row_at(addresses, s + 1, skip, count, like) if here > 1 else zeros
            c = row_at(addresses, s + 2, skip, count, like) if here > 2 else zeros
            d = row_at(addresses, s + 3, skip, count, like) if here > 3 else zeros
            wrong |= add_rows(a, b, c, d, count, total)
            if want_logs:
                add_logs(a, b, c, d, count, here, some, some_logs, entropies, logs)
            elif want_entropies:
                add_entropies(a, b, c, d, count, some, entropies)
            if want_votes:
                for t in range(s, s + here):
                    add_votes(row_at(addresses, t, skip, count, like), m, classes, votes)
        wrong |= odd_sums(addresses, skip, classes, like, tolerance * members)
        if where[_FIRST] >= 0 or where[_SECOND] >= 0:
            wrong |= rank_sums(total, members, low, m, classes, tolerance, where, out)
        else:
            wrong |= check_sums(total, members, m, classes, tolerance)
        if where[_ENTROPY] >= 0 or where[_CROSS] >= 0 or where[_SQUARE] >= 0 or where[_TARGET] >= 0:
            divide(total, count, members)
        if where[_ENTROPY] >= 0:
            for j in range(count):
                terms[j] = total[j] * log(total[j])
            sum_classes(terms, low, m, classes, -1.0, out[where[_ENTROPY]])
        if where[_EXPECTED] >= 0:
            sum_classes(entropies, low, m, classes, 1.0 / members, out[where[_EXPECTED]])
        if where[_CROSS] >= 0:
            for j in range(count):
                terms[j] = total[j] * (logs[j] if total[j] > 0.0 else 0.0)
            sum_classes(terms, low, m, classes, 1.0 / members, out[where[_CROSS]])
        if where[_SQUARE] >= 0:
            for j in range(count):
                terms[j] = total[j] * total[j]
            sum_classes(terms, low, m, classes, 1.0, out[where[_SQUARE]])
        if where[_TARGET] >= 0:
            for i in range(m):
                out[where[_TARGET], low + i] = total[i * classes + targets[low + i]]
        if want_votes:
            count_votes(votes, low, m, classes, vote_terms, where, out)
    return wrong


@kernel
def add_rows(a: Any, b: Any, c: Any, d: Any, count: Any, total: Any) -> Any:
    """total += four members' rows, in order; whether any number was negative."""
    signs = narrow(0, a[0])
    for j in range(count):
        signs = narrow(signs | bits(a[j]) | bits(b[j]) | bits(c[j]) | bits(d[j]), a[j])
        t = total[j] + np.float64(a[j])
        t += np.float64(b[j])
        t += np.float64(c[j])
        total[j] = t + np.float64(d[j])
    return signs < 0


@kernel
def add_entropies(a: Any, b: Any, c: Any, d: Any, count: Any, some: Any, entropies: Any) -> None:
    """entropies -= p log p for four members; loops over logarithms stay in the input's precision, for more lanes."""
    nothing = a.dtype.type(0.0)  # every product is added to something: there is then one way only to fuse them
    for j in range(count):
        first = nothing + a[j] * log(a[j])
        some[j] = first + b[j] * log(b[j])
    for j in range(count):
        three = some[j] + c[j] * log(c[j])
        some[j] = three + d[j] * log(d[j])
    for j in range(count):
        entropies[j] -= np.float64(some[j])


@kernel
def add_logs(
    a: Any, b: Any, c: Any, d: Any, count: Any, members: Any, some: Any, some_logs: Any, entropies: Any, logs: Any
) -> None:  # fmt: skip
    """entropies -= p log p and logs -= log p, where log 0 = -inf, for the first `members` of four."""
    nothing = a.dtype.type(0.0)
    lowest = a.dtype.type(-np.inf)
    fill(some, count, nothing)
    fill(some_logs, count, nothing)
    for s in range(members):
        row = a if s == 0 else (b if s == 1 else (c if s == 2 else d))
        for j in range(count):
            p = row[j]
            value = log(p)
            some[j] += p * value
            some_logs[j] += value if p > nothing else lowest
    for j in range(count):
        entropies[j] -= np.float64(some[j])
    for j in range(count):
        logs[j] -= np.float64(some_logs[j])


@kernel
def add_votes(row: Any, m: Any, classes: Any, votes: Any) -> None:
    """One vote per candidate for the member's largest class; the first, if several are."""
    at = 0
    vectors = 0  # how many candidates can be read as whole vectors without leaving the row
    if 4 < classes <= LANES and m * classes >= LANES:
        vectors = (m * classes - LANES) // classes + 1
    for _ in range(vectors):
        votes[at + largest_of_lanes(row, at, classes)] += 1
        at += classes
    for _ in range(vectors, m):
        best = row[at]
        which = at
        for j in range(at + 1, at + classes):
            which = j if row[j] > best else which
            best = row[j] if row[j] > best else best
        votes[which] += 1
        at += classes


@kernel
def odd_sums(addresses: Any, skip: Any, classes: Any, like: Any, tolerance: Any) -> Any:
    """Whether any member's probabilities for the one candidate at `skip` do not sum to 1."""
    odd = False
    for s in range(addresses.shape[0]):
        row = row_at(addresses, s, skip, classes, like)
        total = 0.0
        for c in range(classes):
            total += np.float64(row[c])
        odd |= not (abs(total - 1.0) <= tolerance)
    return odd


@kernel
def divide(total: Any, count: Any, members: Any) -> None:
    """total /= members, by its reciprocal and one fused correction (Markstein 1990): exact, and no division each."""
    inverse = 1.0 / members
    for j in range(count):
        guess = total[j] * inverse
        total[j] = guess + (total[j] - guess * members) * inverse


@kernel
def check_sums(total: Any, members: Any, m: Any, classes: Any, tolerance: Any) -> Any:
    """Whether any candidate's mean does not sum to 1 (or is no number)."""
    odd = False
    at = 0
    for _ in range(m):
        summed = 0.0
        for j in range(at, at + classes):
            summed += total[j]
        at += classes
        odd |= not (abs(summed - members) <= tolerance * members)
    return odd


@kernel
def rank_sums(total: Any, members: Any, low: Any, m: Any, classes: Any, tolerance: Any, where: Any, out: Any) -> Any:
    """The largest two of each candidate's mean; and `check_sums`."""
    odd = False
    at = 0
    for i in range(m):
        first = total[at]
        second = 0.0
        summed = total[at]
        for j in range(at + 1, at + classes):
            value = total[j]
            summed += value
            loser = first if first < value else value
            second = loser if loser > second else second
            first = value if value > first else first
        at += classes
        odd |= not (abs(summed - members) <= tolerance * members)
        if where[_FIRST] >= 0:
            out[where[_FIRST], low + i] = first / members
        if where[_SECOND] >= 0:
            out[where[_SECOND], low + i] = second / members
    return odd


@kernel
def sum_classes(terms: Any, low: Any, m: Any, classes: Any, factor: Any, out: Any) -> None:
    """out = factor * the sum over classes, with what rounding leaves below zero (and -0.0) made 0."""
    at = 0
    for i in range(m):
        total = 0.0
        for j in range(at, at + classes):
            total += terms[j]
        at += classes
        total *= factor
        out[low + i] = (0.0 if total < 0.0 else total) + 0.0


@kernel
def count_votes(votes: Any, low: Any, m: Any, classes: Any, vote_terms: Any, where: Any, out: Any) -> None:
    """The most popular class' votes, and the votes' entropy by a table of -(v/S) log(v/S)."""
    at = 0
    for i in range(m):
        most = votes[at]
        entropy = 0.0
        for j in range(at, at + classes):
            most = votes[j] if votes[j] > most else most
            entropy += vote_terms[votes[j]]
        at += classes
        if where[_MODE] >= 0:
            out[where[_MODE], low + i] = most
        if where[_VOTES] >= 0:
            out[where[_VOTES], low + i] = entropy
