# SPDX-License-Identifier: MIT
"""The access log of a running server: one line for each request, whatever becomes of it."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE, Server, poll

Serve = Callable[..., Server]

HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2"), ("X-Out", "a\\"b")])
    return [b"ok"]
"""

ATOMS = {
    "%(h)s": r"127\.0\.0\.1",
    "%(l)s": "-",
    "%(u)s": "ann",
    "%(t)s": r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]",
    "%(r)s": r"GET /a%20b\?q=1 HTTP/1\.1",
    "%(m)s": "GET",
    "%(U)s": "/a b",
    "%(q)s": "q=1",
    "%(H)s": r"HTTP/1\.1",
    "%(s)s": "200",
    "%(B)s": "2",
    "%(b)s": "2",
    "%(f)s": "http://from/",
    "%(a)s": r"agent\\x09\\\"\\\\",
    "%(T)s": r"\d",
    "%(D)s": r"\d+",
    "%(M)s": r"\d+",
    "%(L)s": r"\d+\.\d{6}",
    "%(p)s": r"<\d+>",
    "%({x-in}i)s": "in",
    "%({X-Out}o)s": r"a\\\"b",
    "%({HTTP_X_IN}e)s": "in",
    "%({missing}i)s": "-",
    "%({time}x)s": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d",
    "%({queue_time}x)s": r"\d+\.\d{6}",
    "%({pid}x)s": r"\d+",
    "%({aborted}x)s": "false",
}


def access_lines(server: Server, n: int) -> list[str]:
    """The first n lines of the file `access`."""

    def look() -> list[str]:
        lines = (server.directory / "access").read_text(encoding="utf-8").splitlines()
        return lines if len(lines) >= n else []

    return poll(look, f"{n} access lines")  # type: ignore[return-value]


def test_every_atom_has_its_value(serve: Serve, worker_class: str) -> None:
    form = "|".join(ATOMS)
    server = serve(
        HELLO, "-k", worker_class, "--access-logfile", "access", "--access-logformat", form
    )
    server.get(
        "/a%20b?q=1",
        "X-In: in",
        "Referer: http://from/",
        'User-Agent: agent\t"\\',
        "Authorization: Basic YW5uOnB3",
    )
    line = access_lines(server, 1)[0]
    assert re.fullmatch(r"\|".join(ATOMS.values()), line), line


def json_lines(server: Server, n: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in access_lines(server, n)]


def test_json_lines_are_valid_whatever_a_client_sends(serve: Serve, worker_class: str) -> None:
    server = serve(
        HELLO, "-k", worker_class, "--access-logfile", "access", "--access-logformat", "json"
    )
    server.get('/%e2%82%ac/%00%0a%22%ff?a="b', 'Referer: "\\\t\xff', 'User-Agent: {"}')
    json_lines(server, 1)  # a line may come when the client has had its answer
    server.get("/")
    first, second = json_lines(server, 2)
    assert first["path"] == '/€/\0\n"\xff'
    assert first["query"] == 'a="b'
    assert first["referer"] == '"\\\t\xff'
    assert first["user_agent"] == '{"}'
    assert list(second) == [
        *("time", "client", "method", "host", "path", "query", "protocol", "status", "bytes"),
        *("request_time", "queue_time", "pid", "aborted", "referer", "user_agent"),
    ]
    assert second["client"] == "127.0.0.1"
    assert (second["status"], second["bytes"], second["aborted"]) == (200, 2, False)
    assert 0 <= second["request_time"] < PATIENCE
    assert 0 <= second["queue_time"] < PATIENCE
    assert second["pid"] in server.workers()
    assert second["referer"] is None


def test_queue_time_counts_from_a_trusted_proxys_request_start(serve: Serve) -> None:
    server = serve(HELLO, "--access-logfile", "access", "--access-logformat", "json")
    server.get("/", f"X-Request-Start: t={time.time() - 50.1:.3f}")  # clocks have their steps
    assert 50 <= json_lines(server, 1)[0]["queue_time"] < 50 + PATIENCE


def test_request_start_of_others_is_ignored(serve: Serve) -> None:
    server = serve(
        HELLO,
        *("--access-logfile", "access", "--access-logformat", "json"),
        *("--forwarded-allow-ips", "192.0.2.1"),
    )
    server.get("/", f"X-Request-Start: t={time.time() - 500:.3f}")
    assert json_lines(server, 1)[0]["queue_time"] < PATIENCE


FILES = """
def app(environ, start_response):
    file = open("big", "rb")
    if environ["PATH_INFO"] == "/part":
        start_response("200 OK", [("Content-Length", "1000")])
    else:
        start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file)
"""


@pytest.mark.parametrize("flags", [(), ("--no-sendfile",)])
def test_bytes_of_files_are_counted(
    serve: Serve, worker_class: str, flags: tuple[str, ...]
) -> None:
    server = serve_files(serve, worker_class, flags)
    for n, path in enumerate(["/whole", "/part"], 1):
        server.get(path)
        json_lines(server, n)  # a line may come when the client has had its answer
    with server.connect() as client:
        client.send_request("HEAD", "/whole")
        client.response("HEAD")
    sent = [(line["status"], line["bytes"]) for line in json_lines(server, 3)]
    assert sent == [(200, 3_000_000), (200, 1000), (200, 0)]


def serve_files(serve: Serve, worker_class: str, flags: tuple[str, ...] = ()) -> Server:
    server = serve(
        FILES,
        *("-k", worker_class, "--access-logfile", "access", "--access-logformat", "json"),
        *flags,
    )
    (server.directory / "big").write_bytes(b"x" * 3_000_000)
    return server


def test_client_that_leaves_is_499_with_the_bytes_that_left(
    serve: Serve, worker_class: str
) -> None:
    server = serve_files(serve, worker_class)
    (server.directory / "big").write_bytes(b"x" * 50_000_000)
    with server.connect() as client:
        client.send_request("GET", "/whole")
        client.head()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line = json_lines(server, 1)[0]
    assert (line["status"], line["aborted"]) == (499, True)
    assert 0 < line["bytes"] < 50_000_000


def test_response_that_the_application_breaks_off_is_aborted(
    serve: Serve, worker_class: str
) -> None:
    app = """
def app(environ, start_response):
    start_response("200 OK", [])
    yield b"one"
    raise RuntimeError("in the middle")
"""
    server = serve(
        app, "-k", worker_class, "--access-logfile", "access", "--access-logformat", "json"
    )
    server.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    line = json_lines(server, 1)[0]
    assert (line["status"], line["bytes"], line["aborted"]) == (200, 3, True)


def test_refused_request_has_its_line(serve: Serve, worker_class: str) -> None:
    server = serve(
        HELLO, "-k", worker_class, "--access-logfile", "access", "--access-logformat", "json"
    )
    server.raw(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    line = json_lines(server, 1)[0]
    assert (line["status"], line["aborted"], line["queue_time"]) == (413, False, None)


TOP = Path(__file__).resolve().parents[2]


def test_documentation_has_every_atom_and_every_member() -> None:
    text = (TOP / "docs/logging.md").read_text()
    shown = set(re.findall(r"`%\((\w|\{\w+\}x)\)s`", text))
    table = (TOP / "server/http/access_atom.def").read_text()
    assert shown == {a for a in re.findall(r'CG_ATOM\("(.*?)"', table) if not a.endswith("e")}
    members = (TOP / "server/http/access_json.def").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.M) == re.findall(r'JSON\("(\w+)"', members)
