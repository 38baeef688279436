"""Lay out the pages: their head, their links, times that go on."""

from __future__ import annotations

import json
import time
from urllib.parse import urlencode

import htpy as h

from rose.watch.fragments.links import Links
from rose.watch.fragments.tables import safe

# Styles and scripts by what addresses call them, in the order in which they load, and the files they are made of. htmx
# looks at the page as soon as it may, perhaps before another script has come: its extension has to be in the same one.
ASSETS = {
    "uplot.css": ["uplot/uPlot.min.css"],
    "page.css": ["page.css"],
    "live.css": ["live.css"],
    "htmx.js": ["htmx/htmx.min.js", "htmx/hx-sse.min.js"],
    "uplot.js": ["uplot/uPlot.iife.min.js"],
    "page.js": ["page.js"],
    "live.js": ["live.js"],
}
# What is unfolded stays so when a fragment is replaced.
_HTMX = {"includeIndicatorCSS": False, "extensions": "sse", "morphIgnore": ["data-htmx-powered", "open"]}


def page(title: str, base: str, *body: h.Node) -> h.Element:
    """Return a whole page.

    Args:
        title: its name.
        base: what leads to the list of runs, "" or "../../": all addresses are relative, for tunnels and proxies.
        body: what it shows.
    """
    styles = [h.link(rel="stylesheet", href=f"{base}static/{one}") for one in ASSETS if one.endswith(".css")]
    scripts = [h.script(src=f"{base}static/{one}", defer=True) for one in ASSETS if one.endswith(".js")]
    return h.html(lang="en")[
        h.head[
            h.meta(charset="utf-8"),
            h.meta(name="viewport", content="width=device-width, initial-scale=1"),
            h.meta(name="color-scheme", content="light dark"),
            h.meta(name="htmx-config", content=json.dumps(_HTMX)),
            h.title[safe(f"{title} - ROSE")],
            styles,
            scripts,
        ],
        h.body[
            h.a(".skip", href="#main")["to the content"],
            h.header(".bar")[h.a(href=base or "./")["ROSE"], h.span[safe(title)]],
            h.main("#main")[body],
        ],
    ]


def since(when: float) -> h.Element:
    """Return a moment (Unix time), which the page's script turns into how long ago it is, and keeps so."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
    return h.time(".since", data_since=f"{when:.3f}", title=moment)[moment]


def task_link(key: str, said: str | None = None) -> h.Element:
    """Return a link to a task, from the page of its run."""
    return h.a(href="task?" + urlencode({"key": key}, errors="surrogateescape"))[safe(key if said is None else said)]


class TaskLinks(Links):
    """Lead from a number to the pages of the tasks behind it."""

    def task(self, key: str, said: str | None = None) -> h.Element:
        """Return a link to a task."""
        return task_link(key, said)

    def iteration(self, workflow: str, iteration: int, said: str | None = None) -> h.Element:
        """Return a link to the tasks of an iteration."""
        where = urlencode({"all": "", "prefix": f"{workflow}/{iteration}/"}, errors="surrogateescape")
        return h.a(href=f"tasks?{where}")[str(iteration) if said is None else safe(said)]
