"""Run tests over an engine: what the parts of its contract share."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rose.engine import Command, Engine, Resources, Task, TaskKey

Failure = TypeVar("Failure", bound=BaseException)
LIMIT = 50.0  # seconds that a test may take before it counts as hanging


class EngineTests:
    """Group tests of an engine. A subclass gives `make_engine`; see `rose.testing`."""

    def make_engine(self, workers: int) -> Engine | Awaitable[Engine]:
        """Make a new engine with so many cpus, not yet used.

        Called outside an event loop; an `async def` goes on in one.
        """
        raise NotImplementedError

    def make_gpu_engine(self, workers: int, gpus: int) -> Engine | Awaitable[Engine]:
        """Make one with so many gpus, too (they need not exist), for engines that say they assign them."""
        raise NotImplementedError(f"{type(self).__name__} assigns gpus, so it must give make_gpu_engine")

    def drive(
        self, body: Callable[[Engine], Awaitable[None]], workers: int = 2, needs: str = "", gpus: int = 0
    ) -> None:
        """Run a test's body with an engine, which is closed at the end; skip it if the engine cannot do it."""
        made = self.make_engine(workers)

        async def main() -> None:
            engine = await in_the_end(made)
            try:
                if gpus and engine.capabilities.assigns_gpus:
                    await engine.close()
                    engine = await in_the_end(self.make_gpu_engine(workers, gpus))
                if needs and not getattr(engine.capabilities, needs):
                    pytest.skip(f"capability {needs!r} declared absent")
                async with asyncio.timeout(LIMIT):
                    await body(engine)
            finally:
                await engine.close()

        asyncio.run(main())


def with_engine(
    workers: int = 2, needs: str = "", gpus: int = 0
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make a test of an async method that takes an engine with so many cpus and gpus, and fixtures.

    It is skipped where the engine declares that it has not the capability `needs`.
    """

    def test_of(body: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(body)
        def test(self: EngineTests, **fixtures: Any) -> None:
            self.drive(lambda engine: body(self, engine, **fixtures), workers, needs, gpus)

        signature = inspect.signature(body)
        others = [one for name, one in signature.parameters.items() if name != "engine"]
        test.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]  # what pytest gives it
        return test

    return test_of


def task(
    call: Callable[..., Any] | Command,
    *args: Any,
    name: str = "stage",
    workflow: str = "workflow",
    resources: Resources | None = None,
    timeout: float | None = None,
    **kwargs: Any,
) -> Task:
    """Return a task with a key made of `workflow` and `name`."""
    return Task(TaskKey(workflow, 0, name), call, args, kwargs, resources or Resources(), timeout)


async def fails(running: Awaitable[Any], error: type[Failure], match: str | None = None) -> Failure:
    """Return the error of this kind, and with this in its text, that something must end with."""
    with pytest.raises(error, match=match) as caught:
        await running
    return caught.value


async def in_the_end(made: Engine | Awaitable[Engine]) -> Engine:
    """Return the engine that was made, at once or later."""
    return await made if isinstance(made, Awaitable) else made


async def begun(file: Path) -> None:
    """Wait until a task has written its first sign."""
    while not size(file):  # noqa: ASYNC110 (another process writes it: there is nothing to await)
        await asyncio.sleep(0.01)


async def is_cancelled(running: asyncio.Future[Any]) -> bool:
    """Cancel a future, wait for its end, and return whether it was cancelled."""
    running.cancel()
    await asyncio.wait([running])
    return running.cancelled()


async def assert_still(file: Path) -> None:
    """Check that nobody writes to the file any more."""
    await asyncio.sleep(0.2)  # what left its group is killed in the next moment
    before = size(file)
    await asyncio.sleep(0.3)
    assert size(file) == before, "the work goes on"


def size(file: Path) -> int:
    """Return the size of a file in bytes; 0 if there is none."""
    return file.stat().st_size if file.exists() else 0


def most_at_once(folder: Path, cpus_of: Mapping[str, int]) -> int:
    """Return the most cpus that were occupied at any time."""
    changes = []
    for name, cpus in cpus_of.items():
        began, ended = (folder / name).read_text().split()
        changes += [(float(began), cpus), (float(ended), -cpus)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most
