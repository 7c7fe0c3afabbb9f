# SPDX-License-Identifier: MIT
"""Flask, Django, Bottle, Falcon and Pyramid live their ordinary life on the server.

Rows of one table: what the site in frameworks/ must do, under every framework that offers it. A
test is named FRAMEWORK-ROW. One server serves all rows of a framework, one after the other.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
from harness import PATIENCE, Client, Response, Server, poll

SITES = Path(__file__).resolve().parent / "frameworks"

#: Several times what is held in memory, and more than a socket buffer takes.
DATA = bytes(range(256)) * 12_000
SHA256 = hashlib.sha256(DATA).hexdigest()

#: What a framework does with a file beyond sending it whole. Falcon does so for static routes only.
FRAMEWORKS = {
    "flask": {"range", "not-modified"},
    "django": {"not-modified"},
    "bottle": {"range", "not-modified"},
    "falcon": set(),
    "pyramid": {"range", "not-modified"},
}


class Site:
    """A running site; `files` is the folder it shares with the test."""

    def __init__(self, server: Server, files: Path) -> None:
        self.server = server
        self.files = files
        self.connect: Callable[[], Client] = server.connect

    def ask(self, method: str, target: str, *fields: str, body: bytes = b"") -> Response:
        """One request on a connection of its own, which must end after the response."""
        with self.connect() as client:
            client.send_request(method, target, "Connection: close", *fields, body=body)
            response = client.response(method)
            assert client.rest() == b"", "nothing follows a response"
        return response

    def get(self, target: str, *fields: str) -> Response:
        return self.ask("GET", target, *fields)

    def get_json(self, target: str, *fields: str) -> dict:
        return as_json(self.get(target, *fields))


def as_json(response: Response) -> dict:
    assert response.status == 200, response
    return json.loads(response.body)


Row = Callable[[Site], None]
ROWS: dict[str, tuple[Row, str]] = {}


def row(row_fn: Row, needs: str = "") -> Row:
    """Enters a function as the row of its name; `needs` is what a framework must offer for it."""
    ROWS[row_fn.__name__.replace("_", "-")] = (row_fn, needs)
    return row_fn


def row_if(needs: str) -> Callable[[Row], Row]:
    return lambda row_fn: row(row_fn, needs)


# The rows


@row
def page(site: Site) -> None:
    r = site.get("/")
    assert (r.status, r.reason, r.body) == (200, "OK", b"hello")
    assert r.field("content-length") == "5"


@row
def head(site: Site) -> None:
    got, headed = site.get("/"), site.ask("HEAD", "/")
    assert (headed.status, headed.body) == (200, b"")
    for name in ("content-type", "content-length"):
        assert headed.field(name) == got.field(name)


@row
def not_found(site: Site) -> None:
    r = site.get("/nowhere")
    assert r.status == 404 and r.body
    assert site.ask("HEAD", "/nowhere").status == 404


@row
def method_not_allowed(site: Site) -> None:
    assert site.ask("DELETE", "/form").status in (404, 405)


@row
def error(site: Site) -> None:
    r = site.get("/error")
    assert r.status == 500 and r.body
    site.server.wait_log("ZeroDivisionError")
    assert site.get("/").body == b"hello"


@row
def form(site: Site) -> None:
    r = site.ask(
        "POST",
        "/form",
        "Content-Type: application/x-www-form-urlencoded",
        body=b"name=J%C3%B6rg+%26+Co&tag=one&tag=two",
    )
    assert as_json(r) == {"name": "J\u00f6rg & Co", "tag": ["one", "two"]}


@row
def chunked_form(site: Site) -> None:
    with site.connect() as client:
        client.send_request(
            "POST",
            "/form",
            "Content-Type: application/x-www-form-urlencoded",
            "Transfer-Encoding: chunked",
        )
        client.send(b"8\r\nname=one\r\nC\r\n&tag=a&tag=b\r\n0\r\n\r\n")
        assert as_json(client.response()) == {"name": "one", "tag": ["a", "b"]}


MULTIPART = b"".join(
    [
        b'--sep\r\nContent-Disposition: form-data; name="title"\r\n\r\nA t\xc3\xaftle\r\n',
        b'--sep\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n',
        b"Content-Type: application/octet-stream\r\n\r\n",
        DATA,
        b"\r\n--sep--\r\n",
    ]
)

UPLOADED = {
    "title": "A t\u00eftle",
    "name": "a.bin",
    "type": "application/octet-stream",
    "size": len(DATA),
    "sha256": SHA256,
}


@row
def upload(site: Site) -> None:
    r = site.ask(
        "POST", "/upload", "Content-Type: multipart/form-data; boundary=sep", body=MULTIPART
    )
    assert as_json(r) == UPLOADED


@row
def upload_after_continue(site: Site) -> None:
    """As curl sends it: the body waits until the server asks for it."""
    with site.connect() as client:
        client.send_request(
            "POST",
            "/upload",
            "Content-Type: multipart/form-data; boundary=sep",
            f"Content-Length: {len(MULTIPART)}",
            "Expect: 100-continue",
        )
        assert client.head().status == 100
        client.send(MULTIPART)
        assert as_json(client.response()) == UPLOADED


@row
def raw_body(site: Site) -> None:
    r = site.ask("POST", "/raw", "Content-Type: application/octet-stream", body=DATA)
    assert as_json(r) == {"size": len(DATA), "sha256": SHA256}


@row
def chunked_body(site: Site) -> None:
    with site.connect() as client:
        client.send_request(
            "POST", "/raw", "Content-Type: application/octet-stream", "Transfer-Encoding: chunked"
        )
        for at in range(0, len(DATA), 70_001):
            part = DATA[at : at + 70_001]
            client.send(b"%x\r\n%b\r\n" % (len(part), part))
        client.send(b"0\r\n\r\n")
        assert as_json(client.response()) == {"size": len(DATA), "sha256": SHA256}


@row
def empty_body(site: Site) -> None:
    r = site.ask("POST", "/raw", "Content-Length: 0", "Content-Type: application/octet-stream")
    assert as_json(r)["size"] == 0


@row
def stream(site: Site) -> None:
    with site.connect() as client:
        client.send_request("GET", "/stream", "Connection: close")
        r = client.head()
        assert (r.status, r.field("transfer-encoding")) == (200, "chunked")
        assert (client.line(), client.reader.read(8)) == (b"6", b"first\n\r\n")
        (site.files / "go").touch()
        rest = client.rest()
    assert b"second\n" in rest and b"third\n" in rest and rest.endswith(b"\r\n0\r\n\r\n")


@row
def stream_for_http_1_0(site: Site) -> None:
    (site.files / "go").touch()
    with site.connect() as client:
        client.send(b"GET /stream HTTP/1.0\r\nHost: test.example\r\n\r\n")
        r = client.response()
    assert r.field("transfer-encoding") is None
    assert r.body == b"first\nsecond\nthird\n"


@row
def stream_that_nobody_awaits(site: Site) -> None:
    with site.connect() as client:
        client.send_request("GET", "/stream")
        assert client.head().status == 200
    (site.files / "go").touch()
    poll((site.files / "closed").exists, "the generator is closed")
    assert site.get("/").body == b"hello"


@row
def cookies(site: Site) -> None:
    r = site.get("/cookies", "Cookie: first=1; second=zwei")
    assert as_json(r) == {"first": "1", "second": "zwei"}
    made = [v for n, v in r.fields if n.lower() == "set-cookie"]
    assert [c.split(";")[0] for c in made] == ["first=1", "second=zwei"]
    assert "httponly" in made[0].lower() and "path=/cookies" in made[1].lower()


@row
def non_ascii_path(site: Site) -> None:
    path, q = "gr\u00fc\u00dfe \u20ac+\U0001f600", "\u00e4+b c"
    target = f"/path/{quote(path)}?q={quote(q)}"
    told = site.get_json(target)
    assert (told["path"], told["q"]) == (path, q)
    assert unquote(told["url"]) == f"http://test.example/path/{path}?q={q}"
    url = urlsplit(told["url"])
    again = site.get_json(quote(url.path, safe="/%") + "?" + quote(url.query, safe="=%"))
    assert again == told, "what the framework makes of it leads back"


@row
def redirect(site: Site) -> None:
    r = site.get("/redirect")
    assert r.status == 302
    location = urlsplit(r.field("location"))
    assert location.netloc in ("", "test.example")
    assert site.get(location.path).body == b"hello"


@row
def file(site: Site) -> None:
    r = site.get("/file")
    assert (r.status, r.field("content-length")) == (200, str(len(DATA)))
    assert r.body == DATA


@row
def file_head(site: Site) -> None:
    r = site.ask("HEAD", "/file")
    assert (r.status, r.field("content-length"), r.body) == (200, str(len(DATA)), b"")


@row_if("range")
def file_range(site: Site) -> None:
    r = site.get("/file", "Range: bytes=1000-2000000")
    assert (r.status, r.body) == (206, DATA[1000:2000001])
    assert r.field("content-range") == f"bytes 1000-2000000/{len(DATA)}"
    tail = site.get("/file", "Range: bytes=-10")
    assert (tail.status, tail.body) == (206, DATA[-10:])


@row_if("range")
def file_range_beyond_the_end(site: Site) -> None:
    assert site.get("/file", f"Range: bytes={len(DATA)}-").status == 416


@row_if("not-modified")
def file_not_modified(site: Site) -> None:
    r = site.get("/file")
    fields = []
    if etag := r.field("etag"):
        fields.append(f"If-None-Match: {etag}")
    if modified := r.field("last-modified"):
        fields.append(f"If-Modified-Since: {modified}")
    again = site.get("/file", *fields)
    assert (again.status, again.body) == (304, b"")
    assert again.field("transfer-encoding") is None


# The tests


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """A factory that starts each site once."""
    started: dict[tuple[str, ...], Site] = {}

    def start(spec: str, worker_class: str, bind: str = "127.0.0.1:0") -> Site:
        key = (spec, worker_class, bind)
        if key not in started:
            files = tmp_path_factory.mktemp("site")
            (files / "data.bin").write_bytes(DATA)
            args = ["-k", worker_class, "--pythonpath", str(SITES), "-e", f"SITE_FILES={files}"]
            started[key] = Site(Server(files, None, args, bind=bind, spec=spec), files)
        site = started[key]
        assert site.server.process.poll() is None, site.server.log
        for name in ("go", "closed"):
            (site.files / name).unlink(missing_ok=True)
        return site

    yield start
    for site in started.values():
        site.server.close()


@pytest.mark.parametrize(
    ("framework", "name"),
    [
        pytest.param(framework, name, id=f"{framework}-{name}")
        for framework, offered in FRAMEWORKS.items()
        for name, (_, needs) in ROWS.items()
        if not needs or needs in offered
    ],
)
def test_framework(sites, worker_class: str, framework: str, name: str) -> None:
    ROWS[name][0](sites(f"{framework}_app", worker_class))


def test_falcon_static_route_sends_ranges(sites, worker_class: str) -> None:
    r = sites("falcon_app", worker_class).get("/static/data.bin", "Range: bytes=5-9")
    assert (r.status, r.body) == (206, DATA[5:10])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_framework_behind_a_unix_socket(sites, worker_class: str, framework: str) -> None:
    site = sites(f"{framework}_app", worker_class, "unix:site.sock")

    def connect() -> Client:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(str(site.files / "site.sock"))
        return Client(sock)

    site.connect = connect
    for name in ("page", "upload", "non-ascii-path", "file"):
        ROWS[name][0](site)


#: Not form: Werkzeug reads it by read() without a size, which the validator forbids.
VALIDATED = [
    "page",
    "head",
    "not-found",
    "raw-body",
    "chunked-body",
    "stream-for-http-1-0",
    "cookies",
    "non-ascii-path",
    "redirect",
    "file",
]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_framework_is_wsgi_on_both_sides(sites, worker_class: str, framework: str) -> None:
    site = sites(f"shared:validated('{framework}_app')", worker_class)
    for name in VALIDATED:
        ROWS[name][0](site)
    assert not re.search("AssertionError|Traceback|WSGIWarning", site.server.log), site.server.log
