"""Read programs that are written as YAML, and say of each mistake in them on which line it is."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from rose.errors import ConfigurationError
from rose.paths import expanded

M = TypeVar("M", bound=BaseModel)
Place = tuple[str | int, ...]  # keys and indices, from the top of a file

_MOST_NESTED, _MOST_ENTRIES = 50, 100_000  # of what a file says, references to what it says elsewhere among it


@dataclass(frozen=True)
class Source:
    """Hold what a file says.

    Attributes:
        name: the file's, for messages.
        directory: where it is: relative paths in it begin there.
        data: what it says, as plain Python.
        lines: on which line each key and entry is, by its place.
    """

    name: str
    directory: Path
    data: Any
    lines: Mapping[Place, int] = field(default_factory=dict, repr=False)

    def at(self, place: Place) -> str:
        """Return how messages call a place, with its line: `stop_criterion.metric (line 7)`."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        line = self.lines.get(place)
        return f"{dotted} (line {line})" if line else dotted


class _Loader(yaml.SafeLoader):
    """Load plain values alone: no object tags. `1e-3` is a number, as in YAML 1.2, and `=` the text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+|\d*\.\d+|\d+\.\d*)[eE][-+]?\d+\Z"), list("-+.0123456789")
)
_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(node.value))


def read(path: str | Path) -> Source:
    """Read a YAML file, of which everything must be plain: texts, numbers, dates, lists and mappings.

    Raises:
        OSError: if there is no such file.
        ConfigurationError: if it is no YAML, has a key twice, or is no mapping; the message has the line.
    """
    file = expanded(path, "path")
    name = file.name
    loader = None
    try:
        loader = _Loader(file.read_bytes())
        node = loader.get_single_node()
        lines = dict(itertools.islice(_lines(node, (), name), _MOST_ENTRIES))
        if len(lines) == _MOST_ENTRIES:
            raise ConfigurationError(f"{name} says more than {_MOST_ENTRIES} things; put data into files of their own")
        data = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"{name}{where}: {error.problem or error.context}") from None
    except RecursionError:
        raise ConfigurationError(f"{name} is nested too deeply") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{name} is no YAML file: {error}") from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(data, dict):
        raise ConfigurationError(f"{name} must hold keys and what they mean, such as `learner:`; it holds {data!r:.80}")
    return Source(name, file.absolute().parent, data, lines)


def validated(model: type[M], source: Source) -> M:
    """Return what a file says as a model.

    Raises:
        ConfigurationError: if it says something that cannot be; the message has all mistakes, each with its line.
    """
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        found = dict.fromkeys(text for one in error.errors() for text in _told(one, source))
        raise ConfigurationError(f"{source.name}: " + "; ".join(found)) from None


def mistake(message: str, *at: str | int) -> PydanticCustomError:
    """Return the error of a model's validator; `at` is where below the model the mistake is."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "at": at})


def unknown_keys(hints: Mapping[str, str]) -> PydanticCustomError:
    """Return the error of keys that a model does not have, each with what it may have been meant to be."""
    message = "; ".join(f"{key} is no key; {hint}" for key, hint in hints.items())
    return PydanticCustomError("unknown_keys", "{message}", {"message": message, "hints": dict(hints)})


def _told(error: Any, source: Source) -> Iterator[str]:
    known = set(_keys(source.data))  # what else pydantic puts into a place are the names of types
    place: Place = tuple(part for part in error["loc"] if isinstance(part, int) or part in known)
    context = error.get("ctx") or {}
    if error["type"] == "unknown_keys":
        for key, hint in context["hints"].items():
            yield f"{source.at((*place, key))} is no key; {hint}"
    elif error["type"] == "missing":
        held = source.at(tuple(part for part in error["loc"][:-1] if part in known)) or "it"
        yield f"{held} has no {error['loc'][-1]!r}, which is needed"
    elif error["type"] == "mistake":
        place = (*place, *context["at"])
        yield f"{source.at(place)}: {context['message']}" if place else context["message"]
    else:
        message = error["msg"].removeprefix("Value error, ")
        yield f"{source.at(place) or 'it'}: {message[:1].lower()}{message[1:]}, got {error['input']!r:.80}"


def _keys(value: Any) -> Iterator[str | int]:
    """Give all keys and indices in what a file says."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in entries:
        yield key
        yield from _keys(held)


def _lines(node: Any, place: Place, name: str, holders: tuple[int, ...] = ()) -> Iterator[tuple[Place, int]]:
    """Give the line of each key and entry below a node.

    Raises:
        ConfigurationError: if a key is there twice or is no text, or something holds itself or is nested too deeply.
    """
    if id(node) in holders or len(holders) > _MOST_NESTED:
        raise ConfigurationError(f"{name}, line {node.start_mark.line + 1}: this is nested in itself, or too deeply")
    holders = (*holders, id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            yield (*place, index), entry.start_mark.line + 1
            yield from _lines(entry, (*place, index), name, holders)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigurationError(f"{name}, line {line}: a key must be a name")
        if key.value in seen:
            raise ConfigurationError(f"{name}: {key.value} (line {line}) is there already, on line {seen[key.value]}")
        seen[key.value] = line
        yield (*place, key.value), line
        yield from _lines(value, (*place, key.value), name, holders)
