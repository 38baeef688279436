"""The live page, over HTTP: what it shows, what it streams, what it orders, and what it does not let through."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("htpy")

from rose.errors import RunDirectoryError
from rose.store import RunReader
from rose.watch.page import followed
from rose.watch.page.rendering import RunRendering
from tests.watch.served import MARKUP, TOKEN, Going, going_on, served


@dataclass
class Client:
    """What a browser would ask, with its cookie."""

    port: int
    cookie: str = ""

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Cookie": self.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        connection.close()
        return found

    def order(self, run: str, **fields: str) -> tuple[int, dict[str, str], str]:
        return self.ask(f"{run}orders", "POST", urlencode(fields), Origin=f"http://127.0.0.1:{self.port}")

    def events(self, path: str, **headers: str) -> Iterator[tuple[str, str]]:
        """The id and the text of each message of a stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"Cookie": self.cookie} | headers)
        answer = connection.getresponse()
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        found: dict[str, str] = {}
        try:
            while True:
                read = answer.readline()
                assert read, "the stream has ended"
                line = read.decode().rstrip("\r\n")
                if line:
                    name, _, value = line.partition(": ")
                    found[name] = f"{found[name]}\n{value}" if name in found else value
                elif "data" in found:
                    yield found.get("id", ""), found["data"]
                    found = {}
        finally:
            connection.close()


@dataclass
class Page:
    """A run that waits in its second round, the page, and who may look at it."""

    run: Going
    client: Client
    place: str  # the run's address


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    directory = tmp_path_factory.mktemp("runs")
    with going_on(directory / f"one{MARKUP.replace('/', '')}") as run, served(directory) as port:
        client = Client(port)
        status, headers, _ = client.ask(f"/?token={TOKEN}")
        assert (status, headers["location"]) == (303, "./")
        assert {"HttpOnly", "SameSite=strict"} <= set(headers["set-cookie"].split("; "))
        client.cookie = headers["set-cookie"].partition(";")[0]
        found = re.search(r'href="(runs/\w+/)"', client.ask("/")[2])
        assert found is not None
        yield Page(run, client, "/" + found[1])


def hostile(page: Page) -> Iterator[tuple[str, str, dict[str, str], str | None]]:
    """Requests of those who do not know the token, or are another page, or want what is not there to be seen."""
    port, cookie = page.client.port, page.client.cookie
    own, origin = f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"
    places = ["/", page.place, f"{page.place}events", f"{page.place}tasks?all=", f"{page.place}task?key=a", "/compare"]
    places += ["/static/page.js", "/runs/none/", f"{page.place}orders"]
    order = urlencode({"kind": "stop"})
    wrong = ["", "x=1", "rose=" + TOKEN, cookie[:-1], cookie + "x", f"a={TOKEN}", "\xff", cookie.replace("=", "=\x00")]
    for place, bad in itertools.product(places, wrong):
        yield "GET", place, {"Host": own, "Cookie": bad}, None
        yield "POST", place, {"Host": own, "Cookie": bad, "Origin": origin}, order
    hosts = [
        "evil.example",
        f"127.0.0.1.evil.example:{port}",
        "",
        f"127.0.0.1:{port}@evil",
        "0.0.0.0",
        "localhost.",
        "[::]",
    ]
    for place, host in itertools.product(places, hosts):
        yield "GET", place, {"Host": host, "Cookie": cookie}, None
    origins = ["http://evil.example", "null", f"http://127.0.0.1:{port + 1}", f"https://evil/{own}", "", "file://"]
    for bad in origins:
        yield "POST", f"{page.place}orders", {"Host": own, "Cookie": cookie, "Origin": bad}, order
        yield "GET", page.place, {"Host": own, "Cookie": cookie, "Origin": bad or "http://"}, None
    yield "POST", f"{page.place}orders", {"Host": own, "Cookie": cookie}, order
    yield "POST", f"{page.place}orders", {"Host": own, "Cookie": cookie, "Origin": origin}, "x" * 200_000
    site = {"Host": own, "Cookie": cookie, "Origin": origin, "Sec-Fetch-Site": "cross-site"}
    yield "POST", f"{page.place}orders", site, order
    yield (
        "POST",
        f"{page.place}orders",
        {"Host": own, "Cookie": cookie, "Origin": origin, "Content-Length": "-1"},
        order,
    )
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X" * 5000):
        for place in places[:3]:
            yield method, place, {"Host": own, "Cookie": cookie, "Origin": origin}, None
    up = ["..", "%2e%2e", "..%2f", "%252e%252e", "....//", "\\..", "%00", "/etc"]
    for part in up:
        for place in ("/runs/{}/", "/static/{}", "/static/{}/app.py", "/runs/{}/task?key=a", "/{}/etc/passwd", "//{}"):
            yield "GET", place.format(part), {"Host": own, "Cookie": cookie}, None
    for header in ("X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "Forwarded", "Authorization"):
        yield "GET", page.place, {"Host": own, "Cookie": "", header: own}, None
    for place in ("/" + "a" * 70_000, f"{page.place}task?key=" + "a" * 70_000, "/?" + "&".join(["token=a"] * 3000)):
        yield "GET", place, {"Host": own, "Cookie": ""}, None


def asked(port: int, method: str, place: str, headers: dict[str, str], body: str | None) -> bytes:
    """The answer to a request that no well-behaved client would send."""
    content = b"" if body is None else body.encode()
    if body is not None:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(content))} | headers
    lines = [
        f"{method} {place} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Connection: close",
        "",
        "",
    ]
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            connection.sendall("\r\n".join(lines).encode("latin-1") + content)
            while part := connection.recv(65536):
                found += part
        except ConnectionError:  # it does not even want to read all of that
            pass
    return found


