"""Find by name what programs and installed packages register: the one way to add things.

A package brings a metric, an acquisition, an engine or a tracker by an entry point of the group `rose.metrics`,
`rose.acquisitions`, `rose.engines` or `rose.trackers`. The entry point's name is the thing's; it leads to the thing, or
to the module that registers it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rose.errors import ConfigurationError, PluginError, UnknownNameError, did_you_mean, near_miss

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
F = TypeVar("F")


def spelling(name: object) -> str:
    """Return a name as it is looked up: upper case, hyphens and spaces make no difference.

    >>> spelling("Top-K"), spelling("top k")
    ('top_k', 'top_k')
    """
    return str(name).strip().lower().replace("-", "_").replace(" ", "_")


@dataclass(frozen=True)
class _Entry(Generic[T]):
    thing: T
    aliases: tuple[str, ...]


class Registry(Generic[T]):
    """Hold things of one kind by name and alias: built in, registered by a program, or brought by installed packages.

    What is built in cannot be replaced or removed; what a program registers can be (a notebook's cell runs twice).
    Entry points are looked up once; each is loaded when its name is first asked for, or the list of all is. One that
    cannot be loaded is an error that names its distribution, where it is asked for, and leaves the others as they are.

    Args:
        kind: what a thing is called in messages: "metric".
        group: the entry points' group: "rose.metrics".
        accept: makes a thing of what an entry point of that name leads to; None: it is no such thing.
        unknown: raised for a name that nothing has.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        accept: Callable[[str, Any], T | None],
        unknown: type[UnknownNameError] = UnknownNameError,
    ) -> None:
        self._kind = kind
        self._group = group
        self._accept = accept
        self._unknown = unknown
        self._entries: dict[str, _Entry[T]] = {}
        self._aliases: dict[str, str] = {}
        self._built_in: frozenset[str] = frozenset()
        self._points: dict[str, list[EntryPoint]] | None = None  # of packages; None: not looked up yet
        self._broken: dict[str, PluginError] = {}
        self._loading = False
        self._lock = threading.RLock()  # one thread may register while another looks something up

    def register(self, name: str, make: Callable[[Any], T], aliases: Iterable[str] = ()) -> Callable[[F], F]:
        """Return the decorator that registers what `make` makes of the decorated thing, which stays as it is."""

        def decorate(function: F) -> F:
            self.add(name, make(function), aliases)
            return function

        return decorate

    def add(self, name: str, thing: T, aliases: Iterable[str] = ()) -> T:
        """Register a thing, in place of what a program has registered under that name.

        Raises:
            ConfigurationError: if the name is no text, or it or an alias belongs to another thing or is built in.
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"a {self._kind}'s name must be a non-empty string, not {name!r}")
        if isinstance(aliases, str):
            raise ConfigurationError(f"aliases={aliases!r} of {self._kind} {name!r} must be a tuple of names")
        key, others = spelling(name), tuple(dict.fromkeys(map(spelling, aliases)))
        with self._lock:
            for one in (key, *others):
                owner = self._aliases.get(one, one)
                if owner in self._entries and (owner in self._built_in or owner != key or self._loading):
                    what = f"a built-in {self._kind}" if owner in self._built_in else f"{self._kind} {owner!r}"
                    raise ConfigurationError(f"the name {one!r} belongs to {what}; register yours under another name")
            self._drop(key)
            self._entries[key] = _Entry(thing, others)
            self._aliases.update(dict.fromkeys(others, key))
        return thing

    def seal(self) -> None:
        """Make what is registered so far built in."""
        self._built_in = frozenset(self._entries)

    def remove(self, name: str) -> None:
        """Take a thing off the list; names that nothing has are ignored.

        Raises:
            ConfigurationError: if it is built in.
        """
        with self._lock:
            key = spelling(name)
            if key in self._built_in:
                raise ConfigurationError(f"{name!r} is a built-in {self._kind} and cannot be removed")
            self._drop(key)

    def get(self, name: object) -> T:
        """Return the thing of this name or alias, of an installed package if need be.

        Raises:
            UnknownNameError (the registry's kind of it): for a name that nothing has; the message offers near misses.
            PluginError: if what brings it cannot be loaded, or two packages do.
        """
        with self._lock:
            key = spelling(name) if isinstance(name, str) else ""
            if self._find(key) is None:
                self._load(key)
            if self._find(key) is None and key in self._broken:
                raise self._broken[key]
            if self._find(key) is None:
                self._load_all()  # a module may register more than its entry points name
            found = self._find(key)
            if found is None:
                near = did_you_mean(str(name), sorted({*self._entries, *self._aliases, *self._broken}))
                hint = near or near_miss(str(name), [*self._entries, *self._broken])  # a list needs no aliases
                message = f"no {self._kind} is called {name!r}; {hint}"
                raise self._unknown("; ".join([message, *map(str, self._broken.values())]))
            return found.thing

    def things(self) -> list[T]:
        """Return all of them, in the order of registration; those of packages are loaded."""
        with self._lock:
            self._load_all()
            return [entry.thing for entry in self._entries.values()]

    def names(self) -> tuple[str, ...]:
        """Return their names, sorted; those of packages are loaded."""
        with self._lock:
            self._load_all()
            return tuple(sorted(self._entries))

    def broken(self) -> tuple[PluginError, ...]:
        """Return what is wrong with each entry point that cannot be loaded."""
        with self._lock:
            self._load_all()
            return tuple(self._broken.values())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(spelling(name)) is not None

    def _find(self, key: str) -> _Entry[T] | None:
        return self._entries.get(self._aliases.get(key, key))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        for alias in () if entry is None else entry.aliases:
            self._aliases.pop(alias, None)

    # --- what installed packages bring -------------------------------------------------------------------------------

    def _load_all(self) -> None:
        for key in list(self._found()):
            self._load(key)

    def _found(self) -> dict[str, list[EntryPoint]]:
        """Return the entry points that have not been loaded, by name; one that is installed twice counts once."""
        if self._points is None:
            from importlib.metadata import entry_points  # slow to import, and seldom needed

            self._points = {}
            for point in entry_points(group=self._group):
                same_name = self._points.setdefault(spelling(point.name), [])
                if point.value not in [other.value for other in same_name]:
                    same_name.append(point)
        return self._points

    def _load(self, key: str) -> None:
        points = self._found().pop(key, None)
        if points is None:
            return
        self._loading = True
        try:
            if len(points) > 1:
                raise ConfigurationError(f"so do {' and '.join(sorted(map(_source, points[1:])))}; one must go")
            self._take(key, points[0].load())
        except (Exception, SystemExit) as error:  # a module that is a program says that it is over
            cause = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
            broken = PluginError(f"{self._kind} {key!r} is brought by {_source(points[0])}, but {cause}")
            broken.__cause__ = error
            self._broken[key] = broken
        finally:
            self._loading = False

    def _take(self, key: str, loaded: Any) -> None:
        if key in self and self._aliases.get(key, key) not in self._built_in:
            return  # importing it has registered it, or the program has
        thing = self._accept(key, loaded)
        if thing is None:
            raise ConfigurationError(
                f"that is a {type(loaded).__name__}, and importing it registered no {self._kind} of that name"
            )
        self.add(key, thing, getattr(thing, "aliases", ()))


def _source(point: EntryPoint) -> str:
    where = "an installed package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    return f"{where} ({point.value})"
