"""What people look at. It learns of a run only from the run's events."""

from rose.watch.progress import progress

__all__ = ["progress"]
