"""Decide when an ensemble learns: after all labels that were asked for, or before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from rose.errors import ConfigurationError, near_miss

Order = Literal["submitted", "arrival"]


@dataclass(frozen=True)
class Gather:
    """Say which labels to wait for.

    Attributes:
        count: how many; None: all that are pending.
        order: the next ones in the order in which they were asked for ("submitted": what is learned from is the same
            on any number of workers), or whichever come first ("arrival": recorded, and so the same when resumed).

    Raises:
        ConfigurationError: if one of them cannot be.
    """

    count: int | None = None
    order: Order = "submitted"

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ConfigurationError(f"count={self.count!r} of what to wait for must be 1 or more, or None for all")
        if self.order not in get_args(Order):
            raise ConfigurationError(f"order={self.order!r}; {near_miss(str(self.order), get_args(Order))}")


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
