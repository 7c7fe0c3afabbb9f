# SPDX-License-Identifier: MIT
"""PEP 3333 against the running server: wsgi.input."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable

import pytest
from harness import Server

Serve = Callable[..., Server]

READS = """
import json

SCRIPTS = {
    "read": lambda i: [i.read()],
    "read-none": lambda i: [i.read(None), i.read()],
    "read-minus": lambda i: [i.read(-1), i.read(-1)],
    "read-sizes": lambda i: [i.read(0), i.read(2), i.read(3), i.read(1000), i.read(5)],
    "readline": lambda i: [i.readline(), i.readline(3), i.readline(-1), i.readline(), i.readline()],
    "readlines": lambda i: i.readlines(),
    "readlines-hint": lambda i: i.readlines(1),
    "iterate": lambda i: list(i),
    "mixed": lambda i: [i.read(1), i.readline(), next(i), i.read(), i.readline()],
    "nothing": lambda i: [],
}

def app(environ, start_response):
    got = SCRIPTS[environ["QUERY_STRING"]](environ["wsgi.input"])
    start_response("200 OK", [])
    return [json.dumps([part.decode() for part in got]).encode()]
"""
BODY = b"one\ntwo2\nthree"
EXPECTED = {
    "read": ["one\ntwo2\nthree"],
    "read-none": ["one\ntwo2\nthree", ""],
    "read-minus": ["one\ntwo2\nthree", ""],
    "read-sizes": ["", "on", "e\nt", "wo2\nthree", ""],
    "readline": ["one\n", "two", "2\n", "three", ""],
    "readlines": ["one\n", "two2\n", "three"],
    "readlines-hint": ["one\n"],
    "iterate": ["one\n", "two2\n", "three"],
    "mixed": ["o", "ne\n", "two2\n", "three", ""],
    "nothing": [],
}


@pytest.mark.parametrize("storage", ["memory", "file"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_input_in_all_its_reading_ways(
    serve: Serve, worker_class: str, framing: str, storage: str
) -> None:
    limit = "4" if storage == "file" else "100000"
    server = serve(READS, "-k", worker_class, "--client-body-buffer-size", limit)
    if framing == "length":
        rest = b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    else:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (BODY[:5], BODY[5:6], BODY[6:]))
        rest = b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    for script, expected in EXPECTED.items():
        with server.connect() as client:
            client.send(b"POST /?%b HTTP/1.1\r\nHost: a\r\n%b" % (script.encode(), rest))
            assert json.loads(client.response().body) == expected, script


def test_large_body_comes_through_whole(serve: Serve, worker_class: str) -> None:
    app = """
import hashlib
def app(environ, start_response):
    digest, n = hashlib.sha256(), 0
    while part := environ["wsgi.input"].read(70000):
        digest.update(part)
        n += len(part)
    start_response("200 OK", [])
    return [f"{n} {digest.hexdigest()}".encode()]
"""
    body = random.Random(1).randbytes(5_000_000)
    server = serve(app, "-k", worker_class)
    with server.connect() as client:
        client.send_request("POST", body=body)
        assert client.response().body == f"5000000 {hashlib.sha256(body).hexdigest()}".encode()


def test_input_kept_beyond_the_request_is_harmless(serve: Serve, worker_class: str) -> None:
    app = """
kept = []
def app(environ, start_response):
    for stream in kept:
        try:
            assert stream.read() == b""
        except ValueError:
            pass
    kept.append(environ["wsgi.input"])
    start_response("200 OK", [])
    return [b"ok"]
"""
    server = serve(app, "-k", worker_class)
    for _ in range(3):
        with server.connect() as client:
            client.send_request("POST", body=b"x" * 1000)
            assert client.response().body == b"ok", server.log
