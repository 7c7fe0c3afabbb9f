# SPDX-License-Identifier: MIT
"""Without an interpreter lock threads run at the same time. What they share holds in any case; what
needs an interpreter that has none is skipped elsewhere (tests/README.md says how to run it)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from harness import FREE_THREADED, Server, poll

Serve = Callable[..., Server]

free_threaded = pytest.mark.skipif(not FREE_THREADED, reason="this interpreter has a lock")

#: Several at once, so that exchanges end while others use theirs.
CLIENTS, REQUESTS_EACH = 8, 60

T = TypeVar("T")


def at_once(client: Callable[[int], T]) -> list[T]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(client, range(CLIENTS)))


@free_threaded
def test_the_lock_stays_off(serve: Serve, worker_class: str) -> None:
    app = """
import sys

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % sys._is_gil_enabled()]
"""
    server = serve(app, "-k", worker_class)
    assert server.get().body == b"0"
    assert "RuntimeWarning" not in server.log


@free_threaded
def test_two_requests_compute_at_the_same_time(serve: Serve) -> None:
    """Each waits for the other without ever giving way."""
    app = """
import sys
sys.setswitchinterval(1000)
here = []

def app(environ, start_response):
    here.append(environ["PATH_INFO"])
    while len(here) < 2:
        pass
    start_response("200 OK", [])
    return [b"done"]
"""
    server = serve(app, "--threads", "2")
    with server.connect() as first, server.connect() as second:
        first.send_request("GET", "/a")
        second.send_request("GET", "/b")
        assert first.response().body == second.response().body == b"done"


CROWD = """
import queue, threading

requests, failures = queue.SimpleQueue(), []
EXPECTED = (RuntimeError, AssertionError, OSError)  # the request, or its response, is over

def actions(environ, start_response, req):
    body = environ["wsgi.input"]
    yield lambda: body.read(3)
    yield lambda: body.readline()
    yield lambda: next(body, None)
    yield environ["cgunicorn.client_disconnected"]
    yield lambda: environ["gunicorn.socket"].fileno()
    yield lambda: environ["wsgi.early_hints"]([("Link", "</style.css>")])
    yield lambda: start_response("404 Not Found", [("X-Late", "1")])
    yield lambda: start_response("200 OK", [("X-Late", "1")])(b"")
    for name in ("method", "path", "headers", "trailers", "body", "scheme", "peer_addr", "socket"):
        yield lambda name=name: getattr(req, name)
    for name in ("status", "headers", "sent", "response_length", "headers_sent", "chunked"):
        yield lambda name=name: getattr(latest, name, None)

def pester():
    while (request := requests.get()) is not None:
        for action in actions(*request):
            try:
                action()
            except EXPECTED:
                pass
            except BaseException as e:
                failures.append(repr(e))

for _ in range(4):
    threading.Thread(target=pester, daemon=True).start()

latest, local = None, threading.local()

def app(environ, start_response):
    if environ["PATH_INFO"] == "/failures":
        start_response("200 OK", [])
        return [repr(failures).encode()]
    write = start_response("200 OK", [(f"X-{n}", "v" * n) for n in range(20)])
    for _ in range(4):
        requests.put((environ, start_response, local.req))
    write(b"1")
    return iter([b"2", b"", b"3"])
"""

#: The application is imported by the worker alone, with its threads.
HOOKS = """
def pre_request(worker, req):
    import app
    app.local.req = req

def post_request(worker, req, environ, resp):
    import app
    app.latest = resp
"""


def test_all_that_is_lent_may_be_used_while_it_ends(
    serve: Serve, worker_class: str, tmp_path: Path
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(HOOKS)
    threads = [] if worker_class == "sync" else ["--threads", "4"]
    server = serve(CROWD, "-k", worker_class, *threads)

    def ask(target: str, *fields: str) -> tuple[int, bytes]:
        with server.connect() as client:
            client.send_request("POST", target, *fields, body=b"line\n" * 20)
            response = client.response()
            while response.status == 103:
                response = client.response()
            return response.status, response.body

    def come(number: int) -> set[tuple[int, bytes]]:
        return {
            ask(f"/{n}", *(f"X-{number}-{n}-{i}: {i}" for i in range(20)))
            for n in range(REQUESTS_EACH)
        }

    (worker,) = server.wait_workers(1)
    assert at_once(come) == [{(200, b"123")}] * CLIENTS
    assert server.get("/failures").body == b"[]"
    assert server.workers() == [worker]


def test_lines_of_all_threads_reach_a_logger_class(serve: Serve, tmp_path: Path) -> None:
    """Whoever finds somebody else handing lines on leaves its own to them."""
    (tmp_path / "gunicorn.conf.py").write_text(
        """
from cgunicorn.glogging import Logger

class Counting(Logger):
    def access(self, resp, req, environ, request_time):
        with open("seen", "a") as file:
            file.write(req.path + "\\n")

logger_class = Counting
accesslog = "-"
"""
    )
    app = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"a"]
"""
    server = serve(app, "--threads", "4")

    def come(number: int) -> None:
        with server.connect() as client:
            for n in range(REQUESTS_EACH):
                client.send_request("GET", f"/{number}.{n}")
                client.response()

    at_once(come)
    expected = {f"/{number}.{n}" for number in range(CLIENTS) for n in range(REQUESTS_EACH)}
    seen = tmp_path / "seen"
    poll(lambda: set(seen.read_text().split()) == expected, "each line arrives")
    assert len(seen.read_text().split()) == len(expected)
