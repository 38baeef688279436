"""Compute statistics of `[S, n, C]` probabilities, compiled, in one read.

Held to `classification.ClassStatistics`, the definition, by the tests. As long as members are summed, the classes of
all candidates of a step are one flat row of numbers, whatever C is: LANES of them are taken through all members before
the next. Steps are short: while the last one's sums, still at hand, become scores, memory already brings later ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.scoring._kernels.classes import divide, odd_rows, rank_rows, scale_sums
from rose.scoring._kernels.compiling import inlined, kernel
from rose.scoring._kernels.logarithm import log
from rose.scoring._kernels.reductions import any_sign
from rose.scoring._kernels.rows import address_of, copy_edge, distance_ahead, fetch, load_from, row_at, until_a_line
from rose.scoring._kernels.simd import FEW, LANES, either, fused, load, spread, store, where_less, widen
from rose.scoring._kernels.votes import add_votes, most_votes

# Where in the output a statistic begins is told by `where`, in this order; -1: not wanted.
STATISTICS = (
    "entropy", "expected_entropy", "first", "second", "mode_votes", "vote_entropy", "cross_entropy",
    "target_probability", "square_norm",
)  # fmt: skip
_ENTROPY, _EXPECTED, _FIRST, _SECOND, _MODE, _VOTES, _CROSS, _TARGET, _SQUARE = range(len(STATISTICS))
BEYOND = FEW  # numbers after a statistic's n that may be written

# Elements of one member: a step has at least so many, more where functions are called that have to start up, and no
# more than that for the sake of whole vectors.
_STEP, _LARGE_STEP, _LONGEST_STEP = 128, 1024, 4096
_SAMPLED = 16384  # elements of one member from one `odd_sums` to the next


@kernel
def classify(
    addresses: Any, start: Any, n: Any, classes: Any, like: Any, targets: Any, vote_terms: Any, tolerance: Any,
    where: Any, out: Any,
) -> Any:  # fmt: skip
    """Write statistics of candidates `start` to `start + n - 1` into `out`; return whether anything looked wrong.

    Looked at: the sign of every probability, the sum of every candidate's mean (NaN and inf show there), and now and
    then the sums of all members' rows for one candidate.
    """
    want_logs = where[_CROSS] >= 0
    want_entropies = where[_EXPECTED] >= 0 or want_logs
    want_ranks = where[_FIRST] >= 0 or where[_SECOND] >= 0
    want_votes = where[_MODE] >= 0 or where[_VOTES] >= 0
    want_means = where[_ENTROPY] >= 0 or want_logs or where[_SQUARE] >= 0 or where[_TARGET] >= 0
    step = candidates_of_a_step(classes, _LARGE_STEP if want_votes or want_entropies else _STEP)
    size = (step + FEW) * classes + LANES
    sums, terms, entropies, logs = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    votes = np.zeros(size, dtype=np.int32)
    edge = np.zeros((addresses.shape[0], LANES), dtype=like.dtype)
    edges = np.empty_like(addresses)
    for s in range(addresses.shape[0]):
        edges[s] = address_of(edge[s])
    ahead, end = distance_ahead(addresses.shape[0], like), (start + n) * classes
    members = np.float64(addresses.shape[0])
    signs = spread(like.dtype.type(0.0))
    wrong = False
    sampled = low = 0
    m = until_a_line(addresses[0], start, classes, like.itemsize) % step
    while low < n:
        m = min(m if m > 0 else step, n - low)
        count = m * classes
        skip = (start + low) * classes
        whole = count - count % LANES
        if want_logs:
            signs = add_logs(addresses, skip, whole, ahead, end, like, signs, sums, entropies, logs)
        elif want_entropies:
            signs = add_entropies(addresses, skip, whole, ahead, end, like, signs, sums, entropies)
        else:
            for to in range(0, whole, LANES):
                signs = add_rows(addresses, skip + to, ahead, end, like, signs, to, sums)
        if whole < count:
            copy_edge(addresses, skip + whole, count - whole, like, edge)
            edge_sums, edge_entropies, edge_logs = sums[whole:], entropies[whole:], logs[whole:]
            signs = add_logs(edges, 0, LANES, 0, 0, like, signs, edge_sums, edge_entropies, edge_logs)
        wrong |= odd_rows(sums, m, classes, members, tolerance)
        if low >= sampled:
            wrong |= odd_sums(addresses, skip, classes, like, tolerance * members)
            sampled = low + _SAMPLED // classes
        if want_ranks:
            rank_rows(sums, m, classes, members, where[_FIRST], where[_SECOND], low, out)
        if want_means:
            divide(sums, count, members)
        of_means(sums, entropies, logs, terms, m, classes, members, targets, where, low, out)
        if want_votes:
            of_votes(addresses, skip, m, classes, like, votes, vote_terms, terms, where, low, out)
        low += m
        m = step
    return wrong or any_sign(signs)


@inlined
def of_means(
    sums: Any, entropies: Any, logs: Any, terms: Any, m: Any, classes: Any, members: Any, targets: Any, where: Any,
    low: Any, out: Any,
) -> None:  # fmt: skip
    """Make scores of `m` candidates' means, and of what was summed beside them."""
    count = m * classes
    if where[_ENTROPY] >= 0:
        for to in range(0, count, LANES):
            mean = load(sums, to)
            store(terms, to, mean * log(mean))
        scale_sums(terms, m, classes, -1.0, where[_ENTROPY] + low, out)
    if where[_EXPECTED] >= 0:
        scale_sums(entropies, m, classes, -1.0 / members, where[_EXPECTED] + low, out)
    if where[_CROSS] >= 0:
        for to in range(0, count, LANES):
            mean, nothing = load(sums, to), spread(0.0)
            store(terms, to, mean * where_less(nothing, mean, load(logs, to), nothing))
        scale_sums(terms, m, classes, -1.0 / members, where[_CROSS] + low, out)
    if where[_SQUARE] >= 0:
        for to in range(0, count, LANES):
            mean = load(sums, to)
            store(terms, to, mean * mean)
        scale_sums(terms, m, classes, 1.0, where[_SQUARE] + low, out)
    if where[_TARGET] >= 0:
        for i in range(m):
            out[where[_TARGET] + low + i] = sums[i * classes + targets[low + i]]


