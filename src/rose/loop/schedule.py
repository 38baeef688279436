"""Decide when an ensemble learns: after all labels that were asked for, or before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Order = Literal["submitted", "arrival"]


@dataclass(frozen=True)
class Gather:
    """Say which labels to wait for.

    Attributes:
        count: how many; None: all that are pending.
        order: the next ones in the order in which they were asked for ("submitted": what is learned from is the same
            on any number of workers), or whichever come first ("arrival": recorded, and so the same when resumed).
    """

    count: int | None = None
    order: Order = "submitted"


class Schedule(Protocol):
    """Decide, at the beginning of each iteration, which labels it waits for."""

    def gathers(self, labels: int, pending: int) -> Gather:
        """Return what to wait for, told how many labels there are and how many more have been asked for."""
        ...


@dataclass(frozen=True)
class Rounds:
    """Learn when all labels that were asked for are there: nothing is pending when an ensemble chooses.

    >>> Rounds().gathers(labels=20, pending=10)
    Gather(count=None, order='submitted')
    """

    def gathers(self, labels: int, pending: int) -> Gather:
        """Return that all are waited for."""
        return Gather()
