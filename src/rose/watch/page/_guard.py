"""Let nothing through to the page but what its own reader asks for, and tell browsers what it may do.

Whoever sends a request must know the token, which only who can read the terminal knows. Host and Origin are checked,
for a browser sends requests on behalf of any page that it shows.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 64 * 1024  # of a request's body, and of its path and query
_READS, _ORDERS = {"GET", "HEAD"}, {"POST"}
_LOCAL = {"127.0.0.1", "localhost", "[::1]"}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # "no-referrer" takes the Origin from forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Pass on requests that know the token; answer all others.

    The first request brings the token in its address (`?token=`) and is sent on without it, with a cookie.

    Args:
        app: what answers.
        token: what a request must know.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        self._cookie = f"rose-{secrets.token_hex(4)}"  # cookies do not tell ports apart: two pages, two names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer = self._refused(scope) or self._admitted(scope)
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, _limited(receive), _with_headers(send))

    def _refused(self, scope: Scope) -> Response | None:
        """Return the answer to a request that nobody's browser sends who looks at the page."""
        headers = Headers(scope=scope)
        if len(scope["path"]) + len(scope["query_string"]) > MOST_BYTES:
            return PlainTextResponse("the address is too long", 414)
        if headers.getlist("host") != [headers.get("host", "")] or _host(headers.get("host", "")) not in _LOCAL:
            return PlainTextResponse("this page is for this machine's 127.0.0.1 and localhost alone", 421)
        if scope["method"] not in _READS | _ORDERS:
            return PlainTextResponse("only GET, HEAD and POST", 405)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers["host"]:
            return PlainTextResponse("another page's request", 403)
        if scope["method"] in _ORDERS:
            if origin is None or headers.get("sec-fetch-site", "same-origin") != "same-origin":
                return PlainTextResponse("an order comes from this page alone", 403)
            length = headers.get("content-length", "")
            if not (length.isascii() and length.isdecimal() and len(length) < 10 and int(length) <= MOST_BYTES):
                return PlainTextResponse("too much, or of unknown length", 413)
        return None

    def _admitted(self, scope: Scope) -> Response | None:
        """Return nothing for who knows the token."""
        headers = Headers(scope=scope)
        if self._knows(_cookie(headers.get("cookie", ""), self._cookie)):
            return None
        try:
            query = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True)
        except (UnicodeDecodeError, ValueError):
            query = []
        if scope["method"] in _READS and self._knows(dict(query).get("token", "")):
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            # To the same place, relative: the page may be seen through a tunnel, or below another path.
            answer = RedirectResponse(f"?{rest}" if rest else "./" if scope["path"].endswith("/") else "?", 303)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return answer
        return PlainTextResponse("open the address that `rose ui` has printed, with its token", 401)

    def _knows(self, token: str) -> bool:
        return secrets.compare_digest(token.encode("utf-8", "surrogateescape"), self._token.encode())


def _host(host: str) -> str:
    """Return a Host header without its port.

    >>> _host("localhost:8000"), _host("[::1]:80"), _host("127.0.0.1.evil.example")
    ('localhost', '[::1]', '127.0.0.1.evil.example')
    """
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() and not host.endswith("]") else host).lower()


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _limited(receive: Receive) -> Receive:
    """Receive no more of a body than may be: what its sender said of its length is not relied upon."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return message if read <= MOST_BYTES else {"type": "http.disconnect"}

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
