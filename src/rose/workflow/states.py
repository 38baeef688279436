"""What `start` gives: the states of a run as they come, or, awaited, what it comes to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from typing import Any, Generic, TypeVar

from rose.workflow.state import IterationState

R = TypeVar("R")


class States(AsyncIterator[IterationState], Generic[R]):
    """An iterator over the states of a run that may also be awaited, as ROSE's documentation does.

    Nothing runs before the first state is asked for, or it is awaited: then it runs to its end, and the result is what
    `teach` gives.

    Args:
        states: gives each state as it comes.
        result: gives what was learned when they have ended.
    """

    def __init__(self, states: AsyncGenerator[IterationState, None], result: Callable[[], R]) -> None:
        self._states = states
        self._result = result

    async def __anext__(self) -> IterationState:
        return await anext(self._states)

    def __await__(self) -> Generator[Any, None, R]:
        return self._rest().__await__()

    async def aclose(self) -> None:
        """End the run, as leaving the iteration does."""
        await self._states.aclose()

    async def _rest(self) -> R:
        async for _ in self._states:
            pass
        return self._result()
