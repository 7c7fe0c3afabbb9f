# SPDX-License-Identifier: MIT
"""PEP 3333 against the running server: close(), and clients that leave."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
from harness import Server, poll

Serve = Callable[..., Server]

CLOSE = """
import json, pathlib
class Body:
    def __init__(self, parts): self.parts = iter(parts)
    def __iter__(self): return self
    def __next__(self):
        part = next(self.parts)
        if part is None: raise RuntimeError("stop")
        return part
    def close(self):
        with open("closed", "a") as f: f.write("x")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/count":
        start_response("200 OK", [])
        p = pathlib.Path("closed")
        return [str(len(p.read_text()) if p.exists() else 0).encode()]
    if path != "/lazy":
        start_response("200 OK", [])
    return Body({
        "/all": [b"a", b"b"], "/empty": [], "/early": [None], "/late": [b"a", None],
        "/lazy": [b"a"], "/str": [b"a", "b"], "/long": [b"x" * 65536] * 1000,
    }[path])
"""


@pytest.mark.parametrize("path", ["all", "empty", "early", "late", "lazy", "str"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_close_is_called_exactly_once(
    serve: Serve, worker_class: str, path: str, method: str
) -> None:
    server = serve(CLOSE, "-k", worker_class)
    with server.connect() as client:
        client.send_request(method, f"/{path}", "Connection: close")
        client.rest()
    poll(lambda: server.get("/count").body != b"0", "close() was called")
    assert server.get("/count").body == b"1"


def test_close_is_called_once_when_the_client_leaves(serve: Serve, worker_class: str) -> None:
    server = serve(CLOSE, "-k", worker_class)
    with server.connect() as client:
        client.send_request("GET", "/long")
        client.head()
    poll(lambda: server.get("/count").body != b"0", "close() was called")
    assert server.get("/count").body == b"1"
    assert "Traceback" not in server.log


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_client_disconnected_answers_truthfully(
    serve: Serve, worker_class: str, leave: str
) -> None:
    app = """
import pathlib, time
def app(environ, start_response):
    gone = environ["cgunicorn.client_disconnected"]
    before = gone()
    pathlib.Path("entered").touch()
    deadline = time.monotonic() + 20
    while not gone() and time.monotonic() < deadline:
        time.sleep(0.01)
    pathlib.Path("seen").write_text(f"{before} {gone()}")
    start_response("200 OK", [])
    return []
"""
    server = serve(app, "-k", worker_class)
    client = server.connect()
    client.send_request("GET")
    poll((server.directory / "entered").exists, "application entered")
    if leave == "reset":
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    seen = server.directory / "seen"
    assert poll(lambda: seen.exists() and seen.read_text(), "application noticed") == "False True"


LEAVING = """
import pathlib, time

class Body:
    def __init__(self, parts): self.parts = iter(parts)
    def __iter__(self): return self
    def __next__(self): return next(self.parts)
    def close(self):
        with open("closed", "a") as f: f.write("x")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/here":
        start_response("200 OK", [])
        return [b"here"]
    if path == "/before":
        pathlib.Path("entered").touch()
        while not environ["cgunicorn.client_disconnected"]():
            time.sleep(0.01)
    write = start_response("200 OK", [])
    if path == "/write":
        while True:
            write(b"x" * 65536)
    if path == "/poll":
        return Body(iter(lambda: pathlib.Path("entered").touch() or time.sleep(0.01) or b"", None))
    return Body(b"x" * 65536 for _ in range(1000))
"""


@pytest.mark.parametrize("path", ["before", "poll", "generator", "write"])
def test_client_that_leaves_is_one_access_line_and_no_traceback(
    serve: Serve, worker_class: str, path: str
) -> None:
    """499, which nginx has for a client that did not wait for the head, stands for all of them."""
    server = serve(LEAVING, "-k", worker_class, "--access-logfile", "-")
    with server.connect() as client:
        client.send_request("GET", f"/{path}")
        if path in ("before", "poll"):
            poll((server.directory / "entered").exists, "application entered")
        else:
            client.head()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.wait_log(f'"GET /{path} HTTP/1.1" 499 ')
    if path != "write":
        assert (server.directory / "closed").read_text() == "x"
    assert server.get("/here").body == b"here"
    assert server.log.count(f"GET /{path} ") == 1, server.log
    assert "Traceback" not in server.log
    assert "[ERROR]" not in server.log


def test_event_stream_is_closed_when_its_client_closes(serve: Serve, worker_class: str) -> None:
    """In good order, over TCP, before anything is sent to it."""
    app = """
import pathlib, time
def events():
    try:
        yield b":\\n\\n"
        while not pathlib.Path("left").exists():
            time.sleep(0.01)
        while True:
            yield b""
            pathlib.Path("too-far").touch()
    finally:
        pathlib.Path("closed").touch()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return events()
"""
    server = serve(app, "-k", worker_class, "--access-logfile", "-")
    with server.connect() as client:
        client.send_request("GET", "/events")
        client.head()
    (server.directory / "left").touch()
    server.wait_log('"GET /events HTTP/1.1" 499 ')
    assert (server.directory / "closed").exists()
    assert not (server.directory / "too-far").exists()


def test_close_that_raises_is_logged_and_harms_nobody(serve: Serve, worker_class: str) -> None:
    app = """
class Body(list):
    def close(self):
        raise RuntimeError("in close")

def app(environ, start_response):
    start_response("200 OK", [])
    return Body([b"whole"])
"""
    server = serve(app, "-k", worker_class)
    for n in (1, 2):
        assert server.get().body == b"whole"
        server.wait_log("RuntimeError: in close", count=n)