@inlined
def of_votes(
    addresses: Any, skip: Any, m: Any, classes: Any, like: Any, votes: Any, vote_terms: Any, terms: Any, where: Any,
    low: Any, out: Any,
) -> None:  # fmt: skip
    """Count the members' votes for `m` candidates, and make scores of them."""
    count = m * classes
    for j in range(count):
        votes[j] = 0
    add_votes(addresses, skip, m, classes, like, votes)
    if where[_MODE] >= 0:
        most_votes(votes, m, classes, where[_MODE] + low, out)
    if where[_VOTES] >= 0:
        for j in range(count):
            terms[j] = vote_terms[votes[j]]
        scale_sums(terms, m, classes, 1.0, where[_VOTES] + low, out)


@inlined
def candidates_of_a_step(classes: Any, least: Any) -> Any:
    """Return FEW times a power of 2: enough numbers and, if that takes not too many, whole vectors."""
    step = FEW
    while step * classes < least or (step * classes % LANES and step * classes < _LONGEST_STEP):
        step *= 2
    return step


@inlined
def add_rows(addresses: Any, at: Any, ahead: Any, end: Any, like: Any, signs: Any, to: Any, sums: Any) -> Any:
    """Store the sums of LANES probabilities over members."""
    then = at + ahead if at + ahead < end else at
    summed = spread(0.0)
    for s in range(addresses.shape[0]):
        fetch(addresses[s], then, like)
        p = load_from(addresses[s], at, like)
        signs = either(signs, p)
        summed = summed + widen(p)
    store(sums, to, summed)
    return signs


# The next two are functions of their own: what they hold in registers leaves no room for anything else.


@kernel
def add_entropies(
    addresses: Any, skip: Any, count: Any, ahead: Any, end: Any, like: Any, signs: Any, sums: Any, entropies: Any
) -> Any:  # fmt: skip
    """Do as `add_rows`, and sum p log p: of four members each in the input's precision, for more lanes."""
    members = addresses.shape[0]
    for to in range(0, count, LANES):
        at = skip + to
        then = at + ahead if at + ahead < end else at
        summed, entropy = spread(0.0), spread(0.0)
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
    addresses: Any, skip: Any, count: Any, ahead: Any, end: Any, like: Any, signs: Any, sums: Any, entropies: Any,
    logs: Any,
) -> Any:  # fmt: skip
    """Do as `add_entropies`, and sum log p, where log 0 = -inf."""
    members = addresses.shape[0]
    nothing, lowest = spread(like.dtype.type(0.0)), spread(like.dtype.type(-np.inf))
    for to in range(0, count, LANES):
        at = skip + to
        then = at + ahead if at + ahead < end else at
        summed, entropy, logarithm = spread(0.0), spread(0.0), spread(0.0)
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


@inlined
def odd_sums(addresses: Any, skip: Any, classes: Any, like: Any, tolerance: Any) -> Any:
    """Tell whether any member's probabilities for the one candidate at `skip` do not sum to 1."""
    odd = False
    for s in range(addresses.shape[0]):
        row = row_at(addresses, s, skip, classes, like)
        total = 0.0
        for c in range(classes):
            total += np.float64(row[c])
        odd |= not (abs(total - 1.0) <= tolerance)
    return odd
