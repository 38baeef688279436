"""Check samples and labels, and bring inputs to unit width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.errors import ConfigurationError

Floats = NDArray[np.float64]


def as_rows(X: Any, name: str = "X") -> Floats:
    """Return samples as `[n, F]` float64, whatever their shape and kind.

    Raises:
        ConfigurationError: if they are no numbers, are NaN or infinite, or there are none.
    """
    try:
        rows = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name} must be numbers, [n, F]: {error}") from None
    if rows.ndim == 0 or len(rows) == 0:
        raise ConfigurationError(f"{name} must be at least one sample, [n, F]; got shape {rows.shape}")
    rows = rows.reshape(len(rows), -1)
    if not np.isfinite(rows).all():
        at = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise ConfigurationError(
            f"{name}[{at}] is NaN or infinite: fill it in, or use an estimator that can do with it"
        )
    return rows


def as_values(y: Any, n: int) -> Floats:
    """Return the labels of a regression as `[n, D]` float64.

    Raises:
        ConfigurationError: if they are no numbers, are NaN or infinite, or not as many as the samples.
    """
    values = as_rows(y, "y")
    if len(values) != n:
        raise ConfigurationError(f"y holds {len(values)} labels for {n} samples")
    return values


def check_members(members: Any, least: int) -> None:
    """Check how many members an ensemble is to have.

    Raises:
        ConfigurationError: if that is no whole number, or less than `least`.
    """
    if isinstance(members, bool) or not isinstance(members, (int, np.integer)) or members < least:
        raise ConfigurationError(f"members={members!r} must be a whole number of {least} or more")


def at_most(most: int, seed: int, rows: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return samples and their labels, of more than `most` so many that are drawn by the seed."""
    if len(rows) <= most:
        return rows, values
    some = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    return rows[some], values[some]


def moments(values: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each column; 0 where all is the same but for rounding."""
    centre, spread = values.mean(axis=0), values.std(axis=0)
    return centre, np.where(spread > 1e-12 * np.abs(centre), spread, 0.0)


@dataclass(frozen=True)
class Box:
    """Bring inputs to where they are about one wide, whatever their units; those that never change stay at 0."""

    centre: Floats
    width: Floats

    @classmethod
    def of(cls, X: Floats) -> Box:
        """Return that of some samples; uniform ones fill [-1/2, 1/2]."""
        centre, spread = moments(X)
        return cls(centre, np.where(spread > 0.0, spread * np.sqrt(12), np.inf))

    def __call__(self, X: Floats) -> Floats:
        """Return `[n, F]` samples as they lie in it."""
        return np.asarray((X - self.centre) / self.width)


def seed_of(random_state: Any) -> int:
    """Return a seed of what scikit-learn takes for one."""
    if random_state is None or isinstance(random_state, (int, np.integer)):
        return 0 if random_state is None else int(random_state)
    return int(random_state.randint(2**31 - 1))
