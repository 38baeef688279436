"""Run `rose engines`: list where tasks can run, and try out whether they do."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, chdir
from typing import Any

from rose.engine import Engine, as_engine
from rose.engine.registry import ENGINES, MEANINGS, capability_names, get_kind
from rose.engine.selfcheck import Finding, check
from rose.errors import RoseError

WIDTH = 12
REMARKS = """\
Commands are stopped with all that they started, and timed out, on every engine. asyncflow and executor are as threads
where the pool is one of threads; in a pool with an initializer, or of MPI, functions run in the workers themselves, and
nothing can stop them. `rose engines --check NAME` tries an engine out."""


def list_engines() -> None:
    """Print the engines, what is installed of them, and what they can do."""
    kinds = ENGINES.things()
    for kind in kinds:
        state = f"not installed: {kind.install}"
        if kind.is_installed:
            state = f"installed, {kind.needs} {kind.installed_version}" if kind.needs else "always there"
        print(f"{kind.name:{WIDTH}}{kind.summary}  ({state})")
        print(f"{'':{WIDTH}}{kind.given}")
    width = max(map(len, MEANINGS.values())) + 2
    print(f"\n{'of functions:':{width}}{''.join(f'{kind.name:{WIDTH}}' for kind in kinds)}".rstrip())
    for name in capability_names():
        marks = ["yes" if getattr(kind.capabilities, name) else "no" for kind in kinds]
        print(f"{MEANINGS[name]:{width}}{''.join(f'{mark:{WIDTH}}' for mark in marks)}".rstrip())
    print(f"\n{REMARKS}")
    for error in ENGINES.broken():
        print(f"\nnot listed: {error}")


def engine_rows() -> list[dict[str, Any]]:
    """Return the engines in plain JSON."""
    return [
        {
            "name": kind.name,
            "aliases": list(kind.aliases),
            "summary": kind.summary,
            "given": kind.given,
            "installed": kind.is_installed,
            "needs": kind.needs,
            "version": kind.installed_version or None,
            "capabilities": {name: getattr(kind.capabilities, name) for name in capability_names()},
        }
        for kind in ENGINES.things()
    ]


def check_engine(name: str, as_json: bool = False) -> int:
    """Try an engine out, by its name or a Dask scheduler's address; the exit code: 1 if it does not do what it says."""
    try:
        return asyncio.run(_check(name, as_json))
    except RoseError as error:
        print(f"rose engines: {error}", file=sys.stderr if as_json else sys.stdout)
        return 1


async def _check(name: str, as_json: bool) -> int:
    found = []
    async with _opened(name) as engine:
        if not as_json:
            print(engine)
        async for finding in check(engine):
            found.append(finding)
            if not as_json:
                print(_line(finding))
    failed = sum(bool(finding.error) for finding in found)
    if as_json:
        print(json.dumps({"engine": name, "findings": [vars(finding) for finding in found]}, indent=1, default=str))
    else:
        print(f"{failed} of its parts FAILED" if failed else "it does what it declares")
    return int(bool(failed))


@asynccontextmanager
async def _opened(name: str) -> AsyncIterator[Engine]:
    if "://" in name:
        engine = as_engine(name)
        try:
            yield engine
        finally:
            await engine.close()
        return
    kind = get_kind(name)
    with tempfile.TemporaryDirectory(prefix="rose-check-") as folder, chdir(folder):  # back ends leave files
        async with kind.open() as engine:
            yield engine


def _line(finding: Finding) -> str:
    state = "FAILED" if finding.error else "absent" if finding.absent else "ok"
    text = finding.error or finding.absent or f"{finding.seconds:.2f} s"
    return f"{state:8}{finding.name:24}{text}"
