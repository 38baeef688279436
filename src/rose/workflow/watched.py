"""A task's function as it is called in its worker: what it prints and reports is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rose.engine.coroutines import finished
from rose.engine.transfer import reduced_quickly
from rose.workflow.prints import keeping_awaited_prints, keeping_prints

if TYPE_CHECKING:
    from rose.workflow.reporting import Observed


class Watched:
    """A function that is called like the one it is made of.

    Attributes:
        func: the task's own function.

    Args:
        observed: whether the result comes with what the task reported, as `Observed`.
        run: the run directory in which what it prints is kept, under the task's `key`; None: it is not kept.
    """

    __slots__ = ("_key", "_observed", "_run", "func")

    def __init__(self, func: Callable[..., Any], observed: bool, run: str | None, key: str) -> None:
        self.func = func
        self._observed = observed
        self._run = run
        self._key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return Watched, (self.func, self._observed, self._run, self._key)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._run is None:
            return self._call(*args, **kwargs)
        with keeping_prints(self._run, self._key):
            return self._call(*args, **kwargs)

    async def awaited(self, /, *args: Any, **kwargs: Any) -> Observed:
        """Call it, an async function, in the event loop that runs; the result is `Observed`."""
        from rose.workflow.reporting import await_observed

        with keeping_awaited_prints(self._run, self._key):
            return await await_observed(self.func, *args, **kwargs)

    def _call(self, /, *args: Any, **kwargs: Any) -> Any:
        if not self._observed:
            return finished(self.func(*args, **kwargs))
        from rose.workflow.reporting import call_observed

        return call_observed(self.func, *args, **kwargs)


reduced_quickly.add(Watched)
