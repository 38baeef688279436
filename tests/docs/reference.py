"""Write docs/reference/, of docstrings and of the commands' help: `python -m tests.docs.reference`."""

from __future__ import annotations

import argparse
import inspect
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from rose.cli import make_parser
from tests.docs.pages import ROOT

MODULES = {
    "rose": "Learners, pools, configurations, results",
    "rose.al": "Active learning without uncertainty",
    "rose.rl": "Reinforcement learning",
    "rose.engine": "Engines: where tasks run",
    "rose.scoring": "Uncertainty metrics, on plain arrays",
    "rose.acquisition": "Choosing a batch, from plain arrays",
    "rose.store": "Reading a run, and telling it what to do",
    "rose.watch": "Looking at a run",
    "rose.tracking": "Trackers",
    "rose.spec": "Programs that are YAML files",
    "rose.testing": "Contracts",
    "rose.errors": "Errors",
}
FIRST = ("ParallelUQLearner", "SeqUQLearner", "Pool", "UQLearnerConfig", "TaskConfig", "Results", "WorkflowResult")


def names_of(module: Any) -> list[str]:
    """The public names of a module: those that it lists, else those that it defines."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        listed = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    found = [name for name in listed if not name.startswith("_") and callable(getattr(module, name))]
    return sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def entries(module: Any) -> Iterator[str]:
    """A module's names, each with its signature and docstring; of a class also its methods."""
    seen: dict[Any, str] = {}  # methods, and the class that they were described of
    for name in names_of(module):
        thing = getattr(module, name)
        yield f"## {name}"
        yield described(name, thing)
        if inspect.isclass(thing) and not issubclass(thing, BaseException):
            inherited = []
            for method, value in sorted(methods_of(thing), key=lambda found: found[0]):
                if value in seen:
                    inherited.append(f"`{seen[value]}.{method}`")
                else:
                    seen[value] = name
                    yield f"### {method}"
                    yield described(method, value)
            if inherited:
                yield f"And, as they are there: {', '.join(inherited)}."


def methods_of(thing: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class that are ROSE's and say what they do."""
    for base in thing.__mro__:
        if base.__module__.startswith("rose"):
            for name, value in vars(base).items():
                function = getattr(value, "fget", None) or getattr(value, "__func__", value)
                shown = getattr(thing, name) is getattr(base, name)  # not overridden
                if shown and not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
                    yield name, value


def described(name: str, thing: Any) -> str:
    """The signature and the docstring, as they are written: in fixed width."""
    function = getattr(thing, "__func__", thing)
    try:
        found = None if isinstance(thing, property) else inspect.signature(function)
        signature = "" if found is None else f"{name}{found}"
        if found is not None and len(signature) > 100:
            parameters = list(map(str, found.parameters.values()))
            named = [n for n, one in enumerate(found.parameters.values()) if one.kind is one.KEYWORD_ONLY]
            if named and not any(one.startswith("*") for one in parameters[: named[0]]):
                parameters.insert(named[0], "*")
            lines = "".join(f"    {one},\n" for one in parameters)
            signature = f"{name}(\n{lines})" + str(found).rpartition(")")[2]
    except (TypeError, ValueError):
        signature = name
    signature = re.sub(r" at 0x[0-9a-f]+|'", "", signature)
    own = inspect.getdoc(getattr(thing, "fget", None) or function) or ""
    first, _, rest = own.partition("\n")
    return "\n\n".join(filter(None, (fenced(signature), escaped(first), fenced(rest.strip("\n")))))


def fenced(text: str) -> str:
    """Text as it is; none if there is none."""
    return f"````text\n{text}\n````" if text.strip() else ""


def escaped(text: str) -> str:
    """A sentence, of which nothing is markup but what stands between backticks."""
    parts = text.split("`")
    return "`".join(re.sub(r"([\[\]<>*_|])", r"\\\1", part) if n % 2 == 0 else part for n, part in enumerate(parts))


def commands() -> Iterator[str]:
    """The help of `rose`, and of each of its commands."""
    parser = make_parser()
    (subparsers,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    yield fenced(parser.format_help())
    for name, one in subparsers.choices.items():
        yield f"## rose {name}"
        yield fenced(one.format_help())


def write(folder: Path) -> None:
    """Write a page for each module, one for the commands, and one that lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for name, title in MODULES.items():
        module = import_module(name)
        page = [f"# {name}", f"{title}. {escaped((module.__doc__ or '').partition(chr(10))[0])}", *entries(module)]
        (folder / f"{name}.md").write_text("\n\n".join(page) + "\n")
        listed.append(f"- [`{name}`]({name}.md): {title.lower()}")
    (folder / "commands.md").write_text("\n\n".join(["# The rose command", *commands()]) + "\n")
    listed.append("- [`rose ...`](commands.md): the commands")
    first = "# Reference\n\nMade of docstrings, by `make site`.\n\n"
    (folder / "index.md").write_text(first + "\n".join(listed) + "\n")


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"  # of the commands' help
    write(ROOT / "docs" / "reference")
