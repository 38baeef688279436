"""Check the methods' own options: numbers, of the size that the method says."""

from __future__ import annotations

import math
from numbers import Integral, Real

from rose.errors import ConfigurationError


def positive(name: str, value: object) -> float:
    """Return a finite number above 0, or raise `ConfigurationError` naming the option.

    >>> positive("beta", 2)
    2.0
    """
    number = _number(value)
    if not 0 < number < math.inf:
        raise ConfigurationError(f"{name}={value!r} must be a positive number")
    return number


def at_least(name: str, least: float, value: object) -> float:
    """Return a finite number of `least` or more, or raise `ConfigurationError` naming the option."""
    number = _number(value)
    if not least <= number < math.inf:
        raise ConfigurationError(f"{name}={value!r} must be {least:g} or more")
    return number


def whole(name: str, value: object) -> int:
    """Return 1, 2, 3, ..., or raise `ConfigurationError` naming the option."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name}={value!r} must be 1 or more, a whole number")
    return int(value)


def _number(value: object) -> float:
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
