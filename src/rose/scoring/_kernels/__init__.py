"""Compute statistics of stacked predictions, compiled; imported only where it pays, for numba takes a second."""
