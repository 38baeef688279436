"""Compare ways to choose: acquisitions by seeds in one run, paired by seed."""

from rose.comparison._curves import Comparison, Row
from rose.comparison._running import compare

__all__ = ["Comparison", "Row", "compare"]
