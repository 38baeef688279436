"""Lead from a number to the tasks behind it."""

from __future__ import annotations

import htpy as h

from rose.watch.fragments.tables import safe


class Links:
    """Make links to tasks, and remember which tasks and iterations are linked: the table of tasks has to show them."""

    def __init__(self) -> None:
        self.tasks: dict[str, str] = {}  # anchors by key
        self.iterations: dict[tuple[str, int], str] = {}

    def task(self, key: str, said: str | None = None) -> h.Element:
        """Return a link to a task."""
        anchor = self.tasks.setdefault(key, f"task-{len(self.tasks)}")
        return h.a(href=f"#{anchor}")[safe(key if said is None else said)]

    def iteration(self, workflow: str, iteration: int, said: str | None = None) -> h.Element:
        """Return a link to the tasks of an iteration."""
        anchor = self.iterations.setdefault((workflow, iteration), f"iteration-{len(self.iterations)}")
        return h.a(href=f"#{anchor}")[str(iteration) if said is None else safe(said)]
