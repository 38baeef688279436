"""Stages that keep what they were given, for programs of ROSE's style."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Program = Callable[[Any], Awaitable[Any]]  # of an engine
Play = Callable[[Program], Any]


class Stages:
    """Register stages that keep what they were given in a file, for their processes may be others."""

    def __init__(self, log: Path) -> None:
        self.log = str(log)

    def register(self, learner: Any, *kinds: str, command: bool = False, **results: Any) -> None:
        """Register functions, or (`command`) functions of command lines: they give "KIND-COUNT", or `results[KIND]`."""
        for kind in kinds:
            getattr(learner, f"{kind}_task")(as_executable=command)(stage(self.log, kind, command, results.get(kind)))

    def criterion(self, learner: Any, *values: float, threshold: float = 0.9, command: bool = False) -> None:
        """Register a criterion of model accuracy, which gives these values one after the other."""
        learner.as_stop_criterion("model_accuracy", threshold, as_executable=command)(
            stage(self.log, "criterion", command, lambda count: values[min(count, len(values) - 1)])
        )

    def given(self, kind: str) -> list[Any]:
        """Return `[arguments, named ones]` of each call."""
        return given(self.log, kind)


def given(log: str, kind: str) -> list[Any]:
    """Return the calls of one kind."""
    path = Path(log)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [rest for name, *rest in lines if name == kind]


def note(log: str, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keep a call; what commands printed, without their line ends."""
    with open(log, "a") as file:
        file.write(json.dumps([kind, [a.strip() if isinstance(a, str) else a for a in args], kwargs]) + "\n")


def stage(log: str, kind: str, command: bool, result: Any) -> Callable[..., Any]:
    """Return a task's function."""

    async def task(*args: Any, **kwargs: Any) -> Any:
        count = len(given(log, kind))
        note(log, kind, args, kwargs)
        value = f"{kind}-{count}" if result is None else result(count) if callable(result) else result
        if isinstance(value, Exception):
            raise value
        return f"echo '{value if isinstance(value, str) else json.dumps(value)}'" if command else value

    return task
