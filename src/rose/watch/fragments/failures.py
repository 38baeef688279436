"""Show what went wrong: failures with their tracebacks, retries, what was dropped."""

from __future__ import annotations

import htpy as h

from rose.watch.facts.failures import Failures
from rose.watch.fragments.links import Links
from rose.watch.fragments.tables import folded, safe, table


def failures_section(found: Failures, begun: float, links: Links) -> h.Element:
    """Return what went wrong; `begun` is when the run did (Unix time)."""
    if not found:
        return h.section("#failures")[h.h2["Failures"], h.p["Nothing failed, and nothing had to be repeated."]]
    kinds = [(count, gist) for gist, count in found.kinds]
    retries = [
        (
            round(one.time - begun, 2),
            links.task(one.key),
            one.attempt,
            "the worker" if one.of_place else "the task",
            one.gist,
        )
        for one in found.retries
    ]
    counts = {
        "tasks that gave no result": found.task_count,
        "attempts that were repeated": found.retry_count,
        "candidates that were dropped": len(found.dropped),
        "models that were done without": len(found.members),
    }
    members = [(name, iteration, model) for name, iteration, model in found.members]
    lists = [
        (kinds, table(("times", "reason"), kinds, "the most frequent reasons")),
        (members, table(("workflow", "iteration", "model"), members, "models that could not be trained")),
        (retries, folded("repeated attempts", table(_RETRY, retries, "repeated attempts"))),
    ]
    return h.section("#failures")[
        h.h2["Failures"],
        h.p["; ".join(f"{said}: {count:,}" for said, count in counts.items() if count) + "."],
        [made for rows, made in lists[:1] if rows],
        [
            h.details(".failure")[
                h.summary[
                    h.code[safe(one.key)],
                    f" {one.state}",
                    one.attempt > 1 and f", attempt {one.attempt}",
                    ": ",
                    safe(one.gist),
                ],
                h.pre[safe(one.error)],
                h.p[links.task(one.key, "its times"), one.worker and f", on {safe(one.worker)}"],
            ]
            for one in found.tasks
        ],
        h.p[f"The latest {len(found.tasks)} are shown; `rose task RUN` lists all."]
        if found.task_count > len(found.tasks)
        else None,
        h.p["Dropped candidates: ", ", ".join(map(str, found.dropped[:200])), len(found.dropped) > 200 and ", ..."]
        if found.dropped
        else None,
        [made for rows, made in lists[1:] if rows],
    ]


_RETRY = ("seconds", "task", "attempt", "what failed", "why")
