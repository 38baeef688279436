"""Count members' votes, compiled: which class of a short row is the largest, and who was voted for how often."""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.scoring._kernels.compiling import inlined
from rose.scoring._kernels.reductions import equal, largest, lowest_bit
from rose.scoring._kernels.rows import load_few_from, row_at
from rose.scoring._kernels.simd import FEW, first_lanes, larger, load_few, spread_few


@inlined
def add_votes(addresses: Any, skip: Any, m: Any, classes: Any, like: Any, votes: Any) -> None:
    """Add each member's vote for its largest class of each candidate; the first, if several are. For numbers >= 0."""
    for s in range(addresses.shape[0]):
        row, at = addresses[s] + np.uint64(skip * like.itemsize), 0
        if classes > 2 * FEW:
            for _ in range(m):
                votes[at + _first_largest(row, at, classes, like)] += 1
                at += classes
        elif classes >= FEW:
            rest = classes - FEW
            for _ in range(m):
                a, b = load_few_from(row, at, like), load_few_from(row, at + rest, like)  # they may overlap
                top = spread_few(largest(larger(a, b)))
                votes[at + lowest_bit(equal(a, top) | (equal(b, top) << rest))] += 1
                at += classes
        else:
            _add_few_votes(row_at(addresses, s, skip, m * classes, like), m, classes, votes)


@inlined
def _add_few_votes(row: Any, m: Any, classes: Any, votes: Any) -> None:
    """Add one member's votes among fewer than FEW classes."""
    at = 0
    # For the last candidates, a vector would reach beyond what is surely the row's.
    whole = max(0, (m * classes - FEW) // classes + 1)
    for _ in range(whole):
        lanes = first_lanes(load_few(row, at), classes)
        votes[at + lowest_bit(equal(lanes, spread_few(largest(lanes))))] += 1
        at += classes
    for _ in range(whole, m):
        best = row[at]
        which = at
        for j in range(at + 1, at + classes):
            which = j if row[j] > best else which
            best = row[j] if row[j] > best else best
        votes[which] += 1
        at += classes


@inlined
def _first_largest(row: Any, at: Any, classes: Any, like: Any) -> Any:
    """Return the place of the first largest of more than 2 * FEW classes."""
    last = classes - FEW
    top = larger(load_few_from(row, at, like), load_few_from(row, at + last, like))
    for j in range(FEW, last, FEW):
        top = larger(top, load_few_from(row, at + j, like))
    top = spread_few(largest(top))
    for j in range(0, last, FEW):
        found = equal(load_few_from(row, at + j, like), top)
        if found:
            return j + lowest_bit(found)
    return last + lowest_bit(equal(load_few_from(row, at + last, like), top))


@inlined
def most_votes(votes: Any, m: Any, classes: Any, to: Any, out: Any) -> None:
    """Write how many votes each candidate's most popular class has into `out` from `to` on; read FEW numbers more."""
    last = (classes - 1) // FEW * FEW
    for i in range(m):
        at = i * classes
        top = first_lanes(load_few(votes, at + last), classes - last)
        for j in range(at, at + last, FEW):
            top = larger(top, load_few(votes, j))
        out[to + i] = largest(top)
