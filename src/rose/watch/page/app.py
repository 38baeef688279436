"""Answer the page's requests: the runs of a directory, a run as it goes on, its tasks, and orders to its driver."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from rose.errors import ConfigurationError, RoseError, UnknownTaskError
from rose.store import place
from rose.watch.page import _views as views
from rose.watch.page._guard import MOST_BYTES, Guard
from rose.watch.page._layout import ASSETS
from rose.watch.page._ordering import order_of
from rose.watch.page.followed import Followed, FollowedRuns, Fragments, run_id
from rose.watch.page.rendering import RunRendering
from rose.watch.runs import FoundRun, find_runs
from rose.watch.task import list_tasks, view_task

_TYPES = {".css": "text/css", ".js": "text/javascript"}


def make_app(directory: Path, token: str) -> Starlette:
    """Return the application that shows the runs below a directory to who knows the token."""
    page = _Page(directory)
    app = Starlette(
        routes=[
            Route("/", page.runs),
            Route("/static/{name}", page.asset),
            Route("/compare", page.compare),
            Route("/runs/{run}/", page.run),
            Route("/runs/{run}/events", page.events),
            Route("/runs/{run}/tasks", page.tasks),
            Route("/runs/{run}/task", page.task),
            Route("/runs/{run}/orders", page.order, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={HTTPException: _not_found, RoseError: _unreadable, OSError: _unreadable},
        lifespan=page.lifespan,
    )
    app.router.redirect_slashes = False  # it would say what the Host header says
    return app


class _Html(HTMLResponse):
    def render(self, content: Any) -> bytes:
        return str(content).encode("utf-8", "backslashreplace")


class _Page:
    """Hold the directory that is shown, and the runs that are looked at."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._paths: dict[str, Path] = {}  # of the runs that were found, by what addresses call them
        self._followed = FollowedRuns(RunRendering)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Close what was looked at."""
        try:
            yield
        finally:
            await self._followed.close()

    async def runs(self, request: Request) -> Response:
        """Show the runs."""
        found, whole = await self._find()
        return _Html(views.runs(self._directory, found, whole))

    async def asset(self, request: Request) -> Response:
        """Return a style or a script."""
        name = request.path_params["name"]
        if name not in ASSETS:
            raise HTTPException(404)
        body = await asyncio.to_thread(_asset, name)
        headers = {"ETag": f'"{hashlib.blake2s(body, digest_size=8).hexdigest()}"'}
        return Response(body, headers=headers, media_type=_TYPES[Path(name).suffix])

    async def run(self, request: Request) -> Response:
        """Show a run, which the stream of its events keeps up to date."""
        followed = await self._run(request)
        await followed.look()
        return _Html(views.run(followed.path, followed.fragments, followed.mark))

    async def events(self, request: Request) -> Response:
        """Stream the fragments of a run's page that change; the cursor of the record is the event's id."""
        followed = await self._run(request)
        seen = request.headers.get("last-event-id") or request.query_params.get("after")
        return EventSourceResponse(_stream(followed, seen), ping=15)

    async def tasks(self, request: Request) -> Response:
        """List a run's tasks."""
        path = await self._path(request)
        prefix, everything = request.query_params.get("prefix", ""), "all" in request.query_params
        records = await asyncio.to_thread(list_tasks, path, prefix, everything)
        return _Html(views.tasks(path, records, prefix, everything))

    async def task(self, request: Request) -> Response:
        """Show a task: its times, its traceback, what it printed."""
        path = await self._path(request)
        key = _fields(request.scope["query_string"].decode("ascii", "replace")).get("key", "")
        return _Html(views.task(path, await asyncio.to_thread(view_task, path, key)))

    async def order(self, request: Request) -> Response:
        """Place an order, and go back to the run, which shows what becomes of it."""
        path = await self._path(request)
        body = await request.body()
        try:
            who, order = order_of(_fields(body[:MOST_BYTES].decode("utf-8", "replace")))
        except ConfigurationError as error:
            return _Html(views.problem("Not ordered", str(error), "../../"), 400)
        await asyncio.to_thread(place, path, order, who)
        return RedirectResponse("./#orders", 303)

    async def compare(self, request: Request) -> Response:
        """Show several runs side by side."""
        await self._find()
        chosen = [self._paths[one] for one in request.query_params.getlist("run")[:8] if one in self._paths]
        followed = [await self._followed.of(path) for path in chosen]
        for one in followed:
            await one.look()
        return _Html(views.compare([(one.path, run_id(one.path), one.fragments, one.curves) for one in followed]))

    # --- inside --------------------------------------------------------------------------------------------------

    async def _find(self) -> tuple[list[FoundRun], bool]:
        found, whole = await asyncio.to_thread(find_runs, self._directory)
        self._paths |= {run_id(run.path): run.path for run in found}
        return found, whole

    async def _path(self, request: Request) -> Path:
        """Return the directory of a run that was found below the one that is shown; no other can be named."""
        name = request.path_params["run"]
        if name not in self._paths:
            await self._find()
        if name not in self._paths:
            raise HTTPException(404, "there is no such run (any more)")
        return self._paths[name]

    async def _run(self, request: Request) -> Followed:
        return await self._followed.of(await self._path(request))


def _fields(text: str) -> dict[str, str]:
    """Return the fields of a form or a query; of one that is given several times, the last."""
    try:
        found = parse_qs(text, keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise HTTPException(400, "too many fields") from error
    return {name: values[-1] for name, values in found.items()}


def _asset(name: str) -> bytes:
    folder = resources.files("rose.watch") / "assets"
    return b"\n".join((folder / part).read_bytes() for part in ASSETS[name])


async def _stream(followed: Followed, seen: str | None) -> AsyncIterator[dict[str, str]]:
    try:
        async for cursor, changed in followed.changes(seen):
            yield {"id": cursor, "data": _message(changed)}
    except (RoseError, OSError) as error:
        yield {"data": _message({"state": str(views.gone(str(error)))})}


def _message(changed: Fragments) -> str:
    parts = [
        f'<hx-partial hx-target="#{name}" hx-swap="outerMorph">{html}</hx-partial>' for name, html in changed.items()
    ]
    return "".join(parts).encode("utf-8", "backslashreplace").decode()


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = "Not found" if error.status_code == 404 else "Not understood"
    return _Html(views.problem(title, str(error.detail), _base(request)), error.status_code)


async def _unreadable(request: Request, error: Exception) -> Response:
    known = isinstance(error, UnknownTaskError)
    return _Html(views.problem("Not readable", str(error), _base(request)), 404 if known else 500)


def _base(request: Request) -> str:
    return "../" * (request.url.path.count("/") - 1)
