"""What people look at. It learns of a run only from the run's events and what the run has recorded."""

from rose.watch.progress import progress

__all__ = ["progress"]
