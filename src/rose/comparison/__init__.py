"""Compare ways to choose: acquisitions by seeds in one run, paired by seed."""

from rose.comparison._curves import Comparison
from rose.comparison._running import compare
from rose.watch.facts.paired import Row

__all__ = ["Comparison", "Row", "compare"]
