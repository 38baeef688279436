"""Compiled statistics of stacked predictions; imported only where they are worth loading, for numba takes a second."""
