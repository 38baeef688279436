"""Compiled counting of members' votes: which class of a short row is the largest, and who was voted for how often."""

from __future__ import annotations

from typing import Any

from rose.scoring.kernels_common import kernel
from rose.scoring.kernels_lanes import FEW, first_lanes, larger, load_few, spread_few
from rose.scoring.kernels_reductions import equal, largest, lowest_bit


@kernel
def add_votes(row: Any, m: Any, classes: Any, votes: Any) -> None:
    """One vote per candidate for the member's largest class; the first, if several are. For numbers >= 0."""
    at = 0
    if classes > 2 * FEW:
        for _ in range(m):
            votes[at + _first_largest(row, at, classes)] += 1
            at += classes
    elif classes >= FEW:
        rest = classes - FEW
        for _ in range(m):
            a, b = load_few(row, at), load_few(row, at + rest)  # they may overlap
            top = spread_few(largest(larger(a, b)))
            votes[at + lowest_bit(equal(a, top) | (equal(b, top) << rest))] += 1
            at += classes
    else:
        _add_few_votes(row, m, classes, votes)


@kernel
def _add_few_votes(row: Any, m: Any, classes: Any, votes: Any) -> None:
    at = 0
    whole = max(0, (m * classes - FEW) // classes + 1)  # candidates that can be read as vectors without leaving the row
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


@kernel
def _first_largest(row: Any, at: Any, classes: Any) -> Any:
    """The place of the first largest of more than 2 * FEW classes."""
    last = classes - FEW
    top = spread_few(_largest(row, at, classes))
    for j in range(0, last, FEW):
        found = equal(load_few(row, at + j), top)
        if found:
            return j + lowest_bit(found)
    return last + lowest_bit(equal(load_few(row, at + last), top))


@kernel
def _largest(row: Any, at: Any, classes: Any) -> Any:
    """The largest of at least FEW classes."""
    last = classes - FEW
    top = larger(load_few(row, at), load_few(row, at + last))
    for j in range(FEW, last, FEW):
        top = larger(top, load_few(row, at + j))
    return largest(top)


@kernel
def most_votes(votes: Any, low: Any, m: Any, classes: Any, out: Any) -> None:
    """How many votes each candidate's most popular class has. Reads FEW numbers beyond the candidates'."""
    at = 0
    for i in range(m):
        if classes < FEW:
            out[low + i] = largest(first_lanes(load_few(votes, at), classes))
        else:
            out[low + i] = _largest(votes, at, classes)
        at += classes
