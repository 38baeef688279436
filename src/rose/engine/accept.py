"""What a user may give as an engine."""

from __future__ import annotations

from rose.engine.protocol import Engine
from rose.errors import ConfigurationError


def as_engine(engine: Engine | int | None = None) -> Engine:
    """The engine that is meant: None is a `LocalEngine()`, a number one with so many workers, an engine itself.

    Raises:
        ConfigurationError: anything else.
    """
    from rose.engine.local import LocalEngine

    if engine is None:
        return LocalEngine()
    if isinstance(engine, int) and not isinstance(engine, bool):
        return LocalEngine(workers=engine)
    if isinstance(engine, type):
        raise ConfigurationError(f"engine: give an instance, {engine.__name__}(), not the class")
    if isinstance(engine, Engine):
        return engine
    raise ConfigurationError(
        f"engine must be None (the embedded engine), a number of workers, or an engine such as LocalEngine or "
        f"ThreadEngine; got {engine!r} ({type(engine).__name__})"
    )
