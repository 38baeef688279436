"""Show people how a run goes, from nothing but its events and what it has recorded."""

from rose.watch.progress import progress

__all__ = ["progress"]
