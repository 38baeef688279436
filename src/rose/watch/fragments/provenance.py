"""Show how a run came to be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import htpy as h

from rose.watch.facts.answer import seconds
from rose.watch.facts.provenance import Provenance
from rose.watch.fragments.tables import folded, table


def provenance_section(found: Provenance, path: str) -> h.Element:
    """Return command, versions, settings, digests, and what was changed."""
    last = found.last
    first = [("run directory", path), *((name, _said(last[name])) for name in _NAMED if name in last)]
    versions = [(name, str(version)) for name, version in _mapping(last.get("versions")).items()]
    names = list(dict.fromkeys(name for one in found.workflows.values() for name in one))
    settings = [(name, *(_said(one.get(key)) for key in names)) for name, one in found.workflows.items()]
    drivers = [
        (
            driver.epoch,
            _day(driver.since),
            seconds((driver.ended or driver.seen) - driver.since),
            f"process {driver.pid} on {driver.host}",
            driver.outcome or "has not said how it ended",
            str(told.get("command", "not recorded")),
        )
        for driver, told in found.drivers
    ]
    happened = [(_day(when), what) for when, what in found.happened]
    return h.section("#provenance")[
        h.h2["Provenance"],
        table(("what", "value"), first, "the run"),
        settings and table(("workflow", *names), settings, "workflows"),
        versions and table(("library", "version"), versions, "versions"),
        table(("number", "began", "drove for", "who", "ended", "command"), drivers, "drivers"),
        h.h3["Changes and orders"],
        table(("when", "what"), happened, "changes and orders") if happened else h.p["None."],
        folded("what it was begun with", table(("what", "is"), list(found.identity.items()), "settings and digests")),
    ]


_NAMED = (
    "learner",
    "engine",
    "command",
    "directory",
    "python",
    "platform",
    "models",
    "predictions of each model",
    "limits",
)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _said(value: Any) -> str:
    """Return a noted value in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