REFUSALS = {"400", "401", "403", "404", "405", "413", "414", "421", "cut off"}


def test_no_hostile_request_reads_or_changes_anything(page: Page) -> None:
    with RunReader(page.run.path) as reader:
        before = reader.now()
        count = 0
        for method, place, headers, body in hostile(page):
            answer = asked(page.client.port, method, place, headers, body)
            status = answer[9:12].decode() or "cut off"
            assert status in REFUSALS, (method, place, headers)
            assert b"simulation" not in answer
            assert b"root:" not in answer
            assert TOKEN.encode() not in answer
            count += 1
        assert count >= 300
        assert not reader.since(before).orders


def test_what_a_run_says_is_shown_as_text(page: Page) -> None:
    for place in ("/", page.place, f"{page.place}tasks?all=&prefix={MARKUP.partition('/')[0]}"):
        status, headers, html = page.client.ask(place)
        assert status == 200
        assert "<script>document" not in html
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for address in re.findall(r'(?:href|src|action|hx-sse:connect)="([^"]*)"', html):  # relative, for tunnels
            assert not address.startswith("/")
            assert ":" not in unescape(address).partition("?")[0]
    assert MARKUP in unescape(page.client.ask(page.place)[2])


def test_a_stream_goes_on_where_it_was(page: Page) -> None:
    html = page.client.ask(page.place)[2]
    after = unescape(re.search(r'hx-sse:connect="(events[^"]*)"', html)[1])  # type: ignore[index]
    events = page.client.events(f"{page.place}events")
    cursor, first = next(events)
    assert {"state", "workflows", "running", "failures", "orders"} <= set(re.findall(r'hx-target="#(\w+)"', first))
    assert after == "events?" + urlencode({"after": cursor})
    status, headers, _ = page.client.order(page.place, kind="set", name="query_size", value="3", who="ada")
    assert (status, headers["location"]) == (303, "./#orders")
    later, changed = next(one for one in events if "ada" in one[1])
    assert later != cursor
    assert 'hx-target="#calibration"' not in changed  # what has not changed does not come again
    events.close()
    # A line that was lost: what is known already does not come again, what came meanwhile does.
    again = page.client.events(f"{page.place}events", **{"Last-Event-ID": cursor})
    assert "ada" in next(again)[1]
    again.close()


def test_orders_are_obeyed_or_refused_with_the_reason(page: Page) -> None:
    for fields, said in (
        ({"kind": "set", "name": "query_size", "value": "many"}, "value='many' must be a number"),
        ({"kind": "set", "name": "querysize", "value": "3"}, "did you mean 'query_size'"),
        ({"kind": "label", "candidate": "-1", "value": "3"}, "candidate='-1'"),
        ({"kind": "withdraw", "candidate": "1"}, "workflow"),
        ({"kind": "dance"}, "is no order"),
        ({}, "is no order"),
    ):
        status, _, html = page.client.order(page.place, **fields)
        assert status == 400
        assert said in unescape(html)
    events = page.client.events(f"{page.place}events")
    page.client.order(page.place, kind="label", candidate="39", value=json.dumps(1.5), who="bea")
    text = ""
    while "bea" not in text or "refused" not in text:
        text = unescape(next(events)[1])
    assert "candidate=39" in text
    events.close()


def test_a_failed_task_is_shown_with_its_traceback(page: Page) -> None:
    page.run.ends()
    next(text for _, text in page.client.events(f"{page.place}events") if "finished</strong>" in text)
    html = page.client.ask(page.place)[2]
    link = re.search(r'href="(task\?[^"]*%2F7)"', html)
    assert link is not None
    status, _, task = page.client.ask(page.place + unescape(link[1]))
    assert status == 200
    assert "Traceback" in task
    assert "dropped" in task
    assert "no licence &lt;script&gt;" in task
    assert page.client.ask(f"{page.place}task?key=none")[0] == 404


def test_a_large_run_opens_before_its_tasks_are_read(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.run.ends()
    monkeypatch.setattr(followed, "_MANY", 3)
    with served(page.run.path.parent) as port:
        client = Client(port)
        client.cookie = client.ask(f"/?token={TOKEN}")[1]["set-cookie"].partition(";")[0]
        client.ask("/")
        first = client.ask(page.place)[2]
        assert re.search(r'<section id="time"><p>reading \d+ tasks', first)
        assert "finished</strong>" in first
        _, text = next(client.events(f"{page.place}events"))
        assert 'hx-target="#time"' in text
        assert "reading" not in text


def test_runs_are_compared_and_what_is_gone_is_said(page: Page, tmp_path: Path) -> None:
    run = page.place.split("/")[2]
    status, _, html = page.client.ask(f"/compare?run={run}&run=none")
    assert status == 200
    assert html.count("<article>") == 1
    assert html.count('id="curve-data"') == 1
    name = page.run.path.name
    assert f"{name}: w{MARKUP}" in unescape(html)
    assert page.client.ask("/runs/0123/")[0] == 404


def test_a_run_that_is_made_anew_in_the_same_place_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with going_on(path, waits=False):
        pass
    run = followed.Followed(path, RunRendering)
    asyncio.run(run.look())
    assert "finished" in run.fragments["state"]
    shutil.rmtree(path)
    run._looked = 0.0
    with pytest.raises(RunDirectoryError):
        asyncio.run(run.look())
    with going_on(path):
        asyncio.run(run.look())
        assert "running" in run.fragments["state"]
    asyncio.run(run.close())
