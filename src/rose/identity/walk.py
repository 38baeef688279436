"""Describe what the encoders of one kind of value each ask of the walk that they are part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol

# Gives the digest of a function or class by what it does; None: it is known by its name.
Functions = Callable[[Any], bytes | None]


class Walk(Protocol):
    """Digest a value: give the digests of its parts, and know where the walk is (see `values.ValueWalk`)."""

    functions: Functions | None

    def digest(self, value: Any) -> bytes:
        """Return the digest of a value at this place."""

    def child(self, value: Any, step: str) -> bytes:
        """Return the digest of a part of the value; `step` is how one gets there, as messages have it."""

    def sequence(self, values: Iterable[Any], tag: str = "sequence") -> bytes:
        """Return the digest of values in their order."""

    def unordered(self, values: Iterable[Any]) -> bytes:
        """Return the digest of values in any order."""

    def mapping(self, pairs: Iterable[tuple[Any, Any]], ordered: bool = False, attributes: bool = False) -> bytes:
        """Return the digest of pairs of a key (of an attribute: its name) and a value."""

    def attributes(self, cls: type, held: Iterable[tuple[str, Any]]) -> bytes:
        """Return the digest of an object that is its class and these attributes."""

    def refuse(self, value: Any, why: str) -> NoReturn:
        """Say that there is no digest of the value at this place.

        Raises:
            NoIdentityError: always.
        """
