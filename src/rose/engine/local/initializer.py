"""Call what the user gives once in each worker process, before the first function that it runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rose.engine.shipping.serialization import pack_arguments
from rose.errors import ConfigurationError

_called: set[str] = set()  # in a worker: those of the engines that it works for


class InitializerError(Exception):
    """Say that an initializer raised; the original exception is the `__cause__`."""


@dataclass(frozen=True)
class Initializer:
    """Hold a function without arguments; `token` tells engines apart.

    It travels with each task, so that the main module's names are the same for both, and is by name where it has one.
    """

    function: Callable[[], object]
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def before(self, call: Callable[..., Any]) -> Initialized:
        """Return a task's function that has this called first."""
        return Initialized(self, call)


@dataclass(frozen=True)
class Initialized:
    """Call a function after its initializer, like the function itself."""

    initializer: Initializer
    func: Callable[..., Any]

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self.initializer.token not in _called:
            try:
                self.initializer.function()
            except BaseException as error:
                raise InitializerError from error
            _called.add(self.initializer.token)
        return self.func(*args, **kwargs)


def checked_initializer(function: object) -> Initializer | None:
    """Return the given function as an `Initializer`; None if nothing is given.

    Raises:
        ConfigurationError: it is not callable, or does not pickle.
    """
    if function is None:
        return None
    if not callable(function):
        raise ConfigurationError(f"initializer must be a function without arguments, got {function!r}")
    try:
        pack_arguments(function, None, ())
    except Exception as error:
        raise ConfigurationError(f"initializer cannot be sent to workers: {type(error).__name__}: {error}") from error
    return Initializer(function)
